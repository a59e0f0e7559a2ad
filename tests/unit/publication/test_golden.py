from __future__ import annotations

import json
import logging

import numpy as np
import pytest
import soundfile
import yaml
from hypothesis import given
from hypothesis import strategies as st

from espnet3.errors import BundleError, ConfigError
from espnet3.publication import InferenceSession, golden, limited_yaml
from espnet3.publication.bundle import write_manifest
from tests.unit.publication.conftest import write
from tests.unit.publication.test_asr_bundle import digits

__all__ = ["digits"]

LIMITS = golden.TOLERANCES


@pytest.fixture
def packed(digits):
    """A native bundle with golden samples."""
    digits.pack_model["golden_samples"] = True
    return digits.pack()


def change_record(root, change):
    path = root / "golden" / "golden.json"
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    write_manifest(root)


def test_a_native_bundle_is_recorded_and_verified(packed, tmp_path, caplog):
    caplog.set_level(logging.INFO)
    moved = packed.rename(tmp_path / "moved")
    InferenceSession.from_pretrained(str(moved), verify=True)
    assert "1 golden sample gives what was recorded" in caplog.text
    speech = np.load(moved / "golden" / "0_speech.npy")
    assert (speech.shape, speech.dtype) == ((16000,), np.float32)
    assert not yaml.safe_load((moved / "meta.yaml").read_text())["trust"]["requires_user_code"]
    assert not list(moved.rglob("__pycache__"))

    def forge(content):
        content["samples"][0]["output"]["hyp"] = "something else"

    change_record(moved, forge)
    with pytest.raises(
        BundleError, match=r"golden sample 0(.|\n)*output\.hyp(.|\n)*something else"
    ):
        InferenceSession.from_pretrained(str(moved), verify=True)
    InferenceSession.from_pretrained(str(moved))
    for damage in (
        lambda content: content["samples"][0]["inputs"]["speech"].update(file="../x.npy"),
        lambda content: content["samples"][0].update(inputs=[]),
        lambda content: content.pop("samples"),
    ):
        change_record(moved, damage)
        with pytest.raises(BundleError):
            InferenceSession.from_pretrained(str(moved), verify=True)


def test_listed_audio_is_recorded_at_the_rate_of_the_model_and_again_in_a_smoke_test(
    digits, tmp_path
):
    soundfile.write(tmp_path / "mine.wav", np.zeros(4000, dtype=np.float32), 8000)
    digits.pack_model |= {"golden_samples": [str(tmp_path / "mine.wav")], "smoke_test": True}
    out = digits.pack()
    assert np.load(out / "golden" / "0_speech.npy").shape == (8000,)
    assert InferenceSession.from_pretrained(str(out), verify=True)


def test_without_samples_there_is_nothing_to_verify(recipe):
    out = recipe.pack()
    with pytest.raises(BundleError, match="no golden samples"):
        InferenceSession.from_pretrained(str(out), trust_user_code=True, verify=True)
    with pytest.raises(ConfigError, match="verify"):
        InferenceSession.from_pretrained("t", backend_class=dict, enable_user_code=False,
                                         verify=True)  # fmt: skip


def test_a_class_that_users_lack_is_told_before_publishing(recipe, caplog):
    caplog.set_level(logging.INFO)
    recipe.inference["model"]["_target_"] = "only_here.Model"
    recipe.pack_model["golden_samples"] = True
    out = recipe.pack()
    assert "no golden samples: the package 'only_here'" in caplog.text
    assert "only_here" in caplog.text
    assert not (out / "golden").exists()
    recipe.pack_model["smoke_test"] = True
    with pytest.raises(BundleError, match="only_here(.|\n)*smoke_test"):
        recipe.pack()


def test_a_class_off_the_allow_list_needs_trust_and_the_card_says_so(recipe):
    recipe.pack_model["golden_samples"] = True
    out = recipe.pack()
    trust = yaml.safe_load((out / "meta.yaml").read_text())["trust"]
    assert trust["requires_user_code"]
    assert "trust_user_code=True" in (out / "README.md").read_text()
    InferenceSession.from_pretrained(str(out), trust_user_code=True, verify=True)


def test_a_listed_file_must_exist(recipe):
    recipe.pack_model["golden_samples"] = ["gone.wav"]
    with pytest.raises(BundleError, match=r"golden_samples(.|\n)*gone\.wav"):
        recipe.pack()
    recipe.pack_model |= {"golden_samples": False, "smoke_test": True}
    with pytest.raises(ConfigError, match="smoke_test"):
        recipe.pack()


def test_inputs_are_made_up_by_kind_and_always_the_same():
    first = golden.synthesize(["speech", "enroll_speech", "text"], 8000)
    again = golden.synthesize(["speech", "enroll_speech", "text"], 8000)
    assert first["text"] == again["text"] == "one two three"
    np.testing.assert_array_equal(first["speech"], again["speech"])
    assert not np.array_equal(first["speech"], first["enroll_speech"])
    assert first["speech"].dtype == np.float32
    assert 0.05 < np.abs(first["speech"]).max() < 1
    with pytest.raises(BundleError, match="video"):
        golden.synthesize(["video"], None)


def test_results_of_all_kinds_are_described():
    class Thing:
        pass

    large = np.arange(10000.0)
    found = golden.describe({"a": (1, None, float("inf")), 2: np.float32(0.5), "t": Thing()})
    assert found["a"] == [1, None, "inf"]
    assert found["2"] == {"shape": [], "values": [0.5]}
    assert found["t"]["type"].endswith("Thing")
    assert len(golden.describe(large)["values"]) <= 4096
    json.dumps(found)


trees = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner),
    max_leaves=6,
)


@given(trees)
def test_a_result_never_differs_from_itself(tree):
    described = golden.describe(tree)
    stored = json.loads(json.dumps(described))
    assert not list(golden.differences(stored, described, LIMITS))


@pytest.mark.parametrize(
    ("recorded", "found"),
    [
        ("a", "b"),
        (1.0, 1.1),
        (1, True),
        ([1], [1, 1]),
        ({"a": 1}, {"b": 1}),
        ({"a": [0.0, 1.0]}, {"a": [0.0, 2.0]}),
        (1.0, float("nan")),
        (None, 0),
    ],
)
def test_what_differs_is_found(recorded, found):
    assert len(list(golden.differences(recorded, found, LIMITS))) == 1
    assert not list(golden.differences(1.0, 1.005, LIMITS))


def test_a_record_that_is_too_large_is_not_read(tmp_path, monkeypatch):
    write(tmp_path / "golden" / "golden.json", "[" * 200)
    with pytest.raises(BundleError, match="not a record"):
        golden.verify_samples(None, tmp_path)
    monkeypatch.setattr(limited_yaml, "MAX_JSON_BYTES", 10)
    with pytest.raises(BundleError, match="larger than 10 bytes"):
        golden.verify_samples(None, tmp_path)
