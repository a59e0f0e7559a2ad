from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch

from espnet3.errors import BundleError
from espnet3.publication.bundle_scan import scan_bundle
from espnet3.utils.weights_utils import export_safetensors
from tests.unit.publication.conftest import write


class Thing:
    pass


@pytest.fixture
def root(recipe):
    return recipe.pack()


def kinds(root):
    return {(f.kind, f.place) for f in scan_bundle(root) if f.is_problem}


def test_what_our_packing_writes_has_no_problems(root):
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


def test_a_folder_that_is_no_bundle_is_not_scanned(tmp_path):
    with pytest.raises(BundleError, match="not a bundle"):
        scan_bundle(tmp_path)
