"""Oddities of outputs are warned of once per test set, and mistakes of user code are named."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from espnet3.systems.base import inference_writer
from espnet3.systems.base.inference_provider import InferenceProvider
from tests.unit.systems.base import toy_inference as toy
from tests.unit.systems.base.toy_inference import IDS, execution, hyps, report

HERE = __name__


class SingleModel(toy.ToyModel):
    """Returns one text whatever it is given, as a model without batches does."""

    def __call__(self, speech, **kwargs):
        return super().__call__(speech[:1])[:1] if isinstance(speech, list) else "h"


class LeavingModel(toy.ToyModel):
    """Calls sys.exit for the sample with number 2."""

    def __call__(self, speech, **kwargs):
        if not isinstance(speech, list) and speech[0] == 2:
            sys.exit(4)
        return super().__call__(speech)


class EmptyProvider(InferenceProvider):
    """Forgets to return the environment."""

    def build_env_local(self):
        super().build_env_local()


def build_mixed(data, model_output, idx):
    value = np.zeros(2) if idx % 2 else "text"
    return {"utt_id": data["utt_id"], "v": value, "score": float("nan") if idx < 3 else 1.0}


def build_no_id(data, model_output, idx):
    return {"utt_id": None if idx == 5 else data["utt_id"], "hyp": model_output}


def build_slash(data, model_output, idx):
    return {"utt_id": data["utt_id"], "a/b": model_output}


def test_a_model_without_batches_is_warned_of_with_the_reason(run, monkeypatch, caplog):
    monkeypatch.setattr(toy, "SingleModel", SingleModel, raising=False)
    folder = run(model="SingleModel", batch_size=4)
    assert len(hyps(folder)) == 12
    split = report(folder)["split_batches"]
    assert (split["batches"], split["decoded_alone"], split["worked"]) == (3, 12, 0)
    assert "Batched inference failed: ValueError: zip" in split["error"]
    (warning,) = [r for r in caplog.records if "decoded one at a time" in r.getMessage()]
    assert "no batch worked; 12 samples" in warning.getMessage()
    assert "batch_size: null" in warning.getMessage()


@pytest.mark.parametrize("is_parallel", [False, True])
def test_batches_that_came_apart_are_counted(run, caplog, workers, is_parallel):
    folder = run(
        model="PickyModel",
        arguments={"bad": [5]},
        batch_size=4,
        **execution(on_error="record", max_failures=1),
        **(workers if is_parallel else {}),
    )
    split = report(folder)["split_batches"]
    assert split["batches"] == 1
    assert split["decoded_alone"] == 1
    assert split["worked"] == 3
    assert "too hard" in split["error"]
    assert "1 batches failed and were taken apart, until 1 samples were" in caplog.text


def test_whole_batches_and_a_lack_of_memory_are_no_reason_to_warn(run, caplog):
    assert report(run(batch_size=4))["split_batches"]["batches"] == 0
    folder = run("full", model="PickyModel", arguments={"bad": [], "max_batch": 1}, batch_size=4)
    assert report(folder)["split_batches"]["batches"] == 0
    assert "one at a time" not in caplog.text


def test_a_sample_without_an_id_is_refused(run, tmp_path):
    with pytest.raises(ValueError, match="sample id is None"):
        run(output_fn=f"{HERE}.build_no_id")
    assert not list(tmp_path.rglob("*.scp"))


def test_numbers_that_are_none_and_mixed_fields_are_one_warning_each(run, caplog):
    run(output_fn=f"{HERE}.build_mixed", output_keys=["v", "score"])
    warnings = [r.getMessage() for r in caplog.records if r.levelname == "WARNING"]
    assert len(warnings) == 2
    assert "outputs that are not a number (score: 3)" in warnings[0]
    assert "v.scp holds values of some samples and paths of files of others" in warnings[1]


def test_a_field_that_is_no_file_name_is_the_output_functions(run):
    with pytest.raises(ValueError, match=r"output_fn: the first record has the field 'a/b'"):
        run(output_fn=f"{HERE}.build_slash", output_keys=None)


@pytest.mark.parametrize("batch_size", [None, 4])
def test_samples_that_are_no_dicts_are_named(run, monkeypatch, batch_size):
    monkeypatch.setattr(toy.ToyDataset, "__getitem__", lambda self, index: (np.zeros(4), "text"))
    with pytest.raises(ValueError, match="must be a dict of named fields.* gave a tuple"):
        run(batch_size=batch_size)


class TestExit:
    @pytest.fixture(autouse=True)
    def leaving(self, monkeypatch):
        monkeypatch.setattr(toy, "LeavingModel", LeavingModel, raising=False)

    def test_it_is_the_error_of_a_sample(self, run):
        with pytest.raises(RuntimeError, match=r"left the program: SystemExit\(4\)") as caught:
            run(model="LeavingModel")
        assert "sample 'u02', item 2" in "\n".join(caught.value.__notes__)

    def test_it_is_recorded_like_any_other(self, run):
        folder = run(model="LeavingModel", **execution(on_error="record", max_failures=1))
        assert len(hyps(folder)) == len(IDS) - 1
        assert report(folder)["failures"][0]["id"] == "u02"


def test_a_provider_that_returns_nothing_is_named(run):
    keys = {"provider": {"_target_": f"{HERE}.EmptyProvider"}}
    wanted = r"EmptyProvider.build_env_local must return a dict, got NoneType"
    with pytest.raises(ValueError, match=wanted):
        run(**keys)
    with pytest.raises(ValueError, match=wanted):
        run(**keys, **execution(dry_run=True))


def test_an_artifact_of_a_text_is_warned_of(run, caplog):
    run(output_artifacts={"hyp": {"type": "json"}})
    assert "output_artifacts.hyp has no effect: its values are texts" in caplog.text


def test_a_full_disk_says_how_much_is_done(run, monkeypatch):
    def write(*args, **kwargs):
        raise OSError(28, "No space left on device", "x.npy")

    monkeypatch.setattr(inference_writer, "write_artifact", write)
    with pytest.raises(OSError, match="x.npy") as caught:
        run(output_fn=f"{HERE}.build_mixed", output_keys=["v"])
    notes = "\n".join(caught.value.__notes__)
    assert "of 12 utterances are done; the same command goes on from there" in notes
