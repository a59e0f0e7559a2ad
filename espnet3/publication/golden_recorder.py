"""Record and re-check golden samples in a clean interpreter, as a user of the bundle would have it.

Run as a program, the module loads the bundle that its argument describes. Nothing of the recipe is
there then: no working directory, no modules, no ``PYTHONPATH``, no network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import espnet3
from espnet3.errors import BundleError, Espnet3Error, UntrustedCodeError
from espnet3.publication import bundle, golden
from espnet3.publication.limited_yaml import read_mapping
from espnet3.publication.self_check import is_importable
from espnet3.publication.session_inputs import read_rate, to_samples
from espnet3.utils.types import Seconds

_TIME_LIMIT: Seconds = 1800.0
_PROGRAM = "import sys; sys.path.append({root!r}); from {module} import main; main(sys.argv[1])"
_MARK = "espnet3-golden: "


def record_in_clean_interpreter(root: Path, audio_files: Sequence[Path] = ()) -> bool:
    """Load a bundle in an interpreter of its own and store golden samples in it.

    Args:
        root: Folder of the bundle.
        audio_files: What to record; without any, one made-up sample.

    Returns:
        Whether the bundle's model loads without trust.

    Raises:
        BundleError: If it cannot be loaded or called there.
    """
    files = [str(path.absolute()) for path in audio_files]
    answer = _run({"action": "record", "root": str(root.absolute()), "files": files})
    return bool(answer["trusted"] is False)


def verify_in_clean_interpreter(root: Path) -> int:
    """Load a bundle in an interpreter of its own and compare its golden samples.

    Raises:
        BundleError: If it cannot be loaded there, or a result differs.
    """
    return int(_run({"action": "verify", "root": str(root.absolute())})["samples"])


def find_obstacle(root: Path) -> str | None:
    """Say why the model of a bundle cannot be recorded on this machine, ``None`` if it can."""
    model = (read_mapping(root / bundle.INFERENCE_CONFIG) or {}).get("model")
    if not isinstance(model, dict) or "_target_" not in model:
        return f"{bundle.INFERENCE_CONFIG} says nothing about the model"
    target = str(model["_target_"])
    if is_importable(root, target):
        return None
    return f"the package {target.partition('.')[0]!r} of the model is not installed here"


def _run(request: dict[str, Any]) -> dict[str, Any]:
    root = str(Path(espnet3.__file__).resolve().parents[1])
    program = _PROGRAM.format(root=root, module=__name__)
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "HF_TOKEN"))},
        "HF_HUB_OFFLINE": "1",
        "CUDA_VISIBLE_DEVICES": "",
    }
    with tempfile.TemporaryDirectory(prefix="espnet3-golden-") as elsewhere:
        try:
            done = subprocess.run(  # noqa: S603 - our own program
                [sys.executable, "-I", "-B", "-c", program, json.dumps(request)],
                cwd=elsewhere,
                env=environment,
                capture_output=True,
                text=True,
                timeout=_TIME_LIMIT,
                check=False,
            )
        except subprocess.TimeoutExpired as error:
            raise BundleError(
                f"{request['root']}: no result of a golden sample after {_TIME_LIMIT:.0f} s"
            ) from error
    answers = [line for line in done.stdout.splitlines() if line.startswith(_MARK)]
    if not answers:
        last = "\n  ".join(done.stderr.strip().splitlines()[-5:])
        raise BundleError(f"{request['root']}: the interpreter that loads it failed:\n  {last}")
    answer: dict[str, Any] = json.loads(answers[-1].removeprefix(_MARK))
    if "error" in answer:
        raise BundleError(f"in a clean interpreter: {answer['error']}")
    return answer


def main(argument: str) -> None:
    """Carry out one request and write the answer to standard output."""
    request = json.loads(argument)
    root = Path(request["root"])
    try:
        session, trusted = _load(root)
        if request["action"] == "record":
            golden.write_samples(session, root, _samples(session, request["files"]))
        answer: dict[str, Any] = {
            "trusted": trusted,
            "samples": golden.verify_samples(session, root),
        }
    except (Espnet3Error, OSError) as error:
        answer = {"error": str(error)}
    except Exception as error:
        # A model's own exception: its type says as much as its message.
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(f"{_MARK}{json.dumps(answer)}\n")


def _load(root: Path) -> tuple[Any, bool]:
    from espnet3.publication import InferenceSession

    try:
        return InferenceSession.from_pretrained(str(root)), False
    except UntrustedCodeError:
        # Whoever packs a bundle vouches for it.
        return InferenceSession.from_pretrained(str(root), trust_user_code=True), True


def _samples(session: Any, files: Sequence[str]) -> list[dict[str, Any]]:
    names = golden.input_names(session)
    rate = read_rate(session.model)
    if not files:
        return [golden.synthesize(names, rate)]
    if len(names) != 1:
        raise BundleError(
            f"the model takes several inputs ({', '.join(names)}), so a list of audio files does "
            "not say what goes where\n  set pack_model.golden_samples: true"
        )
    return [{names[0]: to_samples(path, rate or _rate_of(path))} for path in files]


def _rate_of(path: str) -> int:
    from espnet3.components.data import audio

    return audio.info(path).sample_rate
