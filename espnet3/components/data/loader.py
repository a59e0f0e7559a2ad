"""The native loader: planned batches, and a state from which training goes on exactly."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import torch
import torch.distributed
from torch.utils.data import DataLoader, Dataset, Sampler

from espnet3.components.data.batch_plan import BatchPlan
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.dataset_module import CarriesLocalModules
from espnet3.components.data.planner import BatchPlanner
from espnet3.errors import ConfigError, DataError, ParallelError

logger = logging.getLogger(__name__)

_STATE_VERSION = 1


class ResumableLoader:
    """Read the batches of a plan, and remember how many the training loop has taken.

    Wraps ``torch.utils.data.DataLoader``. After ``load_state_dict`` the next iteration begins at
    the first batch that was not delivered, without reading the ones before it; the length stays
    that of the whole epoch. Augmentation that takes an ``rng`` gets the same numbers for any number
    of workers and ranks.

    Args:
        dataset: Map-style data set; :class:`~espnet3.components.data.dataset.CombinedDataset` also
            receives the key of its random numbers.
        planner: Plans each epoch.
        collate_fn: Makes a batch of items.
        rank: This process among ``world_size``.
        world_size: Processes that share the batches.
        epoch: First epoch.
        allow_data_change: Accept a state of other data; the epoch then starts again.
        **options: Further options of ``DataLoader``, such as ``num_workers``.
    """

    def __init__(
        self,
        dataset: Any,
        planner: BatchPlanner,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        *,
        rank: int = 0,
        world_size: int = 1,
        epoch: int = 0,
        allow_data_change: bool = False,
        **options: Any,
    ) -> None:
        self.dataset = dataset
        self.planner = planner
        self.rank = rank
        self.world_size = world_size
        self.epoch = epoch
        self.allow_data_change = allow_data_change
        self.sampler = EpochSetter(self)
        self.batch_sampler = None  # Lightning asks for it wherever there is a sampler
        self._consumed = 0
        self._start = 0
        self._plan: BatchPlan | None = None
        self._generator = torch.Generator()
        batches: Any = _PlannedBatches(self)  # a batch here is a request, not a list
        self._loader: DataLoader[Any] = DataLoader(
            _PlannedDataset(dataset),
            batch_sampler=batches,
            collate_fn=collate_fn,
            generator=self._generator,
            **options,
        )

    @property
    def plan(self) -> BatchPlan:
        """Plan of the current epoch."""
        if self._plan is None or self._plan.epoch != self.epoch:
            self._plan = self.planner.plan(self.epoch, self.world_size)
        return self._plan

    def __len__(self) -> int:
        return self.plan.num_steps

    def __iter__(self) -> Iterator[Any]:
        # Nothing happens before the first batch is asked for: Lightning makes iterators early,
        # before it restores the state and sets the epoch.
        self._consumed, self._start = self._start, 0
        self._compare_ranks()
        # Workers seed the global generators of the code that they run from this one.
        place = f"{self.planner.settings.seed}/{self.epoch}/{self.rank}".encode()
        self._generator.manual_seed(int.from_bytes(sha256(place).digest()[:7], "little"))
        for batch in self._loader:
            self._consumed += 1
            yield batch
        self._consumed = 0

    def set_epoch(self, epoch: int) -> None:
        """Choose the epoch of the next iteration; a new epoch starts at its first batch."""
        if epoch != self.epoch:
            self.epoch = epoch
            self._consumed = self._start = 0

    def state_dict(self) -> dict[str, Any]:
        """Return the position, equal on all ranks: batches delivered, not those read ahead."""
        return {
            "version": _STATE_VERSION,
            "epoch": self.epoch,
            "steps_consumed": self._consumed,
            "world_size": self.world_size,
            "seed": self.planner.settings.seed,
            "plan_digest": self.plan.digest,
            "index_digest": self.planner.digest,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on from a position.

        Raises:
            ConfigError: If the state is of an unknown version or another world size.
            DataError: If data or batch settings differ from those of the state.
        """
        if state_dict.get("version") != _STATE_VERSION:
            raise ConfigError(
                "loader state of an unknown version", value=state_dict.get("version"), key="version"
            )
        self.epoch = int(state_dict["epoch"])
        self._start = self._consumed = int(state_dict["steps_consumed"])
        problem = self._difference(state_dict)
        if problem is None or self._start == 0:
            return
        if not self.allow_data_change:
            raise DataError(
                f"cannot go on in the middle of epoch {self.epoch}: {problem}\n"
                "  restore what it was, or set dataloader.train.allow_data_change: true to start"
                " this epoch again"
            )
        logger.warning("loader: %s; epoch %d starts again", problem, self.epoch)
        self._start = self._consumed = 0

    def _difference(self, state: Mapping[str, Any]) -> str | None:
        if state["world_size"] != self.world_size:
            return f"the checkpoint has world size {state['world_size']}, this is {self.world_size}"
        if state["index_digest"] != self.planner.digest:
            return "the utterances or their lengths differ from those of the checkpoint"
        if state["plan_digest"] != self.plan.digest:
            return "the seed or the batch settings differ from those of the checkpoint"
        return None

    def _compare_ranks(self) -> None:
        """Stop with an error, instead of a deadlock later, if ranks have different plans."""
        if self.world_size == 1 or not torch.distributed.is_initialized():
            return
        on_gpu = torch.distributed.get_backend() == "nccl"
        own = torch.tensor(
            [int(self.plan.digest[:15], 16), self._consumed], device="cuda" if on_gpu else "cpu"
        )
        of_all = [torch.empty_like(own) for _ in range(self.world_size)]
        torch.distributed.all_gather(of_all, own)
        if any(not torch.equal(own, other) for other in of_all):
            raise ParallelError(
                f"ranks plan different batches for epoch {self.epoch}; they must see the same"
                " shape file, seed and loader settings"
            )


class EpochSetter:
    """What Lightning looks for on a loader to announce the epoch."""

    def __init__(self, loader: ResumableLoader) -> None:
        # Weak, because worker processes are shut down promptly only without a reference cycle.
        self._loader = weakref.proxy(loader)

    def set_epoch(self, epoch: int) -> None:
        """Forward the epoch to the loader."""
        self._loader.set_epoch(epoch)


class _Request(NamedTuple):
    """One batch to read; travels to the workers, so they always know the epoch."""

    positions: list[int]
    rng_key: tuple[int, int]


class _PlannedBatches(Sampler[_Request]):
    def __init__(self, loader: ResumableLoader) -> None:
        self._loader = weakref.proxy(loader)

    def __len__(self) -> int:
        return len(self._loader)

    def __iter__(self) -> Iterator[_Request]:
        loader = self._loader
        plan, rng_key = loader.plan, (loader.planner.settings.seed, loader.epoch)
        for step in range(loader._consumed, plan.num_steps):
            yield _Request(plan.batch(step, loader.rank), rng_key)


class _PlannedDataset(CarriesLocalModules, Dataset[Any]):
    """Hands a whole request to the data set."""

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset
        self._takes_rng_key = isinstance(dataset, CombinedDataset)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[index]

    def __getitems__(self, request: _Request) -> list[Any]:
        if not self._takes_rng_key:
            return [self.dataset[position] for position in request.positions]
        return [self.dataset.read(position, request.rng_key) for position in request.positions]
