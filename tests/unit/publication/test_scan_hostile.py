"""A scan never calls harmless what the loader refuses."""

from __future__ import annotations

import pytest

from espnet3.errors import Espnet3Error
from espnet3.publication.bundle_scan import scan_bundle
from espnet3.publication.downloads import fetch_folder
from tests.unit.publication import backends  # noqa: F401 - the host program's own classes
from tests.unit.publication.hostile_bundles import KINDS
from tests.unit.publication.side_effects import watched


@pytest.mark.parametrize("hostile", KINDS, ids=lambda hostile: hostile.kind)
def test_a_scan_finds_what_the_loader_refuses(hostile, tmp_path, monkeypatch):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("ESPNET3_CACHE", str(tmp_path / "cache"))
    bundle, trace = tmp_path / "bundle", tmp_path / "trace"
    tag = hostile.build(bundle, trace) or str(bundle)
    try:
        folder = fetch_folder(tag)
        with watched(folder, tmp_path / "cache"):
            found = scan_bundle(folder)
    except Espnet3Error:
        return
    finally:
        assert not trace.exists()
    notes = [f for f in found if f.note != "absent, so damage is not noticed"]
    assert notes, hostile.kind
