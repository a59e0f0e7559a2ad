"""From samples to padded batches.

Shapes: B batch, T longest first axis in the batch.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import torch

from espnet3.errors import DataError, SettingError
from espnet3.utils.import_utils import trusted_target

logger = logging.getLogger(__name__)


class CollateError(DataError, AssertionError):
    """Samples of one batch do not fit together."""


@trusted_target
class CommonCollateFn:
    """Pad the samples of a batch to equal length and stack them.

    For samples ``{"speech": (3,), "text": (2,)}`` and ``{"speech": (5,), "text": (1,)}``:

    ==================  ==========  =======
    key                 shape       dtype
    ==================  ==========  =======
    ``speech``          ``(2, 5)``  float32
    ``speech_lengths``  ``(2,)``    int64: ``[3, 5]``
    ``text``            ``(2, 2)``  int64
    ``text_lengths``    ``(2,)``    int64: ``[2, 1]``
    ==================  ==========  =======

    Args:
        float_pad_value: Padding of floating-point arrays.
        int_pad_value: Padding of signed-integer arrays; unsigned ones are padded with 0, boolean
            ones with ``False``.
        not_sequence: Keys without a length; they get no ``<key>_lengths``.
        passthrough: Keys of strings or objects to hand on as plain lists. Other values that
            are not numbers are left out of the batch.
        pad_to_multiple_of: Round padded lengths up to a multiple, for kernels that like that.
    """

    expects_uid = True
    """Items are ``(uid, sample)`` pairs."""

    def __init__(
        self,
        float_pad_value: float = 0.0,
        int_pad_value: int = -32768,
        not_sequence: Collection[str] = (),
        *,
        passthrough: Collection[str] = (),
        pad_to_multiple_of: int = 1,
    ) -> None:
        if pad_to_multiple_of < 1:
            raise SettingError(
                "must be at least 1", key="collate_fn.pad_to_multiple_of", value=pad_to_multiple_of
            )
        self.float_pad_value = float_pad_value
        self.int_pad_value = int_pad_value
        self.not_sequence = frozenset(not_sequence)
        self.passthrough = frozenset(passthrough)
        self.pad_to_multiple_of = pad_to_multiple_of
        self._dropped: set[str] = set()

    def __repr__(self) -> str:
        return (
            f"CommonCollateFn(float_pad_value={self.float_pad_value},"
            f" int_pad_value={self.int_pad_value})"
        )

    def __call__(
        self, data: Sequence[tuple[str, dict[str, Any]]]
    ) -> tuple[list[str], dict[str, Any]]:
        """Return the utterance ids and the batch.

        Args:
            data: ``(uid, sample)`` pairs; samples share their keys.

        Raises:
            CollateError: If keys differ between samples, end in ``_lengths``, or arrays of one key
                differ in more than their first axis.
        """
        uids = [uid for uid, _ in data]
        samples = [sample for _, sample in data]
        keys = self._check_keys(uids, samples)
        batch: dict[str, Any] = {}
        for key in keys:
            values = [sample[key] for sample in samples]
            if key in self.passthrough:
                batch[key] = values
                continue
            arrays = [_as_array(value) for value in values]
            if any(array.dtype.kind not in "biufc" for array in arrays):
                self._log_dropped(key)
            elif all(array.ndim == 0 for array in arrays):
                batch[key] = torch.from_numpy(np.stack(arrays))
            else:
                batch[key], lengths = self._pad(key, arrays, uids)
                if key not in self.not_sequence:
                    batch[f"{key}_lengths"] = lengths
        return uids, batch

    def _check_keys(self, uids: list[str], samples: list[dict[str, Any]]) -> list[str]:
        expected = samples[0].keys()
        for uid, sample in zip(uids, samples, strict=True):
            if sample.keys() != expected:
                raise CollateError(
                    f"samples of one batch have different keys: {uids[0]!r} has"
                    f" {sorted(expected)}, {uid!r} has {sorted(sample)}"
                )
        reserved = [key for key in expected if key.endswith("_lengths")]
        if reserved:
            raise CollateError(
                f"sample key {reserved[0]!r}: names ending in `_lengths` are reserved for the"
                " lengths that collation adds"
            )
        return list(expected)

    def _pad(
        self, key: str, arrays: list[np.ndarray], uids: list[str]
    ) -> tuple[torch.Tensor, torch.Tensor]:
        if len({array.shape[1:] if array.ndim else None for array in arrays}) > 1:
            shapes = ", ".join(f"{u}: {a.shape}" for u, a in zip(uids, arrays, strict=True))
            raise CollateError(f"arrays of {key!r} differ in more than their first axis: {shapes}")
        lengths = [len(array) for array in arrays]
        multiple = self.pad_to_multiple_of if key not in self.not_sequence else 1
        longest = -(-max(lengths) // multiple) * multiple
        dtype = np.result_type(*{array.dtype for array in arrays})
        padded = np.empty((len(arrays), longest, *arrays[0].shape[1:]), dtype)
        fill = self._pad_value(dtype)
        for row, array, length in zip(padded, arrays, lengths, strict=True):
            row[:length] = array
            row[length:] = fill
        return torch.from_numpy(padded), torch.tensor(lengths, dtype=torch.int64)

    def _pad_value(self, dtype: np.dtype[Any]) -> float | int:
        if dtype.kind == "i":
            return self.int_pad_value
        return 0 if dtype.kind in "bu" else self.float_pad_value

    def _log_dropped(self, key: str) -> None:
        if key not in self._dropped:
            self._dropped.add(key)
            logger.debug("collate: %r is not numeric and is left out of batches", key)


def expects_uid(collate_fn: Any) -> bool | None:
    """Tell whether a collate function takes ``(uid, sample)`` pairs.

    Returns:
        Its attribute ``expects_uid`` where it has one; true for ESPnet2's ``CommonCollateFn``;
        ``None`` for others, which get plain samples in training and pairs in ``collect_stats``.
    """
    declared = getattr(collate_fn, "expects_uid", None)
    if declared is not None:
        return bool(declared)
    return True if is_espnet2_collate(collate_fn) else None


def is_espnet2_collate(collate_fn: Any) -> bool:
    """Tell whether a collate function is ESPnet2's, which takes arrays only."""
    # An instance of its class can only exist once the module has been imported.
    module = sys.modules.get("espnet2.train.collate_fn")
    return module is not None and isinstance(collate_fn, module.CommonCollateFn)


def arrays_of(sample: Any) -> Any:
    """Return a sample without what is no number, the rest as arrays; what is no dict, as it is."""
    if not isinstance(sample, dict):
        return sample
    arrays = {key: _as_array(value) for key, value in sample.items()}
    return {key: array for key, array in arrays.items() if array.dtype.kind in "biufc"}


def _as_array(value: Any) -> np.ndarray:
    if isinstance(value, np.ndarray):
        return value
    if isinstance(value, torch.Tensor):
        return value.detach().cpu().numpy()
    if value is None or isinstance(value, str | bytes):
        return np.empty((), dtype=object)
    return _from_python(value)


def _from_python(value: Any) -> np.ndarray:
    try:
        return np.asarray(value)
    except ValueError:  # a ragged list
        return np.empty((), dtype=object)
