"""Average the weights of the best checkpoints."""

from __future__ import annotations

import logging
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch.callbacks import Checkpoint
from torch import Tensor, nn

from espnet3.components.callbacks.checkpoint_files import metric_stem
from espnet3.components.callbacks.relative_link import point_to
from espnet3.utils.types import PathLike
from espnet3.utils.weights_utils import fit_prefix, read_checkpoint, tensors_of

logger = logging.getLogger(__name__)


class MismatchedKeysError(KeyError):
    """Checkpoints to be averaged hold different parameters."""

    def __str__(self) -> str:
        """Return the message as it is; ``KeyError`` would show its ``repr``."""
        return str(self.args[0])


class AverageCheckpointsCallback(Checkpoint):
    """Write the mean of the best weights after each validation that changed their set.

    It is a ``Checkpoint``, because Lightning runs those last and in order: so the files of the
    validation that has just ended are already there.

    Args:
        output_dir: Folder of ``<metric>.ave_<K>best.pth`` and its stable name ``<metric>.ave.pth``;
            ``/`` in the metric becomes ``.``. Both hold a flat state dict of the bare model.
        best_ckpt_callbacks: Objects with ``monitor`` and ``best_k_models`` (path to score).
    """

    def __init__(self, output_dir: PathLike, best_ckpt_callbacks: Sequence[Any]) -> None:
        self.output_dir = Path(output_dir)
        self.best_ckpt_callbacks = list(best_ckpt_callbacks)
        self._averaged: dict[str, set[str]] = {}
        self._written: dict[str, str] = {}

    def state_dict(self) -> dict[str, Any]:
        """Return the names of the files written so far."""
        return {"written": dict(self._written)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Remember the files that an interrupted run wrote."""
        self._written = dict(state_dict["written"])

    def on_validation_end(self, trainer: Any, pl_module: Any) -> None:
        """Average what the checkpoint callbacks hold at this moment; rank 0 only.

        Raises:
            KeyError: If the checkpoints hold different parameters.
            RuntimeError: If they do not contain the model.
        """
        if not trainer.is_global_zero or getattr(trainer, "sanity_checking", False) is True:
            return
        model = getattr(pl_module, "model", None)
        names = set(model.state_dict()) if isinstance(model, nn.Module) else None
        for callback in self.best_ckpt_callbacks:
            paths = [str(path) for path in callback.best_k_models]
            if paths and self._averaged.get(callback.monitor) != set(paths):
                self._write(callback.monitor, average_checkpoints(paths, names))
                self._averaged[callback.monitor] = set(paths)

    def _write(self, monitor: str, result: tuple[dict[str, Tensor], int]) -> None:
        state, count = result
        stem = metric_stem(monitor)
        path = self.output_dir / f"{stem}.ave_{count}best.pth"
        # Always the same name, so that what a killed run leaves here goes with the next average.
        staging = self.output_dir / ".average"
        staging.mkdir(parents=True, exist_ok=True)
        try:
            staged = staging / path.name
            torch.save(state, staged)
            if not staged.exists():
                return  # A replaced torch.save kept the state for itself.
            staged.replace(path)
        finally:
            shutil.rmtree(staging)
        point_to(self.output_dir / f"{stem}.ave.pth", path)
        superseded = self._written.get(monitor, path.name)
        if superseded != path.name:
            (self.output_dir / superseded).unlink(missing_ok=True)
        self._written[monitor] = path.name


def average_checkpoints(
    paths: Sequence[PathLike], names: Collection[str] | None = None
) -> tuple[dict[str, Tensor], int]:
    """Average the weights of checkpoint files, one file in memory at a time.

    Floating-point and complex tensors become their mean (computed in float32 or wider, stored in
    their own dtype), integer tensors their sum, boolean ones are those of the newest file.

    Args:
        paths: Checkpoint files, oldest first.
        names: Names that the bare model has, where known.

    Returns:
        The averaged state and the number of files in it.

    Raises:
        MismatchedKeysError: If the files hold different parameters.
        RuntimeError: If a file does not contain the model.
    """
    total: dict[str, Tensor] = {}
    dtypes: dict[str, torch.dtype] = {}
    for path in paths:
        state = _bare_state(path, names)
        if total and state.keys() != total.keys():
            differing = sorted(state.keys() ^ total.keys())
            raise MismatchedKeysError(
                f"{path} holds other parameters than {paths[0]}: {', '.join(differing[:8])}"
            )
        for name, tensor in state.items():
            dtypes[name] = tensor.dtype
            wide = tensor.to(_accumulator(tensor.dtype), copy=True)
            keep_newest = name not in total or tensor.dtype == torch.bool
            total[name] = wide if keep_newest else total[name].add_(wide)
    for name, dtype in dtypes.items():
        if dtype.is_floating_point or dtype.is_complex:
            total[name] = (total[name] / len(paths)).to(dtype)
        else:
            total[name] = total[name].to(dtype)
    _log_kinds(dtypes, len(paths))
    return total, len(paths)


def _bare_state(path: PathLike, names: Collection[str] | None) -> Mapping[str, Tensor]:
    state: dict[str, Tensor] = fit_prefix(tensors_of(read_checkpoint(path)), names)
    if names is not None:
        missing = sorted(set(names) - state.keys())
        if missing and any(name in state for name in names):
            raise MismatchedKeysError(f"{path} lacks parameters: {', '.join(missing[:8])}")
        state = {name: tensor for name, tensor in state.items() if name in names}
    if not state:
        raise RuntimeError(f"{path} does not contain the model: none of its parameters is there")
    return state


def _accumulator(dtype: torch.dtype) -> torch.dtype:
    if dtype.is_complex:
        return torch.promote_types(dtype, torch.complex64)
    return torch.promote_types(dtype, torch.float32) if dtype.is_floating_point else dtype


def _log_kinds(dtypes: Mapping[str, torch.dtype], count: int) -> None:
    floating = sum(d.is_floating_point or d.is_complex for d in dtypes.values())
    logger.debug(
        "Averaged %d checkpoints: %d tensors as mean, %d integer or boolean ones as sum or newest",
        count,
        floating,
        len(dtypes) - floating,
    )
