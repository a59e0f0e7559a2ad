"""Kinds of bundles with something evil where nobody runs it: they load, and nothing happens."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from tests.unit.publication.hostile_bundles import (
    ASR_MODEL,
    BACKEND,
    JINJA,
    recogniser,
    write,
    write_bundle,
)


@dataclass(frozen=True, kw_only=True)
class Inert:
    """One kind.

    Args:
        kind: What it is, for the table.
        does: What it tries.
        build: Writes the bundle into a folder; the payload would create the second path.
    """

    kind: str
    does: str
    build: Callable[[Path, Path], None]


def files(*names: str, text: str = "open('TRACE', 'w')\n", **config: Any) -> Any:
    """Build a bundle with further files; TRACE in their text is the trace."""

    def build(root: Path, trace: Path) -> None:
        write_bundle(root, {"model": {"_target_": BACKEND}, **config})
        for name in names:
            write(root / name, text.replace("TRACE", str(trace)))

    return build


def native(**training: Any) -> Any:
    """Build a bundle of our recogniser with further sections in its training config."""

    def build(root: Path, trace: Path) -> None:
        recogniser(root, "m.pth", {"model": ASR_MODEL, **training})
        parts = {name: value for name, value in ASR_MODEL.items() if name != "_target_"}
        models = importlib.import_module("espnet3.systems.asr.models")
        model = models.ASRModel(**{**parts, "token_list": str(root / "tokens.txt")})
        torch.save(model.state_dict(), root / "m.pth")

    return build


EVIL = {"_target_": "os.system", "command": "touch trace"}
EVIL_YAML = "x: {_target_: os.system, command: touch TRACE}\nfunc: os.system\n"

INERT = [
    Inert(kind="Jinja in `README.md`", does="runs when the card is rendered",
          build=files("README.md", text=f"# {JINJA}\n{{% include '/etc/passwd' %}}\n")),
    Inert(kind="Jinja in a value of `inference.yaml`", does="runs when the config is rendered",
          build=files(note=JINJA, device="cpu")),
    Inert(kind="`run.py`, `setup.py`, `conftest.py`", does="wait to be run",
          build=files("run.py", "setup.py", "conftest.py")),
    Inert(kind="`sitecustomize.py`, `x.pth`", does="hope for the interpreter's start-up",
          build=files("sitecustomize.py", "usercustomize.py", "x.pth")),
    Inert(kind="`numpy.py`, `json.py`, `src/torch.py`, not named",
          does="shadow what the program imports",
          build=files("numpy.py", "json.py", "wave.py", "src/__init__.py", "src/torch.py")),
    Inert(kind="`_target_` in `demo.yaml`, `metrics.yaml`, `publication.yaml`",
          does="stands in a config of other stages",
          build=files("demo.yaml", "conf/demo.yaml", "conf/metrics.yaml", "conf/publication.yaml",
                      text=EVIL_YAML)),
    Inert(kind="`_target_` in sections that a session does not read",
          does="hopes that all of the config is built",
          build=files(dataset={"test": [EVIL]}, parallel=EVIL, runner=EVIL)),
    Inert(kind="`_target_` in `dataset`, `trainer`, `optimizer` of a packed `training.yaml`",
          does="hopes that training is set up",
          build=native(dataset={"preprocessor": EVIL}, trainer={"callbacks": [EVIL]},
                       optimizer=EVIL)),
    Inert(kind="`tokenizer.text_builder` in a packed `training.yaml`",
          does="runs when the tokenizer is trained",
          build=native(tokenizer={"save_path": "data", "model_type": "word", "vocab_size": 4,
                                  "text_builder": {"func": "os.system"}})),
]  # fmt: skip
