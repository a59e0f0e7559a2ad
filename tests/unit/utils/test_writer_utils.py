from __future__ import annotations

import dataclasses
import json
import logging
import pickle
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from omegaconf import OmegaConf

from espnet3.errors import SettingError, UnknownKeyError
from espnet3.utils.writer_utils import infer_artifact_type, to_scalar, write_artifact


@dataclasses.dataclass
class Segment:
    start: float
    source: Path


def save_upper(*, value, output_path, mark="", **more):
    path = output_path.with_name(output_path.name + ".custom.txt")
    path.write_text(value.upper() + mark + more.get("end", ""))
    return str(path)


def forget_path(*, value, output_path):
    return None


def claim_path(*, value, output_path):
    return output_path.with_name("nowhere")


def artifacts_in(folder):
    return sorted(p.name for p in folder.iterdir())


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (torch.ones(2), "npy"),
        (np.ones(2), "npy"),
        ({"a": 1}, "json"),
        ({1, 2}, "pickle"),
        (None, "pickle"),
    ],
)
def test_the_type_follows_the_value(value, kind):
    assert infer_artifact_type(value) == kind


def test_arrays_and_tensors_are_saved_as_npy(tmp_path):
    path = write_artifact(torch.arange(3.0, requires_grad=True), tmp_path / "feats" / "spk1.001")
    assert path == tmp_path / "feats" / "spk1.001.npy"
    assert np.load(path).tolist() == [0.0, 1.0, 2.0]


def test_bfloat16_becomes_float32(tmp_path):
    path = write_artifact(torch.ones(2, dtype=torch.bfloat16), tmp_path / "a")
    assert np.load(path).dtype == np.float32


def test_a_suffix_is_appended_once(tmp_path):
    assert write_artifact(np.ones(1), tmp_path / "a.npy") == tmp_path / "a.npy"
    assert write_artifact({}, tmp_path / "a.npy") == tmp_path / "a.npy.json"


def test_arrays_of_objects_are_not_pickled_into_npy(tmp_path):
    with pytest.raises(ValueError, match="allow_pickle"):
        write_artifact(np.array([object()]), tmp_path / "a")
    assert artifacts_in(tmp_path) == []


@pytest.mark.parametrize("kind", ["npy", "wav", "pickle", "json"])
def test_a_tensor_elsewhere_is_refused(tmp_path, kind):
    rate = {"sample_rate": 8000} if kind == "wav" else {}
    with pytest.raises(ValueError, match="Move the tensor to CPU"):
        write_artifact(torch.ones(2, device="meta"), tmp_path / "a", {"type": kind, **rate})


def test_json_converts_what_speech_models_return(tmp_path):
    value = {
        "text": "größe",
        "score": np.float32(0.5),
        "tokens": (1, torch.tensor(2)),
        "align": np.array([[1, 2]]),
        "segment": Segment(0.5, Path("a/b.wav")),
        "nothing": None,
        7: True,
    }
    path = write_artifact(value, tmp_path / "a")
    assert "größe" in path.read_text(encoding="utf-8")
    assert json.loads(path.read_text(encoding="utf-8")) == {
        "text": "größe",
        "score": 0.5,
        "tokens": [1, 2],
        "align": [[1, 2]],
        "segment": {"start": 0.5, "source": "a/b.wav"},
        "nothing": None,
        "7": True,
    }


@pytest.mark.parametrize(
    ("value", "where"),
    [({"a": [0, {"b": {1}}]}, r"a\[1\]\.b: a set"), ({"a": {(1, 2): 0}}, "a: a tuple")],
)
def test_json_names_the_path_of_what_it_cannot_hold(tmp_path, value, where):
    with pytest.raises(ValueError, match=where):
        write_artifact(value, tmp_path / "a")
    assert artifacts_in(tmp_path) == []


def test_other_values_are_pickled(tmp_path):
    path = write_artifact({3, 4}, tmp_path / "a")
    assert path.suffix == ".pkl"
    assert pickle.loads(path.read_bytes()) == {3, 4}


def test_a_wav_keeps_its_rate_and_is_16_bit(tmp_path):
    config = OmegaConf.create({"type": "wav", "sample_rate": 8000})
    path = write_artifact(torch.tensor([0.0, 0.5, -0.5]), tmp_path / "a", config)
    info = soundfile.info(path)
    assert (info.samplerate, info.subtype, info.frames) == (8000, "PCM_16", 3)


