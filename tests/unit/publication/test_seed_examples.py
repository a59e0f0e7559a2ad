"""The examples of the user's own pages on sessions run as they stand there."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Iterator

import pytest

from tests.conftest import REPO_ROOT
from tests.unit.publication.conftest import write
from tests.unit.publication.hub_server import running_hub
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]

pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

SEEDS = REPO_ROOT.parent / "shared" / "seeds"
NAMES = ("espnet/some_model", "espnet/your-model-tag")

PROGRAM = """
    import json, sys
    import numpy
    from espnet3.publication import InferenceSession

    audio_array, audio_a, audio_b = numpy.zeros((3, 1600), dtype="float32")
    for example in json.load(open(sys.argv[1])):
        names = {"InferenceSession": InferenceSession, "audio_array": audio_array,
                 "audio_a": audio_a, "audio_b": audio_b}
        exec(example, names)
        made = {name: names[name] for name in ("result", "text", "batch") if name in names}
        print(json.dumps(made))
"""


def read_seed(name: str) -> str:
    if not SEEDS.is_dir():
        pytest.skip("the user's pages (../shared/seeds) are not on this machine")
    return (SEEDS / name).read_text(encoding="utf-8")


def docstring_examples(page: str) -> Iterator[str]:
    """Yield each example; the pages glue the next heading to the last line of one."""
    lines: list[str] = []
    for line in [*page.splitlines(), ""]:
        if line.startswith((">>> ", "... ")):
            lines.append(line[4:])
        elif lines:
            yield longest_program("\n".join(lines))
            lines = []


def longest_program(text: str) -> str:
    for end in range(len(text), 0, -1):
        with contextlib.suppress(SyntaxError):
            compile(text[:end], "example", "exec")
            return text[:end]
    raise AssertionError(f"no program: {text}")


def typical_use(page: str) -> str:
    start = page.index("from espnet3.publication import InferenceSession")
    end = page.index("result = session(audio_array)")
    return page[start:end] + "result = session(audio_array)"


@pytest.fixture
def examples() -> list[str]:
    found = [*docstring_examples(read_seed("inference-session.txt"))]
    return [*found, typical_use(read_seed("publication-stages.txt"))]


def test_the_examples_are_those_of_the_pages(examples):
    first, second, third = examples
    assert "session.forward_batch([audio_a, audio_b])" in first.splitlines()[-1]
    assert second.splitlines()[-1] == "text = session(audio_array)"
    assert all("trust_user_code=True" in example for example in (first, second, third))


def test_every_example_runs_against_a_bundle_on_the_hub(digits, examples, publish, tmp_path):
    code = "def build_output(data, model_output, idx):\n    return [idx, model_output[0][0]]\n"
    write(digits.root / "src" / "inference.py", code)
    digits.inference["output_fn"] = "src.inference.build_output"
    script = write(tmp_path / "program.py", textwrap.dedent(PROGRAM))
    listing = write(tmp_path / "examples.json", json.dumps(examples))
    with running_hub() as hub:
        for name in NAMES:
            publish(digits, hub, name)
        environment = {k: v for k, v in os.environ.items() if not k.startswith("HF_")} | {
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "PYTHONPATH": str(REPO_ROOT),
        }
        done = subprocess.run([sys.executable, script, listing], capture_output=True, text=True,
                              env=environment, cwd=tmp_path)  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second, third = map(json.loads, done.stdout.splitlines())
    text = second["text"][1]
    assert first == {"result": [0, text], "batch": [[0, text], [1, text]]}
    assert (second, third) == ({"text": [0, text]}, {"result": [0, text]})
