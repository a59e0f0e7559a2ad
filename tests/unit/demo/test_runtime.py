from __future__ import annotations

import numpy as np
import pytest
from omegaconf import OmegaConf

from espnet3.demo.resolve import load_demo_config
from espnet3.demo.runtime import (
    DemoRuntime,
    SingleItemDataset,
    answer,
    build_runtime,
    run_inference,
)
from espnet3.demo.settings import ComponentSettings
from espnet3.errors import ConfigError, DataError, InferenceError, MissingConfigError
from espnet3.publication import InferenceSession
from tests.unit.demo.backends import Length, Runner
from tests.unit.demo.conftest import tone


def runtime(**changes) -> DemoRuntime:
    given = {
        "infer_config": None,
        "model": Length(),
        "runner_cls": Runner,
        "output_keys": {"text": "hyp"},
        "extra_kwargs": {},
    }
    return DemoRuntime(**{**given, **changes})


FOUR = (8000, np.ones(4, np.int16))


def ask(run, value=FOUR, names=("speech",), outputs=("text",)):
    values = value if len(names) > 1 else [value]
    return run_inference(run, ui_names=names, ui_values=values, output_names=outputs)


def test_a_data_set_of_one_sample():
    dataset = SingleItemDataset("x")
    assert len(dataset) == 1 and dataset[0] == "x"
    with pytest.raises(IndexError):
        dataset[1]


@pytest.mark.parametrize("dtype", [np.float64, np.int16, np.float32])
def test_the_runner_gets_float32(dtype):
    assert ask(runtime(), (8000, np.ones(4, dtype))) == ["4 float32"]


def test_audio_comes_at_the_rate_of_the_input_then_of_the_model():
    assert ask(runtime(), (16000, tone())) == ["8000 float32"]
    inputs = {"speech": ComponentSettings(name="speech", sample_rate=4000)}
    assert ask(runtime(inputs=inputs), (16000, tone())) == ["4000 float32"]


def test_outputs_show_the_fields_that_output_keys_name():
    run = runtime(output_keys={"loud": "peak", "text": "hyp"}, extra_kwargs={"more": 1})
    values = ask(run, (8000, np.full(3, 0.5)), outputs=("text", "loud"))
    assert values == ["3 float32", 0.5]
    assert ask(runtime(output_keys={"a": "more"}, extra_kwargs={"more": 1}), outputs=["a"]) == [1]


def test_a_result_that_is_no_mapping_goes_to_every_output():
    run = runtime(runner_cls=None, model=lambda speech: "hello", output_keys={"a": "x", "b": "y"})
    assert ask(run, outputs=("a", "b")) == ["hello", "hello"]


def test_outputs_and_output_keys_must_match():
    with pytest.raises(ValueError, match="output_keys is required"):
        ask(runtime(output_keys={}))
    with pytest.raises(ValueError, match=r"missing \['text'\], extra \['txt'\]"):
        ask(runtime(output_keys={"txt": "hyp"}))
    with pytest.raises(ValueError, match=r"is no field of the result\n  it has: hyp, peak"):
        ask(runtime(output_keys={"text": "nbest"}))


def test_a_model_without_a_runner_takes_one_value():
    assert ask(runtime(runner_cls=None)) == ["4 float32"]
    with pytest.raises(ValueError, match="takes one input, not 2"):
        ask(runtime(runner_cls=None), ["a", "b"], names=("x", "y"))
    with pytest.raises(RuntimeError, match="it cannot be called"):
        ask(runtime(runner_cls=None, model=3))


def test_nothing_recorded_never_reaches_the_model():
    with pytest.raises(DataError, match="There is no audio"):
        ask(runtime(), None)


def test_audio_outputs_carry_their_rate():
    class Speaker:
        @staticmethod
        def forward(idx, dataset=None, model=None):
            return {"wav": np.zeros((1, 7), np.float32), "sample_rate": 24000}

    outputs = {"wav": ComponentSettings(name="wav", type="Audio")}
    run = runtime(runner_cls=Speaker, output_keys={"wav": "wav"}, outputs=outputs)
    ((rate, samples),) = ask(run, "hello", names=("text",), outputs=("wav",))
    assert (rate, samples.shape) == (24000, (7,))


def test_an_answer_knows_what_was_asked():
    found = answer(
        runtime(),
        ui_names=["speech", "speed"],
        ui_values=[(16000, tone()), 2],
        output_names=["text"],
    )
    assert found.item["speed"] == 2 and found.elapsed > 0
    assert [(rate, len(samples)) for rate, samples in found.recordings.values()] == [(8000, 8000)]


INFER = """
input_key: speech
output_fn: src.outputs.shout
model: {_target_: tests.unit.demo.backends.Length}
"""


def test_a_runtime_is_built_from_an_inference_config_and_code_of_the_demo(tmp_path):
    (tmp_path / "config").mkdir()
    (tmp_path / "src").mkdir()
    (tmp_path / "config" / "infer.yaml").write_text(INFER)
    code = "def shout(data, model_output, idx):\n    return {'hyp': model_output['hyp'].upper()}\n"
    (tmp_path / "src" / "outputs.py").write_text(code)
    config = OmegaConf.create({"system": "asr", "infer_config": "config/infer.yaml"})
    run = build_runtime(config, tmp_path)
    assert run.infer_config.recipe_dir == str(tmp_path)
    assert run.extra_kwargs == {"input_key": "speech", "output_fn_path": "src.outputs.shout"}
    assert ask(run) == ["4 FLOAT32"]


def test_what_is_missing_is_named(tmp_path):
    with pytest.raises(RuntimeError, match="infer_config is required"):
        build_runtime({"system": "asr"}, tmp_path)
    (tmp_path / "infer.yaml").write_text("model: {}\n")
    with pytest.raises(MissingConfigError, match="nothing says how the model is built"):
        build_runtime({"infer_config": "infer.yaml"}, tmp_path)


def test_a_packed_model_is_a_session(demo_dir):
    run = build_runtime(load_demo_config(demo_dir), demo_dir)
    assert isinstance(run.model, InferenceSession) and run.infer_config is None
    (text,) = ask(run, (16000, tone()))
    assert text == run.model(tone())["hyp"]


def test_code_beside_a_packed_model_is_not_importable_unless_it_is_named(demo_dir, tmp_path):
    import shutil

    folder = shutil.copytree(demo_dir, tmp_path / "demo")
    (folder / "src").mkdir()
    (folder / "src" / "soxr.py").write_text("raise SystemExit('ran')\n")
    run = build_runtime(load_demo_config(folder), folder)
    assert run.scope is None
    assert ask(run, (8000, tone(rate=8000)))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"extra_kwargs": {"beam_size": 3}}, "has no effect on a packed model"),
        ({"model": {"call_args": {"trust_user_code": True}}}, "is no argument of a model"),
    ],
)
def test_arguments_of_a_packed_model(demo_dir, changes, message):
    config = OmegaConf.merge(load_demo_config(demo_dir), changes)
    with pytest.raises(ConfigError, match=message):
        build_runtime(config, demo_dir)


def test_arguments_of_a_packed_model_can_be_replaced(demo_dir):
    changes = {"model": {"call_args": {"decode": "ctc_prefix_beam", "beam_size": 2}}}
    config = OmegaConf.merge(load_demo_config(demo_dir), changes)
    assert build_runtime(config, demo_dir).model.model.beam_size == 2


def test_an_object_that_is_no_model():
    with pytest.raises(InferenceError, match="int is no model"):
        ask(runtime(runner_cls=None, model=1))
