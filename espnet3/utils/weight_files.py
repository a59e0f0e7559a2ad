"""Weight files: read without running code, and written; files are never trusted."""

from __future__ import annotations

import json
import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from espnet3.errors import UnsafeCheckpointError, WeightsError
from espnet3.utils.path_utils import atomic_path
from espnet3.utils.types import PathLike

if TYPE_CHECKING:
    from torch import Tensor

WEIGHT_SUFFIXES = (".pth", ".pt", ".ckpt", ".safetensors", ".bin")
_ALIASES = "espnet3_aliases"


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


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            aliases = json.loads((file.metadata() or {}).get(_ALIASES, "{}"))
        state.update({name: state[str(target)] for name, target in aliases.items()})
    except (SafetensorError, ValueError, RecursionError, AttributeError, KeyError) as error:
        raise WeightsError(f"{path} is damaged or not a safetensors file: {error}") from error
    return state


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
    unique, aliases = _without_ties(state_dict)
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


def _without_ties(
    state_dict: Mapping[str, Tensor],
) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Return each tensor under its first name, and the other names with that one."""
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
    return unique, aliases
