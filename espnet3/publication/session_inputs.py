"""What a session accepts as audio: files, their content, samples at any rate."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping
from typing import Any

from espnet3.errors import DataError
from espnet3.utils.types import Hz

_AUDIO_NAMES = frozenset({"audio", "speech", "wav", "waveform"})
_ESPNET2_RATE = 16000
"""What ESPnet2's front ends take when their options do not say it."""
_RATES = range(1000, 1_000_001)
"""What can be resampled: the cost grows with the ratio of two rates."""
_MOST_CHANNELS = 64
_INT_ZERO_AND_SCALE = {
    "uint8": (128.0, 2.0**7),
    "int8": (0.0, 2.0**7),
    "int16": (0.0, 2.0**15),
    "int32": (0.0, 2.0**31),
}


def read_rate(model: Any) -> Hz | None:
    """Return the sample rate that a back end declares as ``sample_rate``, if it does.

    Those of ESPnet2 keep it in the options of the front end that they were trained with.
    """
    rate = getattr(model, "sample_rate", None)
    if rate is None and is_espnet2(model):
        rate = espnet2_rate(model)
    return int(rate) if isinstance(rate, numbers.Integral) and int(rate) > 0 else None


def is_espnet2(model: Any) -> bool:
    """Tell whether a back end is a class of ESPnet2."""
    return type(model).__module__.partition(".")[0] == "espnet2"


def espnet2_rate(model: Any) -> Hz | None:
    """Return the sample rate of a recogniser of ESPnet2; ``None`` if it takes features."""
    from espnet3.components.layers import mel_recipe

    options = getattr(model, "asr_train_args", None)
    if getattr(options, "frontend", None) is None:
        return None
    conf = getattr(options, "frontend_conf", None) or {}
    return mel_recipe.read_rate(conf.get("fs") or _ESPNET2_RATE)


def is_audio_key(name: str) -> bool:
    """Tell whether an input of this name holds audio.

    Example:
        >>> is_audio_key("speech"), is_audio_key("enroll_speech"), is_audio_key("text")
        (True, True, False)
    """
    return name.rpartition("_")[2] in _AUDIO_NAMES


def adapt_inputs(
    inputs: Mapping[str, Any], rate: Hz | None, *, scales_integers: bool = False
) -> dict[str, Any]:
    """Turn the audio among the inputs of a sample into samples at the rate of the model.

    Args:
        inputs: Input name → value.
        rate: What the model declares; without it, values are passed on as they are.
        scales_integers: Turn samples of integer PCM into floats, for a model that does not.

    Raises:
        DataError: If a value is no audio.
        FileNotFoundError: If a path leads nowhere.
    """
    if rate is None:
        return dict(inputs)
    adapted = {
        name: to_samples(value, rate) if is_audio_key(name) else value
        for name, value in inputs.items()
    }
    if scales_integers:
        adapted |= {k: _to_float(v) for k, v in adapted.items() if is_audio_key(k) and _is_pcm(v)}
    return adapted


def _is_pcm(value: Any) -> bool:
    return str(getattr(value, "dtype", "")).removeprefix("torch.") in _INT_ZERO_AND_SCALE


def to_samples(value: Any, rate: Hz, *, keep_channels: bool = False) -> Any:
    """Return audio as mono float32 samples; arrays and tensors are taken to have the right rate.

    Args:
        value: Path of an audio file, content of one, ``(rate, samples)`` with samples of shape
            ``(S,)`` or ``(S, channels)``, or samples.
        rate: Samples per second of the result.
        keep_channels: Do not average the channels.

    Raises:
        DataError: If the value is no audio, or holds samples that are no numbers.
        FileNotFoundError: If a path leads nowhere.
    """
    from espnet3.components.data import audio

    if isinstance(value, bytearray | memoryview):
        value = bytes(value)
    if isinstance(value, str | os.PathLike | bytes):
        samples, found = audio.load(value)
        return _resample(_finite(samples if keep_channels else _to_mono(samples)), found, rate)
    if isinstance(value, tuple):
        if len(value) != 2 or not _is_rate(value[0]):
            raise DataError("a tuple of audio is (rate, samples), the rate being a whole number")
        samples = _to_float(value[1])
        samples = _finite(samples if keep_channels else _to_mono(samples))
        return _resample(samples, int(value[0]), rate)
    if isinstance(value, list):
        return _finite(_to_float(_listed(value)))
    if not hasattr(value, "shape"):
        raise DataError(
            f"a value of type {type(value).__name__} is no audio; give a path, the content of an "
            "audio file as bytes, (rate, samples), or samples as an array, a tensor or a list"
        )
    return _finite(_native(value))


