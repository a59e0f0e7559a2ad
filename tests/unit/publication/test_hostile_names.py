"""Whatever a bundle calls things, nothing that is shown moves a cursor or poses as a message."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import tarfile
import traceback

import numpy as np
import pytest
import safetensors.torch
import torch

from espnet3.publication import InferenceSession
from espnet3.publication.bundle_scan import scan_bundle
from tests.conftest import REPO_ROOT
from tests.unit.publication import backends  # noqa: F401 - the host program's own classes
from tests.unit.publication.hostile_bundles import (
    ASR_MODEL,
    BACKEND,
    TRAINED_MODEL,
    Payload,
    golden,
    manifest,
    member,
    recogniser,
    tar,
    write,
    write_bundle,
)
from tests.unit.publication.inert_bundles import native

EVIL = "a\x1b[2K\r\u202eb\nerror: none"
LINEAR = {"_target_": "torch.nn.Linear", "in_features": 1, "out_features": 1}


def model(**arguments):
    return lambda root, trace: write_bundle(root, {"model": {"_target_": BACKEND, **arguments}})


def native_with(**parts):
    def build(root, trace):
        recogniser(root, "m.safetensors", {"model": {**ASR_MODEL, **parts}})
        write(root / "m.safetensors", safetensors.torch.save({EVIL: torch.ones(2)}))

    return build


def tensors(names, shape=(1, 1)):
    def build(root, trace):
        recogniser(root, f"{EVIL}.safetensors", {"model": LINEAR}, _target_=TRAINED_MODEL)
        state = {name: torch.ones(shape) for name in names}
        write(root / f"{EVIL}.safetensors", safetensors.torch.save(state))

    return build


def pickled(root, trace):
    recogniser(root, f"{EVIL}.pth", {"model": ASR_MODEL})
    torch.save({"x": Payload(trace)}, root / f"{EVIL}.pth")


def large(root, trace):
    model(path=f"${{recipe_dir}}/{EVIL}.txt")(root, trace)
    with write(root / f"{EVIL}.txt", b"x").open("r+b") as stream:
        stream.truncate(2**30)


def pipe(root, trace):
    model()(root, trace)
    os.mkfifo(root / EVIL)


def folder_in_archive(root, trace):
    write_bundle(root, {"model": {"_target_": "os.system"}})
    with tarfile.open(root / "b.tar", "w") as archive:
        for name in ("meta.yaml", "conf/inference.yaml"):
            archive.add(root / name, f"{EVIL}/{name}")
    return str(root / "b.tar")


def metadata(**entries):
    return lambda root, trace: write_bundle(root, {"model": {"_target_": BACKEND}}, **entries)


PLACES = {
    "target": lambda root, trace: write_bundle(root, {"model": {"_target_": EVIL}}),
    "target of an argument": model(**{EVIL: {"_target_": "os.system"}}),
    "target that is no text": model(**{EVIL: {"_target_": [1]}}),
    "argument": model(**{EVIL: 1}),
    "argument of ours": native_with(**{EVIL: 1}),
    "argument of a part": native_with(encoder={**ASR_MODEL["encoder"], EVIL: 1}),
    "choice": native_with(encoder={"type": EVIL}),
    "argument of a layer": lambda root, trace: write_bundle(
        root, {"model": {**LINEAR, EVIL: 1}}
    ),
    "device": lambda root, trace: write_bundle(
        root, {"model": {"_target_": TRAINED_MODEL, "train_config": "x.yaml", "device": EVIL}}
    ),
    "setting": model(**{EVIL: {"trust_remote_code": EVIL}}),
    "path": model(**{EVIL: f"/{EVIL}"}),
    "interpolation": model(**{EVIL: "${nowhere}"}),
    "interpolated name": model(x="${" + EVIL.replace("\n", "") + "}"),
    "resolver": model(**{EVIL: "${oc.env:HOME}"}),
    "output function": lambda root, trace: write_bundle(
        root, {"model": {"_target_": BACKEND}, "output_fn": f"src.{EVIL}"}
    ),
    "included file": lambda root, trace: write_bundle(
        root, {"defaults": [EVIL], "model": {"_target_": BACKEND}}
    ),
    "YAML": lambda root, trace: (
        write_bundle(root, {}),
        write(root / "conf" / "inference.yaml", 'a: "\\e[2K\\r\\n\u202e"\n"\u202e": [\n!evil x'),
    ),
    "duplicate key": lambda root, trace: (
        write_bundle(root, {}),
        write(root / "conf" / "inference.yaml", '"\\e[2K\\nerror: none": 1\n' * 2),
    ),
    "artifact": metadata(files={EVIL: EVIL}),
    "artifact that leads out": metadata(yaml_files={EVIL: f"../{EVIL}"}),
    "version": metadata(schema_version=EVIL),
    "import root": metadata(user_code_paths=[f"/{EVIL}"]),
    "manifest": manifest([{"path": EVIL, "size": 1, "sha256": "0"}]),
    "damaged manifest": manifest(json.dumps([{EVIL: 1}])),
    "golden sample": golden({EVIL: EVIL}),
    "golden result": golden({"text": EVIL}, {EVIL: [EVIL]}),
    "tensors of another model": tensors([EVIL]),
    "tensor that is unexpected": tensors(["weight", "bias", EVIL]),
    "tensors of another shape": tensors(["weight"], (2, 3)),
    "pickle": pickled,
    "large text": large,
    "pipe": pipe,
    "folder in an archive": folder_in_archive,
    "member of an archive": tar(member(f"../{EVIL}")),
    "member of an archive, twice": tar(member(EVIL), member(EVIL)),
}  # fmt: skip


def check_shown(text):
    assert not {"\x1b", "\r", "\u202e"} & set(text), ascii(text)
    assert not [line for line in text.splitlines() if line.startswith("error: none")], text


@pytest.fixture
def place(request, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    build = PLACES[request.param]
    made = build(tmp_path / "bundle", tmp_path / "trace")
    return made if isinstance(made, str) else str(tmp_path / "bundle")


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_no_error_or_log_line_shows_it_raw(place, caplog):
    with caplog.at_level(logging.DEBUG), pytest.raises(Exception) as caught:
        InferenceSession.from_pretrained(place, verify=True)
    check_shown(str(caught.value))
    check_shown("".join(traceback.format_exception_only(caught.value)))
    chain = caught.value
    while chain is not None:
        check_shown("\n".join([str(chain), *getattr(chain, "__notes__", [])]))
        chain = chain.__cause__ or (None if chain.__suppress_context__ else chain.__context__)
    for record in caplog.records:
        check_shown(record.getMessage())


@pytest.mark.parametrize("place", PLACES, indirect=True)
def test_no_report_shows_it_raw(place, tmp_path):
    if not place.endswith(".tar"):
        for finding in scan_bundle(tmp_path / "bundle"):
            check_shown(str(finding))
            assert "\n" not in str(finding)


def test_the_command_shows_it_escaped(tmp_path):
    PLACES["tensor that is unexpected"](tmp_path / "b", tmp_path / "trace")
    for way in ("scan", "verify"):
        done = subprocess.run(
            [sys.executable, "-m", "espnet3", "bundle", way, tmp_path / "b"],
            capture_output=True, env={**os.environ, "PYTHONPATH": str(REPO_ROOT)}, text=True,
        )  # fmt: skip
        check_shown(done.stdout + done.stderr)
        assert done.returncode == 1
        assert r"a\x1b[2K\r\u202eb\nerror: none" in done.stdout + done.stderr


def test_what_a_model_says_when_it_is_called_is_escaped(tmp_path, caplog):
    native()(tmp_path / "b", tmp_path / "trace")
    session = InferenceSession.from_pretrained(str(tmp_path / "b"))

    def fail(speech):
        raise ValueError(EVIL)

    session.model = fail
    with pytest.raises(ValueError, match=r"a\\x1b\[2K\\r\\u202eb\n  error: none") as caught:
        session.forward_batch([np.ones(4)], use_model_batch=True)
    check_shown(str(caught.value))
    check_shown(caplog.text)
