from __future__ import annotations

import shutil

import pytest

from espnet3.demo.trial import try_out
from espnet3.errors import BundleError


def test_a_packed_demo_answers_through_its_own_interface(demo_dir):
    text, facts, picture = try_out(demo_dir)
    assert isinstance(text, str)
    assert "s for 1.0 s of audio" in facts and picture.endswith(".png")


def test_a_demo_that_does_not_start_says_why(demo_dir, tmp_path):
    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    (folder / "model" / "meta.yaml").unlink()
    with pytest.raises(BundleError, match=r"(?s)does not start: app\.py stopped.*Error"):
        try_out(folder)
