from __future__ import annotations

import pytest
import torch
from omegaconf import OmegaConf

from espnet3.parallel.base_runner import BaseRunner
from espnet3.systems.base.inference_runner import InferenceRunner

DATASET = [{"utt_id": "a", "speech": 1, "lang": "en"}, {"utt_id": "b", "speech": 2, "lang": "de"}]


def echo(**inputs):
    return inputs


def record_of(data, model_output, idx):
    return {"utt_id": data["utt_id"], "idx": idx, **model_output}


def records_of(*, data, model_output, idx):
    return [{"utt_id": d["utt_id"], "idx": i} for d, i in zip(data, idx, strict=True)]


def forward(idx, **kwargs):
    return InferenceRunner.forward(idx, dataset=DATASET, **{"model": echo, **kwargs})


class Provider:
    def __init__(self, outputs):
        self.outputs = outputs

    def build_env_local(self):
        return {"dataset": self.outputs, "model": None}


class Replays(InferenceRunner):
    """Returns prepared outputs."""

    @staticmethod
    def forward(idx, dataset, model, **env):
        return dataset[idx]


def replay(outputs, **options):
    options = {"hyp_key": [], "ref_key": [], **options}
    return Replays(Provider(outputs), **options)(range(len(outputs)))


def test_the_model_is_called_with_the_named_inputs():
    assert forward(1, input_key="speech") == {"speech": 2}
    assert forward(0, input_key=["speech", "lang"]) == {"speech": 1, "lang": "en"}
    assert forward(0, input_key="speech", ignored=3) == {"speech": 1}


def test_input_key_is_required():
    with pytest.raises(RuntimeError, match="input_key must be provided"):
        forward(0)


@pytest.mark.parametrize("idx", [0, [0, 1]])
def test_a_missing_input_is_a_key_error_in_both_modes(idx):
    with pytest.raises(KeyError, match="Input key 'text'"):
        forward(idx, input_key="text")


def test_the_output_function_is_called_by_keyword():
    path = f"{__name__}.record_of"
    expected = {"utt_id": "b", "idx": 1, "speech": 2}
    assert forward(1, input_key="speech", output_fn_path=path) == expected
    assert forward(1, input_key="speech", output_fn=record_of, output_fn_path="x.y") == expected


def test_model_kwargs_are_added():
    assert forward(0, input_key="speech", model_kwargs={"beam": 2}) == {"speech": 1, "beam": 2}
    with pytest.raises(TypeError, match="model_kwargs must be a mapping"):
        forward(0, input_key="speech", model_kwargs=[1])


def test_errors_of_model_and_output_function_pass_unchanged_for_one_sample():
    with pytest.raises(KeyError, match="score"):
        forward(0, input_key="speech", output_fn=lambda data, model_output, idx: data["score"])
    with pytest.raises(ZeroDivisionError):
        forward(0, input_key="speech", model=lambda speech: speech / 0)


def test_a_batch_arrives_as_one_list_per_input():
    calls = []
    forward(
        [0, 1],
        input_key=["speech", "lang"],
        model=lambda **inputs: calls.append(inputs),
        output_fn=records_of,
    )
    assert calls == [{"speech": [1, 2], "lang": ["en", "de"]}]


def test_a_batch_gives_a_list_of_records():
    assert forward([1, 0], input_key="speech", output_fn=records_of) == [
        {"utt_id": "b", "idx": 1},
        {"utt_id": "a", "idx": 0},
    ]


def test_an_error_in_a_batch_says_what_to_set_and_keeps_its_cause():
    with pytest.raises(RuntimeError, match=r"(?s)^Batched inference failed.*batch_size") as caught:
        forward([0, 1], input_key="speech", model=lambda speech: speech / 2)
    assert isinstance(caught.value.__cause__, TypeError)


@pytest.mark.parametrize(
    ("result", "text"),
    [([{}], "2 samples.*a list of 1"), ({}, "got dict"), ([{}, 3], "one per sample")],
)
def test_a_batch_result_must_be_one_dict_per_sample(result, text):
    with pytest.raises(RuntimeError, match=f"Batched inference failed.*{text}"):
        forward([0, 1], input_key="speech", model=lambda speech: result)


def test_the_model_runs_without_gradients():
    weight = torch.ones(1, requires_grad=True)
    output = forward(0, input_key="speech", model=lambda speech: weight * speech)
    assert not output.requires_grad


@pytest.mark.parametrize(
    ("output", "options", "error", "text"),
    [
        ("hi", {}, TypeError, "Expected dict output"),
        ({"hyp": 1}, {}, ValueError, "sample identifier key.*idx_key='utt_id'"),
        ({"utt_id": "a"}, {"hyp_key": ("x", "h"), "ref_key": "r"}, ValueError, "lacks h, r, x"),
        ({"utt_id": ["a"]}, {}, TypeError, "'utt_id' must be a single value"),
    ],
)
def test_bad_records_are_refused(output, options, error, text):
    with pytest.raises(error, match=text):
        replay([output], **options)


def test_records_are_flattened_and_more_fields_are_allowed():
    one, two, three = ({"utt_id": i, "hyp": 1, "more": 2} for i in range(3))
    assert replay([[one, two], three], hyp_key="hyp") == [one, two, three]


def test_keys_from_a_config_become_lists():
    runner = InferenceRunner(Provider([]), hyp_key=OmegaConf.create(["h"]), ref_key=("r",))
    assert (runner.hyp_key, runner.ref_key) == (["h"], ["r"])
    assert runner.resolve_idx_key({"utt_id": 0}) == "utt_id"


def test_none_passes_through(monkeypatch):
    monkeypatch.setattr(BaseRunner, "__call__", lambda self, indices: None)
    assert InferenceRunner(Provider([]))([0]) is None


def test_descriptions_of_detached_jobs_are_no_records(monkeypatch):
    jobs = [{"job_id": "0-r0", "spec": "s", "result": "r"}]
    monkeypatch.setattr(BaseRunner, "__call__", lambda self, indices: jobs)
    assert InferenceRunner(Provider([]), async_mode=True)([0]) is jobs
    with pytest.raises(ValueError, match="sample identifier key"):
        InferenceRunner(Provider([]))([0])
