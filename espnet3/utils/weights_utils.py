"""Fill models from weight files, and say what did not fit; :mod:`.weight_files` reads the files."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.errors import WeightsError
from espnet3.utils.parameter_selector import matches_any, select
from espnet3.utils.printable import printable
from espnet3.utils.types import PathLike
from espnet3.utils.weight_files import (
    WEIGHT_SUFFIXES,
    export_safetensors,
    read_checkpoint,
    read_state_dict,
    tensors_of,
)

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

__all__ = [
    "WEIGHT_SUFFIXES",
    "LoadReport",
    "describe_misfit",
    "export_safetensors",
    "fit_prefix",
    "load_weights",
    "read_checkpoint",
    "read_state_dict",
    "tensors_of",
]


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoadReport:
    """What :func:`load_weights` did."""

    path: Path
    loaded: tuple[str, ...]
    """Names now filled from the file."""
    missing: tuple[str, ...]
    """Selected names of the model that the file lacks."""
    unexpected: tuple[str, ...]
    """Selected names of the file that the model lacks."""
    mismatched: tuple[str, ...]
    """Names whose shapes differ, with both shapes."""

    @property
    def is_complete(self) -> bool:
        """Whether file and model agreed on every selected name and shape."""
        return not (self.missing or self.unexpected or self.mismatched)

    def __str__(self) -> str:
        """Return a few readable lines."""
        total = len(self.loaded) + len(self.missing) + len(self.mismatched)
        lines = [f"{printable(self.path)}: {len(self.loaded)} of {total} tensors loaded"]
        for label in ("missing", "unexpected", "mismatched"):
            names: tuple[str, ...] = getattr(self, label)
            if names:
                lines.append(f"  {label} ({len(names)}): {_shorten(names)}")
        return "\n".join(lines)


def fit_prefix(state: Mapping[str, Any], names: Collection[str] | None = None) -> dict[str, Any]:
    """Drop the prefix ``model.`` that Lightning modules put before parameter names.

    Args:
        state: State dictionary.
        names: Names that the bare model has; with ``None`` the prefix alone decides.

    Returns:
        ``state`` as it is if its names already fit; else the entries that begin with ``model.``,
        without that one prefix; if there are none, ``state`` as it is.
    """
    if names is not None and any(name in names for name in state):
        return dict(state)
    prefix = "model."
    stripped = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
    return stripped or dict(state)


def load_weights(
    model: nn.Module,
    path: PathLike,
    *,
    strict: bool = True,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    rename: Mapping[str, str] | None = None,
) -> LoadReport:
    """Fill a model from a weight file; what does not match is an error or reported, never silent.

    Args:
        model: Model to fill in place.
        path: Weight file, see :func:`read_state_dict`; names may begin with ``model.``.
        strict: Require that every selected name exists on both sides with the same shape.
        include: Selectors (dotted fragments) of the model's names to fill; all by default.
        exclude: Selectors of names to leave alone.
        rename: Beginnings of names in the file and what they are called in the model.

    Returns:
        What was loaded and what was not.

    Raises:
        WeightsError: If nothing matches, or ``strict`` is set and something does not.
    """
    own = model.state_dict()
    state = _renamed(fit_prefix(read_state_dict(path), own), rename or {})
    for key, selectors in (("include", include), ("exclude", exclude)):
        if selectors:
            select(list(own), selectors, key=key)

    def wanted(name: str) -> bool:
        return (include is None or matches_any(name, include)) and not (
            exclude is not None and matches_any(name, exclude)
        )

    own_names = [name for name in own if wanted(name)]
    report = _compare(Path(path), own, own_names, {k: v for k, v in state.items() if wanted(k)})
    if not report.loaded:
        raise WeightsError(
            f"{path}: 0 of {len(own_names)} tensors match the model\n"
            f"  model: {_shorten(own_names)}\n  file: {_shorten(state)}"
        )
    if not report.is_complete:
        if strict:
            raise WeightsError(f"weights do not fit the model\n  {report}")
        logger.warning("Weights fit the model only in part. %s", report)
    model.load_state_dict({name: state[name] for name in report.loaded}, strict=False)
    return report


def describe_misfit(own: Mapping[str, Tensor], state: Mapping[str, Tensor]) -> str:
    """Return lines that name the tensors of a file that are not those of a model; else nothing."""
    return "\n".join(str(_compare(Path(), own, list(own), state)).splitlines()[1:])


def _renamed(state: Mapping[str, Tensor], rename: Mapping[str, str]) -> dict[str, Tensor]:
    renamed = {}
    for name, tensor in state.items():
        for old, new in rename.items():
            if name == old or name.startswith(old + "."):
                name = new + name[len(old) :]
                break
        renamed[name] = tensor
    return renamed


def _compare(
    path: Path, own: Mapping[str, Tensor], own_names: Sequence[str], state: Mapping[str, Tensor]
) -> LoadReport:
    shared = [name for name in own_names if name in state]
    return LoadReport(
        path=path,
        loaded=tuple(name for name in shared if own[name].shape == state[name].shape),
        missing=tuple(name for name in own_names if name not in state),
        unexpected=tuple(name for name in state if name not in own),
        mismatched=tuple(
            f"{printable(name)} (model {tuple(own[name].shape)}, file {tuple(state[name].shape)})"
            for name in shared
            if own[name].shape != state[name].shape
        ),
    )


def _shorten(names: Iterable[str], limit: int = 8) -> str:
    listed = [printable(name) for name in names]
    rest = f", … {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + rest