def _is_rate(value: Any) -> bool:
    is_whole = isinstance(value, numbers.Integral) and not isinstance(value, bool)
    return is_whole and int(value) > 0


def _listed(value: list[Any]) -> Any:
    """Return a list of numbers as an array."""
    import numpy as np

    for place, item in enumerate(value):
        if isinstance(item, bool) or not isinstance(item, numbers.Real):
            raise DataError(
                f"a list of samples holds numbers, but item {place} is of type "
                f"{type(item).__name__}\n  samples with their rate are a tuple (rate, samples); "
                "several samples are for forward_batch"
            )
    return np.asarray(value)  # integers keep their type: it says the scale


def _native(samples: Any) -> Any:
    """Return the samples themselves, or as floats where only numpy knows their type."""
    dtype = getattr(samples, "dtype", None)
    kind = getattr(dtype, "kind", "f")  # tensors have none
    if kind not in "fiu":
        raise _no_audio(dtype)
    if not getattr(dtype, "isnative", True) or (kind == "f" and getattr(dtype, "itemsize", 0) > 8):
        return _to_float(samples)
    return samples


def _no_audio(dtype: Any) -> DataError:
    return DataError(f"samples of type {dtype} are no audio; give float or integer PCM")


def _finite(samples: Any) -> Any:
    """Return the samples, after a look for NaN and infinity where it is free."""
    import numpy as np

    device = getattr(samples, "device", None)
    if getattr(device, "type", "cpu") != "cpu":  # looking would wait for the accelerator
        return samples
    array = _as_array(samples)
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        first = int(np.flatnonzero(~np.isfinite(array))[0])
        raise DataError(f"samples must be finite, but item {first} is {array.flat[first]}")
    return samples


def _to_float(samples: Any) -> Any:
    import numpy as np

    array = _as_array(samples)
    if array.dtype.name in _INT_ZERO_AND_SCALE:
        zero, scale = _INT_ZERO_AND_SCALE[array.dtype.name]
        return ((array.astype(np.float32) - np.float32(zero)) / np.float32(scale)).astype("float32")
    if array.dtype.kind != "f":
        raise _no_audio(array.dtype)
    return array.astype(np.float32)


def _as_array(samples: Any) -> Any:
    import numpy as np

    if hasattr(samples, "detach"):
        samples = samples.detach().cpu()
        # numpy has no bfloat16.
        return (samples.float() if samples.is_floating_point() else samples).numpy()
    try:
        return np.asarray(samples)
    except ValueError as error:
        raise DataError(f"samples are no array: {error}") from error


def _to_mono(samples: Any) -> Any:
    if samples.ndim > 2:
        raise DataError(f"samples of shape {samples.shape} are neither (S,) nor (S, channels)")
    if samples.ndim == 2 and samples.shape[1] > max(samples.shape[0], _MOST_CHANNELS):
        raise DataError(
            f"samples of shape {samples.shape} would be {samples.shape[1]} channels\n"
            "  give them as (S, channels): transpose the array"
        )
    return samples if samples.ndim == 1 else samples.mean(axis=1)


def _resample(samples: Any, rate: Hz, target: Hz) -> Any:
    if rate == target or not len(samples):
        return samples
    if rate not in _RATES:
        raise DataError(
            f"cannot resample from {rate} Hz: the rate of audio is {_RATES[0]} to {_RATES[-1]} Hz"
        )
    import soxr

    return soxr.resample(samples, rate, target)
