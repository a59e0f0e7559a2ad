"""Golden samples: inputs packed with what the model made of them, to be compared later.

``golden/golden.json`` lists the samples; inputs are NumPy files beside it.
"""

from __future__ import annotations

import json
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from espnet3.errors import BundleError
from espnet3.publication import bundle
from espnet3.publication.limited_yaml import MAX_JSON_BYTES, read_json
from espnet3.publication.session_inputs import is_audio_key
from espnet3.utils.path_utils import atomic_path, write_json
from espnet3.utils.printable import printable_errors
from espnet3.utils.types import Hz

GOLDEN_FOLDER = "golden"
GOLDEN_FILE = f"{GOLDEN_FOLDER}/golden.json"
TOLERANCES = {"absolute": 1e-3, "relative": 1e-2}
"""How far numbers may be off, because machines and versions of torch round differently."""

_KEPT_VALUES = 4096
_DEFAULT_RATE: Hz = 16000
_SENTENCE = "one two three"


class Session(Protocol):
    """What a golden sample is run with."""

    input_key: str | list[str]

    def forward(self, sample: Any, *, idx: Any = 0) -> Any:
        """Run one sample."""


def input_names(session: Session) -> list[str]:
    """Return the names of the inputs of a session."""
    keys = session.input_key
    return [keys] if isinstance(keys, str) else list(keys)


def synthesize(names: Sequence[str], rate: Hz | None) -> dict[str, Any]:
    """Return one made-up sample: a second of tones and noise for audio, a sentence for text.

    The same names give the same sample on every machine.

    Raises:
        BundleError: If an input is neither audio nor text.
    """
    sample: dict[str, Any] = {}
    for name in names:
        if is_audio_key(name):
            sample[name] = _tones(rate or _DEFAULT_RATE, seed=zlib.crc32(name.encode()))
        elif name == "text" or name.endswith("_text"):
            sample[name] = _SENTENCE
        else:
            raise BundleError(
                f"no input can be made up for {name!r}, which is neither audio nor text\n"
                "  list audio files in pack_model.golden_samples, or set it to off"
            )
    return sample


def write_samples(session: Session, root: Path, samples: Sequence[Mapping[str, Any]]) -> None:
    """Run samples and store them with their results in a bundle.

    Args:
        session: The model of the bundle.
        root: Folder of the bundle.
        samples: Input name → float32 samples of shape (S,), or text.
    """
    import numpy as np

    entries = []
    for index, sample in enumerate(samples):
        inputs: dict[str, Any] = {}
        for name, value in sample.items():
            if isinstance(value, str):
                inputs[name] = {"text": value}
                continue
            place = f"{GOLDEN_FOLDER}/{index}_{name}.npy"
            with atomic_path(root / place) as temporary:
                np.save(temporary, value, allow_pickle=False)
            inputs[name] = {"file": place}
        entries.append({"inputs": inputs, "output": describe(session.forward(sample, idx=index))})
    write_json(root / GOLDEN_FILE, {"tolerances": TOLERANCES, "samples": entries})


@printable_errors()
def verify_samples(session: Session, root: Path) -> int:
    """Run the golden samples of a bundle and compare the results with the recorded ones.

    Returns:
        Number of samples.

    Raises:
        BundleError: If there are none, they are damaged, or a result differs.
    """
    samples, tolerances = read_samples(root)
    for index, (inputs, recorded) in enumerate(samples):
        found = json.loads(json.dumps(describe(session.forward(inputs, idx=index))))
        difference = next(differences(recorded, found, tolerances), None)
        if difference is not None:
            raise BundleError(
                f"{root}: golden sample {index} does not give what was recorded: {difference}\n"
                "  the bundle is damaged, or an installed package computes something else"
            )
    return len(samples)


def describe_agreement(count: int) -> str:
    """Return what to say of a number of samples that gave what was recorded."""
    return f"{count} golden sample{' gives' if count == 1 else 's give'} what was recorded"


