"""The batches of one epoch."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from hashlib import sha256

import numpy as np


@dataclass(frozen=True, kw_only=True)
class BatchPlan:
    """The batches of one epoch for all ranks.

    Batch ``step * world_size + rank`` is what a rank takes in a step: the utterances
    ``permutation[starts[k]:ends[k]]``.
    """

    epoch: int
    world_size: int
    permutation: np.ndarray
    """Positions in the data set, int32 or int64, shape (utterances,)."""
    starts: np.ndarray
    """int64, shape (num_steps * world_size,)."""
    ends: np.ndarray
    """int64, shape (num_steps * world_size,)."""
    num_dropped: int
    """Utterances that this epoch leaves out so that all ranks have equally many steps."""
    num_repeated: int
    """Batches that occur twice for the same reason."""

    @property
    def num_steps(self) -> int:
        """Batches of each rank."""
        return len(self.starts) // self.world_size

    def batch(self, step: int, rank: int) -> list[int]:
        """Return the positions in the data set that ``rank`` reads in ``step``."""
        k = step * self.world_size + rank
        positions: list[int] = self.permutation[self.starts[k] : self.ends[k]].tolist()
        return positions

    @cached_property
    def digest(self) -> str:
        """Identity of the plan; equal on all ranks."""
        state = sha256(f"{self.epoch}/{self.world_size}".encode())
        for array in (self.permutation, self.starts, self.ends):
            state.update(np.ascontiguousarray(array, dtype="<i8").data)
        return state.hexdigest()

    def padding_waste(self, lengths: np.ndarray) -> float:
        """Return the share of padding in all batches, between 0 and 1."""
        sizes, longest, filled = self.shapes(lengths)
        padded = int((longest * sizes).sum())
        return 1 - int(filled.sum()) / padded if padded else 0.0

    def shapes(self, lengths: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Return utterances, longest length and total length of each batch of all ranks."""
        ordered = lengths[self.permutation]
        totals = np.concatenate([[0], np.cumsum(ordered)])
        places = np.stack([self.starts, self.ends], axis=1).reshape(-1)
        longest = np.maximum.reduceat(np.append(ordered, 0), places)[::2]
        return self.ends - self.starts, longest, totals[self.ends] - totals[self.starts]
