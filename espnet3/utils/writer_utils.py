"""Write one output value of a model to a file of a fitting type."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from omegaconf import DictConfig

from espnet3.errors import SettingError
from espnet3.utils.config_utils import to_plain
from espnet3.utils.import_utils import import_object
from espnet3.utils.path_utils import atomic_open, atomic_path, write_json
from espnet3.utils.settings import parse_settings
from espnet3.utils.types import Hz

if TYPE_CHECKING:
    import numpy as np

logger = logging.getLogger(__name__)

_MAX_CHANNELS = 16


@dataclasses.dataclass(frozen=True, kw_only=True)
class ArtifactSettings:
    """How one output field is written: an entry of ``output_artifacts`` without a ``writer``."""

    type: Literal["wav", "npy", "json", "pickle"] | None = None
    """What is written; null chooses by the type of the value."""
    sample_rate: Hz | None = None
    """Samples per second of a ``wav``."""
    subtype: str | None = None
    """Sample format of a ``wav``; null is 16-bit PCM."""
    format: str | None = None
    """File format of a ``wav``, which is also its suffix, for example ``flac``."""

    def __post_init__(self) -> None:
        if self.type != "wav" and (self.sample_rate or self.subtype or self.format):
            raise SettingError("sample_rate, subtype and format need `type: wav`")


def write_artifact(
    value: Any, output_path: Path, field_config: Mapping[str, Any] | DictConfig | None = None
) -> Path:
    """Write a value and return the path of the file.

    Args:
        value: Array, tensor on the CPU, mapping, or anything that can be pickled.
        output_path: Path without suffix; the suffix of the type is appended.
        field_config: Settings (:class:`ArtifactSettings`), or ``writer``: a mapping with the
            ``_target_`` of a function that is called with ``value``, ``output_path`` and all
            other entries, and returns the path that it wrote.

    Raises:
        ValueError: If the type is unknown, ``sample_rate`` is missing, samples are not a waveform,
            a tensor is not on the CPU, or a mapping holds something that JSON cannot.
        TypeError: If a custom writer does not return a path.
        FileNotFoundError: If a custom writer returns a path that does not exist.
    """
    plain = dict(to_plain(field_config) or {})
    if plain.get("writer") is not None:
        return _write_custom(value, output_path, plain)
    plain.pop("writer", None)
    settings = parse_settings(plain, ArtifactSettings, key="output_artifacts")
    kind = settings.type or infer_artifact_type(value)
    suffix, write = _WRITERS[kind]
    if kind == "wav" and settings.format:
        suffix = f".{settings.format.lower()}"
    name = output_path.name
    path = output_path.with_name(name if name.endswith(suffix) else name + suffix)
    path.parent.mkdir(parents=True, exist_ok=True)
    write(_to_host(value), path, settings)
    return path


def infer_artifact_type(value: Any) -> str:
    """Return the artifact type of a value: ``npy``, ``json`` or ``pickle``."""
    if _is_tensor(value) or _is_array(value):
        return "npy"
    return "json" if isinstance(value, dict) else "pickle"


def to_scalar(value: Any) -> Any:
    """Return numpy scalars and arrays or tensors without axes as Python values."""
    if isinstance(value, str):
        return value
    if _is_tensor(value) or _is_array(value):
        return _to_host(value).item() if value.ndim == 0 else value
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.generic):
        return value.item()
    return value


def _is_tensor(value: Any) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def _is_array(value: Any) -> bool:
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(value, numpy.ndarray)


def _to_host(value: Any) -> Any:
    """Turn a CPU tensor into an array, bfloat16 into float32; leave other values."""
    if not _is_tensor(value):
        return value
    if value.device.type != "cpu":
        raise ValueError(f"a tensor on {value.device} cannot be written. Move the tensor to CPU")
    value = value.detach()
    return (value.float() if "bfloat16" in str(value.dtype) else value).numpy()


def _write_custom(value: Any, output_path: Path, plain: dict[str, Any]) -> Path:
    options = dict(plain["writer"])
    target = options.pop("_target_", None)
    writer = import_object(target, key="output_artifacts.writer._target_")
    more = {k: v for k, v in plain.items() if k not in ("type", "writer")}
    output_path.parent.mkdir(parents=True, exist_ok=True)
    written = writer(value=value, output_path=output_path, **options, **more)
    if not isinstance(written, str | Path):
        raise TypeError(
            f"{target} must return a path-like value (str or Path), got {type(written).__name__}"
        )
    if not Path(written).exists():
        raise FileNotFoundError(f"{target} returned a missing path: {written}")
    return Path(written)


def _write_npy(value: Any, path: Path, settings: ArtifactSettings) -> None:
    import numpy as np

    with atomic_open(path, "wb") as stream:
        np.save(stream, value, allow_pickle=False)


def _write_json(value: Any, path: Path, settings: ArtifactSettings) -> None:
    write_json(path, _to_json(value, ""))


def _write_pickle(value: Any, path: Path, settings: ArtifactSettings) -> None:
    import pickle  # a run plan imports this module for its settings

    with atomic_open(path, "wb") as stream:
        pickle.dump(value, stream)


def _write_wav(value: Any, path: Path, settings: ArtifactSettings) -> None:
    if settings.sample_rate is None:
        raise ValueError("an artifact of type wav needs `sample_rate` in `output_artifacts`")
    import soundfile

    subtype = settings.subtype or ("PCM_16" if path.suffix in (".wav", ".flac") else None)
    samples = _as_waveform(value, path)
    with atomic_path(path) as temporary:
        soundfile.write(
            temporary, samples, settings.sample_rate, subtype=subtype, format=settings.format
        )


def _as_waveform(value: Any, path: Path) -> np.ndarray[Any, Any]:
    """Return samples of shape (T,) or (T, C), floats within [-1, 1]."""
    import numpy as np

    samples = np.asarray(value)
    is_int = samples.dtype in (np.int16, np.int32)
    if not (is_int or samples.dtype.kind == "f") or samples.ndim not in (1, 2):
        raise ValueError(
            f"{path}: a waveform has shape (T,) or (T, C) and float, int16 or int32 samples, "
            f"got shape {samples.shape} and {samples.dtype}"
        )
    if samples.ndim == 2 and samples.shape[0] < samples.shape[1]:
        samples = samples.T
    if samples.ndim == 2 and samples.shape[1] > _MAX_CHANNELS:
        raise ValueError(f"{path}: {samples.shape[1]} channels are too many for a waveform")
    if is_int:
        return samples
    if not np.isfinite(samples).all():
        raise ValueError(f"{path}: the waveform holds NaN or infinite samples")
    if np.abs(samples).max(initial=0.0) > 1.0:
        _warn_clipped(path.parent)
        samples = samples.clip(-1.0, 1.0)
    # Soundfile knows no half precision.
    return samples if samples.dtype == np.float64 else samples.astype(np.float32)


@functools.lru_cache(maxsize=1024)
def _warn_clipped(folder: Path) -> None:
    """Warn once per field."""
    logger.warning("%s: samples outside [-1, 1] are clipped", folder)


def _to_json(value: Any, where: str) -> Any:
    value = to_scalar(_to_host(value))
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Path):
        return str(value)
    if _is_array(value):
        return _to_json(value.tolist(), where)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {_json_key(k, where): _to_json(v, f"{where}.{k}") for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(item, f"{where}[{i}]") for i, item in enumerate(value)]
    raise ValueError(f"{where.lstrip('.')}: a {type(value).__name__} cannot be written as JSON")


def _json_key(key: Any, where: str) -> str:
    if isinstance(key, str):
        return key
    if isinstance(key, bool | int | float) or key is None:
        return str(json.dumps(key))
    raise ValueError(f"{where.lstrip('.')}: a {type(key).__name__} cannot be a key in JSON")


_WRITERS: dict[str, tuple[str, Callable[[Any, Path, ArtifactSettings], None]]] = {
    "wav": (".wav", _write_wav),
    "npy": (".npy", _write_npy),
    "json": (".json", _write_json),
    "pickle": (".pkl", _write_pickle),
}
