"""Read, compare, load and export model weights; files are never trusted to run code."""

from __future__ import annotations

import dataclasses
import json
import logging
import pickle
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.errors import UnsafeCheckpointError, WeightsError
from espnet3.utils.parameter_selector import matches_any, select
from espnet3.utils.path_utils import atomic_path
from espnet3.utils.types import PathLike

if TYPE_CHECKING:
    from torch import Tensor, nn

logger = logging.getLogger(__name__)

WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".bin")
_ALIASES = "espnet3_aliases"


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
        lines = [f"{self.path}: {len(self.loaded)} of {total} tensors loaded"]
        for label in ("missing", "unexpected", "mismatched"):
            names: tuple[str, ...] = getattr(self, label)
            if names:
                lines.append(f"  {label} ({len(names)}): {_shorten(names)}")
        return "\n".join(lines)


def read_state_dict(path: PathLike) -> dict[str, Tensor]:
    """Read the tensors of a weight file onto the CPU.

    Understood are flat ``torch`` files, checkpoints with the weights under ``module`` or
    ``state_dict``, and safetensors (tied tensors that :func:`export_safetensors` left out come
    back under all their names).

    Raises:
        FileNotFoundError: If there is no such file.
        UnsafeCheckpointError: If the file holds objects that only running code can restore.
        WeightsError: If it is damaged or holds no tensors.
    """
    file = Path(path)
    if file.is_dir():
        found = sorted(p.name for p in file.iterdir() if p.suffix in WEIGHT_SUFFIXES)
        raise WeightsError(
            f"{file} is a folder, not a weight file\n"
            f"  it has: {', '.join(found) or 'no weight files'}"
        )
    if not file.is_file():
        raise FileNotFoundError(f"weight file not found: {file}")
    content = _read_safetensors(file) if file.suffix == ".safetensors" else read_checkpoint(file)
    state = tensors_of(content)
    if not state:
        raise WeightsError(f"{file} holds no tensors under `module`, `state_dict` or at top level")
    return state


def read_checkpoint(path: PathLike) -> Any:
    """Load a ``torch`` file without running code in it, tensors on the CPU.

    Raises:
        UnsafeCheckpointError: If it holds other objects than tensors and plain containers.
        WeightsError: If it is damaged.
    """
    import torch

    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        unsafe = re.search(r"(?:GLOBAL|[Uu]nsupported class) ([\w.]+)", str(error))
        if unsafe:
            raise UnsafeCheckpointError(
                f"{path} holds {unsafe[1]} objects, which can only be restored by running code\n"
                "  save the tensors alone, with a tool that you trust"
            ) from error
        raise WeightsError(f"{path} is damaged or not a weight file") from error
    except (RuntimeError, EOFError, ValueError, KeyError, IndexError) as error:
        # Torch adds a paragraph of guesses.
        reason = str(error).partition(". ")[0]
        raise WeightsError(f"{path} is damaged or not a weight file: {reason}") from error


def tensors_of(content: Any) -> dict[str, Tensor]:
    """Return the flat name-to-tensor mapping inside a loaded checkpoint; empty if there is none."""
    import torch

    for entry in ("module", "state_dict"):
        if isinstance(content, Mapping) and isinstance(content.get(entry), Mapping):
            content = content[entry]
    if not isinstance(content, Mapping):
        return {}
    return {str(k): v for k, v in content.items() if isinstance(v, torch.Tensor)}


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


def export_safetensors(state_dict: Mapping[str, Tensor], path: PathLike) -> None:
    """Write tensors as safetensors, atomically.

    Tied tensors are stored once; their other names go into the file's metadata, from where
    :func:`read_state_dict` restores them. Views that share memory without being equal are copied.

    Raises:
        WeightsError: If there is nothing to write.
    """
    from safetensors.torch import save_file

    if not state_dict:
        raise WeightsError(f"there are no weights to export to {path}")
    unique: dict[str, Tensor] = {}
    first_name: dict[tuple[Any, ...], str] = {}
    aliases: dict[str, str] = {}
    for name, tensor in state_dict.items():
        identity = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        if tensor.numel() and identity in first_name:
            aliases[name] = first_name[identity]
            continue
        first_name[identity] = name
        unique[name] = tensor
    # Different views of one buffer (q, k and v of one matrix) would be refused as shared memory.
    owners: dict[int, int] = {}
    for tensor in unique.values():
        pointer = tensor.untyped_storage().data_ptr()
        owners[pointer] = owners.get(pointer, 0) + 1
    plain = {
        name: t.detach().clone() if owners[t.untyped_storage().data_ptr()] > 1 else t.detach()
        for name, t in unique.items()
    }
    # The header keeps no order among several entries, and equal weights shall give equal bytes.
    metadata = {_ALIASES: json.dumps(aliases, sort_keys=True)} if aliases else {"format": "pt"}
    with atomic_path(path) as temporary:
        save_file({k: v.contiguous() for k, v in plain.items()}, temporary, metadata=metadata)


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            aliases = json.loads((file.metadata() or {}).get(_ALIASES, "{}"))
    except (SafetensorError, json.JSONDecodeError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file: {error}") from error
    state.update({name: state[target] for name, target in aliases.items() if target in state})
    return state


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
            f"{name} (model {tuple(own[name].shape)}, file {tuple(state[name].shape)})"
            for name in shared
            if own[name].shape != state[name].shape
        ),
    )


def _shorten(names: Iterable[str], limit: int = 8) -> str:
    listed = list(names)
    rest = f", … {len(listed) - limit} more" if len(listed) > limit else ""
    return ", ".join(listed[:limit]) + rest
