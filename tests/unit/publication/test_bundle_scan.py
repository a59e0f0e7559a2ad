from __future__ import annotations

import os
import pickle

import numpy as np
import pytest
import torch

from espnet3.errors import BundleError
from espnet3.publication import InferenceSession, model_layout
from espnet3.publication.bundle_scan import scan_bundle
from espnet3.publication.session_backend import build_described
from espnet3.utils.weights_utils import export_safetensors
from tests.unit.publication.conftest import write
from tests.unit.publication.hostile_bundles import (
    ASR_MODEL,
    oversized,
    oversized_layer,
    training_config,
)
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]


class Thing:
    pass


@pytest.fixture
def root(recipe):
    return recipe.pack()


def kinds(root):
    return {(f.kind, f.place) for f in scan_bundle(root) if f.is_problem}


def test_what_our_packing_writes_has_no_problems(root):
    assert kinds(root) == set()


def test_a_relative_path_finds_what_an_absolute_one_finds(digits, monkeypatch):
    root = digits.pack()
    monkeypatch.chdir(digits.root)
    assert kinds(root.relative_to(digits.root)) == set()
    write(root / "id_rsa", "-----BEGIN RSA PRIVATE KEY-----\n")
    assert kinds(root.relative_to(digits.root)) == {("secret", "id_rsa:1"), ("manifest", "id_rsa")}


def test_what_programs_leave_in_the_folder_is_no_problem(root):
    write(root / "src" / "__pycache__" / "a.cpython-311.pyc", b"x")
    write(root / ".gitattributes", "*.bin filter=lfs\n")
    assert kinds(root) == set()


def test_files_that_hold_objects_are_found_without_reading_them(root):
    write(root / "a.pkl", pickle.dumps(Thing()))
    torch.save({"x": Thing()}, root / "b.ckpt")
    torch.save({"x": torch.ones(2)}, root / "fine.pth")
    export_safetensors({"x": torch.ones(2)}, root / "fine.safetensors")
    np.save(root / "c.npy", np.array([Thing()], dtype=object))
    np.save(root / "fine.npy", np.ones(2))
    write(root / "d.pt", b"no checkpoint")
    assert {place for kind, place in kinds(root) if kind == "pickle"} == {
        "a.pkl", "b.ckpt", "c.npy", "d.pt",
    }  # fmt: skip


def test_links_and_configs_that_lead_out_are_found(root):
    (root / "link").symlink_to("/etc/hostname")
    write(root / "conf" / "inference.yaml", {"model": {"a": "${oc.env:HOME}"}})
    found = kinds(root)
    assert ("link", "link") in found
    assert ("config", "conf/inference.yaml") in found
    assert ("manifest", "manifest.json") in found


def test_targets_are_judged_without_being_run(root, tmp_path):
    write(
        root / "conf" / "inference.yaml",
        {"model": {"_target_": "os.system", "x": {"_target_": "espnet3.nowhere.Model"}}},
    )
    notes = {f.place: (f.kind, f.note) for f in scan_bundle(root)}
    assert notes["model._target_"][0] == "trust"
    assert notes["model.x._target_"][0] == "config"


def test_a_packed_training_config_is_judged_like_the_loader_does(tmp_path):
    model = {**ASR_MODEL, "encoder": {**ASR_MODEL["encoder"], "x": {"_target_": "os.system"}}}
    training_config(model)(tmp_path / "b", tmp_path / "trace")
    torch.save({"w": torch.ones(1)}, tmp_path / "b" / "m.pth")
    found = {f.place: f.kind for f in scan_bundle(tmp_path / "b")}
    assert found["model.encoder.x._target_"] == "trust"
    assert not (tmp_path / "trace").exists()


def test_names_cannot_forge_lines_of_the_report(root):
    write(root / "x\x1b[2K\rok\nmanifest no problem.pkl", pickle.dumps(1))
    text = "\n".join(map(str, scan_bundle(root)))
    assert "\x1b" not in text and "\r" not in text
    assert r"x\x1b[2K\rok\nmanifest no problem.pkl: can only be read" in text


def test_a_native_bundle_has_no_problems_and_is_laid_out_without_memory(digits, monkeypatch):
    made = []

    def build(config, request):
        made.append(build_described(config, request))
        return made[-1]

    monkeypatch.setattr(model_layout, "build_described", build)
    assert [str(finding) for finding in scan_bundle(digits.pack())] == []
    (recognizer,) = made
    assert all(p.is_meta for p in recognizer.model.parameters())


SIZES = [
    oversized(output_size=200_000),
    oversized(num_blocks=10**9),
    oversized("frontend", n_mels=10**10),
    oversized_layer(in_features=10**6, out_features=10**6),
]


@pytest.mark.parametrize("build", SIZES)
def test_a_scan_says_of_sizes_what_loading_says(build, tmp_path):
    build(tmp_path / "b", tmp_path / "trace")
    with pytest.raises(BundleError) as caught:
        InferenceSession.from_pretrained(str(tmp_path / "b"))
    said = "; ".join(line.strip() for line in str(caught.value).splitlines())
    assert [f.note for f in scan_bundle(tmp_path / "b") if f.kind == "size"] == [said]


def test_weights_of_another_model_are_found(tmp_path):
    oversized()(tmp_path / "b", tmp_path / "trace")
    (note,) = [f.note for f in scan_bundle(tmp_path / "b") if f.kind == "config"]
    assert "tensors match the model" in note


def test_an_interpolation_that_leads_nowhere_is_found(root):
    write(root / "conf" / "inference.yaml", {"model": {"a": "${nowhere}"}})
    notes = [f.note for f in scan_bundle(root) if f.kind == "config"]
    assert any("cannot be resolved" in note and "nowhere" in note for note in notes)


def test_a_pipe_is_found_and_refused(root):
    os.mkfifo(root / "data" / "pipe")
    assert ("device", "data/pipe") in kinds(root)
    with pytest.raises(BundleError, match="data/pipe is neither file nor folder"):
        InferenceSession.from_pretrained(str(root))


def test_a_folder_that_is_no_bundle_is_not_scanned(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        scan_bundle(tmp_path)
