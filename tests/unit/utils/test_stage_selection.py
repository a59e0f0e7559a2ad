from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from espnet3.utils.stage_selection import resolve_stages

STAGES = ["prepare", "train", "infer", "upload_model", "upload_demo"]


@given(st.lists(st.sampled_from(STAGES), min_size=1))
def test_resolved_stages_are_the_requested_ones_in_list_order(requested):
    resolved = resolve_stages(requested, STAGES)
    assert set(resolved) == set(requested)
    assert resolved == sorted(resolved, key=STAGES.index)


def test_all_leaves_publishing_out_and_says_so(caplog):
    caplog.set_level(logging.INFO)
    assert resolve_stages(["all"], STAGES) == ["prepare", "train", "infer"]
    assert "publishing needs its stage's name: upload_model, upload_demo" in caplog.text


def test_all_leaves_packing_a_demo_out():
    stages = ["train", "pack_demo", "measure"]
    assert resolve_stages(["all"], stages) == ["train", "measure"]
    assert resolve_stages(["pack_demo", "all"], stages) == stages


def test_a_named_upload_runs_beside_all():
    assert resolve_stages(["all", "upload_demo"], STAGES) == [*STAGES[:3], "upload_demo"]


def test_an_unknown_stage_names_the_known_ones_and_the_nearest():
    with pytest.raises(ValueError, match=r"unknown stage\(s\): trian, x") as caught:
        resolve_stages(["trian", "x", "train"], STAGES)
    assert 'did you mean "train"?' in str(caught.value)
    assert "known stages: prepare, train" in str(caught.value)
