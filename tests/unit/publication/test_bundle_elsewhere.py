"""A bundle on other media, in another environment, and behind the Hub."""

from __future__ import annotations

import json
import textwrap

import numpy as np
import pytest

from espnet3.publication import InferenceSession
from tests import wheel
from tests.read_only import read_only_for
from tests.unit.publication.conftest import write
from tests.unit.publication.hub_server import running_hub
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

PROGRAM = """
    import importlib.util, json, os, sys

    def refuse(event, args):
        if event in ("socket.connect", "socket.getaddrinfo") and "HF_ENDPOINT" not in os.environ:
            raise SystemExit(f"used the network: {args}")

    sys.addaudithook(refuse)
    tag, sample, extras = sys.argv[1], sys.argv[2], sys.argv[3:]
    import numpy
    import espnet3
    from espnet3.publication import InferenceSession

    session = InferenceSession.from_pretrained(tag, verify=True)
    speech = numpy.load(sample)
    print(json.dumps({
        "results": [session(speech), session.model(speech)],
        "batch": session.forward_batch([speech, speech[:8000]], use_model_batch=True),
        "root": str(session.bundle_root),
        "installed": [name for name in extras if importlib.util.find_spec(name)],
        "espnet3": espnet3.__file__,
    }))
"""
EXTRAS = ["gradio", "espnet2", "jiwer", "pytest", "hypothesis", "mypy", "matplotlib", "tests"]


@pytest.fixture(scope="module")
def core_python(tmp_path_factory):
    """An interpreter whose environment holds the wheel and what it requires."""
    folder = tmp_path_factory.mktemp("core")
    return wheel.install_core(wheel.build_wheel(folder / "wheel"), folder / "env")


@pytest.fixture
def sample(tmp_path):
    path = tmp_path / "speech.npy"
    np.save(path, np.random.default_rng(0).standard_normal(16000).astype(np.float32))
    return path


def results_of(session, speech):
    """Return what the program prints of a session, as JSON gives it back."""
    results = [session(speech), session.model(speech)]
    batch = session.forward_batch([speech, speech[:8000]], use_model_batch=True)
    return json.loads(json.dumps({"results": results, "batch": batch}))


def run(tmp_path, python, tag, sample, *, prefix=(), **variables):
    script = write(tmp_path / "program.py", textwrap.dedent(PROGRAM))
    (tmp_path / "empty").mkdir(exist_ok=True)
    command = [*prefix, python, "-B", script, tag, sample, *EXTRAS]
    done = wheel.run_outside(command, tmp_path / "empty", **variables)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found.pop("installed") == []
    assert found.pop("espnet3").startswith(str(python.parents[1]))
    return found


def test_moved_read_only_offline_in_a_core_installation(digits, core_python, sample, tmp_path):
    digits.pack_model["golden_samples"] = True
    expected = results_of(InferenceSession.from_config(digits.inference), np.load(sample))
    moved = tmp_path / "media" / "bundle"
    moved.parent.mkdir()
    digits.pack().rename(moved)
    digits.root.rename(tmp_path / "gone")
    before = {p: p.stat().st_mtime_ns for p in moved.rglob("*")}
    found = run(tmp_path, core_python, moved, sample, prefix=read_only_for(moved),
                HF_HUB_OFFLINE="1", HOME=str(tmp_path / "no-home"))  # fmt: skip
    assert found.pop("root") == str(moved)
    assert found == expected
    assert {p: p.stat().st_mtime_ns for p in moved.rglob("*")} == before
    assert not (tmp_path / "no-home").exists()


def test_packed_uploaded_and_loaded_by_its_name_gives_identical_results(
    digits, core_python, publish, sample, tmp_path
):
    digits.pack_model["golden_samples"] = True
    expected = results_of(InferenceSession.from_config(digits.inference), np.load(sample))
    cache = tmp_path / "cache"
    with running_hub() as hub:
        commit = publish(digits, hub, "ada/digits")
        digits.root.rename(tmp_path / "gone")
        variables = {"HF_ENDPOINT": hub.url, "HF_HOME": str(cache), "HF_TOKEN": "",
                     "HF_HUB_DISABLE_PROGRESS_BARS": "1"}  # fmt: skip
        first = run(tmp_path, core_python, "ada/digits", sample, **variables)
    again = run(tmp_path, core_python, "ada/digits", sample, prefix=read_only_for(cache),
                HF_HOME=str(cache), HF_HUB_OFFLINE="1")  # fmt: skip
    for found in (first, again):
        assert found.pop("root").endswith(commit)
        assert found == expected