def read_samples(root: Path) -> tuple[list[tuple[dict[str, Any], Any]], dict[str, float]]:
    """Return inputs and recorded result of each golden sample, and the tolerances.

    Raises:
        BundleError: If there are none, or they are damaged.
    """
    path = root / GOLDEN_FILE
    if not path.is_file():
        raise BundleError(
            f"{root} has no golden samples, so it cannot be verified\n"
            "  pack it again with pack_model.golden_samples"
        )
    try:
        content = read_json(path)
        tolerances = {name: float(content["tolerances"][name]) for name in TOLERANCES}
        samples = [
            (_read_inputs(root, entry["inputs"]), entry["output"]) for entry in content["samples"]
        ]
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise BundleError(
            f"{path} is not a record of golden samples ({type(error).__name__}: {error})"
        ) from error
    return samples, tolerances


def describe(value: Any) -> Any:
    """Return a result as JSON: texts, numbers and containers; of large arrays a part.

    Example:
        >>> describe([("one", 0.5), {"ok": True}])
        [['one', 0.5], {'ok': True}]
    """
    if value is None or isinstance(value, str | bool | int):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if isinstance(value, Mapping):
        return {str(name): describe(child) for name, child in value.items()}
    if isinstance(value, list | tuple):
        return [describe(child) for child in value]
    if hasattr(value, "detach"):
        value = value.detach().cpu().float().numpy()
    if hasattr(value, "dtype") and hasattr(value, "shape"):
        flat = value.reshape(-1)
        step = max(1, -(-flat.size // _KEPT_VALUES))
        return {"shape": list(value.shape), "values": describe(flat[::step].tolist())}
    return {"type": f"{type(value).__module__}.{type(value).__qualname__}"}


def differences(
    recorded: Any, found: Any, tolerances: Mapping[str, float], place: str = "output"
) -> Iterator[str]:
    """Yield where two described results differ."""
    if isinstance(recorded, dict) and isinstance(found, dict) and recorded.keys() == found.keys():
        for name in recorded:
            yield from differences(recorded[name], found[name], tolerances, f"{place}.{name}")
    elif isinstance(recorded, list) and isinstance(found, list) and len(recorded) == len(found):
        for index, pair in enumerate(zip(recorded, found, strict=True)):
            yield from differences(*pair, tolerances, f"{place}[{index}]")
    elif _is_number(recorded) and _is_number(found):
        limit = tolerances["absolute"] + tolerances["relative"] * abs(recorded)
        if not abs(recorded - found) <= limit:
            yield f"{place} is {found!r}, recorded was {recorded!r}"
    elif recorded != found or isinstance(recorded, bool) != isinstance(found, bool):
        yield f"{place} is {_short(found)}, recorded was {_short(recorded)}"


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 120 else f"{text[:117]}..."


def _read_inputs(root: Path, inputs: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    sample: dict[str, Any] = {}
    for name, entry in inputs.items():
        if "text" in entry:
            sample[name] = str(entry["text"])
            continue
        path = bundle.member_path(root, entry["file"], GOLDEN_FILE)
        if path.stat().st_size > MAX_JSON_BYTES:
            raise ValueError(f"{path.name} is larger than {MAX_JSON_BYTES} bytes")
        # Mapped, so that a header which promises more than follows is an error, not an allocation.
        sample[name] = np.array(np.load(path, mmap_mode="r", allow_pickle=False))
    return sample


def _tones(rate: Hz, seed: int) -> Any:
    """Return one second of three tones that come and go, with noise; float32, shape (rate,)."""
    import numpy as np

    generator = np.random.Generator(np.random.PCG64(seed))
    time = np.arange(rate) / rate
    waves = [np.sin(2 * np.pi * hertz * time) for hertz in (220.0, 700.0, 1800.0)]
    loudness = 0.5 + 0.5 * np.sin(2 * np.pi * 3.0 * time)
    noise = generator.standard_normal(rate)
    return (0.1 * loudness * sum(waves) + 0.01 * noise).astype(np.float32)