@pytest.mark.parametrize(
    ("shape", "frames", "channels"),
    [((9,), 9, 1), ((9, 2), 9, 2), ((1, 9), 9, 1), ((2, 9), 9, 2), ((0,), 0, 1)],
)
def test_wav_shapes(tmp_path, shape, frames, channels):
    path = write_artifact(np.zeros(shape), tmp_path / "a", {"type": "wav", "sample_rate": 8000})
    info = soundfile.info(path)
    assert (info.frames, info.channels) == (frames, channels)


@pytest.mark.parametrize(
    "samples",
    [np.zeros((2, 3, 4)), np.zeros((20, 90)), np.array([1, 2]), np.array([np.nan]), np.array(1.0)],
)
def test_what_is_no_waveform_is_refused(tmp_path, samples):
    with pytest.raises(ValueError, match="wav"):
        write_artifact(samples, tmp_path / "a", {"type": "wav", "sample_rate": 8000})
    assert artifacts_in(tmp_path) == []


def test_samples_beyond_full_scale_are_clipped_with_one_warning(tmp_path, caplog):
    config = {"type": "wav", "sample_rate": 8000}
    with caplog.at_level(logging.WARNING):
        for name in ("a", "b"):
            path = write_artifact(np.array([2.0, -2.0]), tmp_path / name, config)
    samples, _ = soundfile.read(path)
    assert samples[0] > 0.99
    assert samples[1] == -1.0
    assert len(caplog.records) == 1


@pytest.mark.parametrize("dtype", [np.int16, np.float16, np.float32])
def test_wav_takes_the_usual_sample_types(tmp_path, dtype):
    config = {"type": "wav", "sample_rate": 8000, "subtype": "FLOAT"}
    path = write_artifact(np.zeros(4, dtype), tmp_path / "a", config)
    assert soundfile.info(path).subtype == "FLOAT"


def test_format_gives_the_suffix(tmp_path):
    config = {"type": "wav", "sample_rate": 8000, "format": "flac"}
    path = write_artifact(np.zeros(9), tmp_path / "a", config)
    assert path.name == "a.flac"
    assert soundfile.info(path).format == "FLAC"


def test_a_wav_without_rate_names_the_key(tmp_path):
    with pytest.raises(ValueError, match="sample_rate"):
        write_artifact(np.zeros(9), tmp_path / "a", {"type": "wav"})


def test_settings_that_nothing_would_read_are_refused(tmp_path):
    with pytest.raises(SettingError, match="type: wav"):
        write_artifact(np.zeros(9), tmp_path / "a", {"sample_rate": 8000})
    with pytest.raises(UnknownKeyError, match="sample_rate"):
        write_artifact(np.zeros(9), tmp_path / "a", {"type": "wav", "samplerate": 8000})


def test_an_unknown_type_is_refused(tmp_path):
    with pytest.raises(ValueError, match="output_artifacts.type = 'mp3'"):
        write_artifact(np.zeros(9), tmp_path / "a", {"type": "mp3"})


def test_a_custom_writer_gets_its_options_and_its_path_is_returned(tmp_path):
    config = OmegaConf.create(
        {
            "writer": {"_target_": f"{__name__}.save_upper", "mark": "!"},
            "type": "text",
            "end": "?",
        }
    )
    path = write_artifact("hi", tmp_path / "field" / "id", config)
    assert path == tmp_path / "field" / "id.custom.txt"
    assert path.read_text() == "HI!?"


def test_a_custom_writer_must_return_a_path_that_exists(tmp_path):
    with pytest.raises(TypeError, match="path-like"):
        write_artifact(1, tmp_path / "a", {"writer": {"_target_": f"{__name__}.forget_path"}})
    with pytest.raises(FileNotFoundError, match="missing path"):
        write_artifact(1, tmp_path / "a", {"writer": {"_target_": f"{__name__}.claim_path"}})


@pytest.mark.parametrize(
    ("value", "scalar"),
    [(np.float64(1.5), 1.5), (np.bool_(True), True), (np.array(3), 3), (torch.tensor(2), 2)],
)
def test_values_without_axes_become_python_scalars(value, scalar):
    assert to_scalar(value) == scalar
    assert type(to_scalar(value)) is type(scalar)


def test_values_with_axes_stay():
    array = np.ones(1)
    assert to_scalar(array) is array
