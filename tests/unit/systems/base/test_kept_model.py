from __future__ import annotations

import os

import pytest
from omegaconf import OmegaConf

from espnet3.systems.base import kept_model
from espnet3.systems.base.inference import infer
from espnet3.systems.base.inference_provider import InferenceProvider
from espnet3.systems.base.kept_model import keep_model, kept_or_built
from tests.unit.systems.base import toy_inference as toy


class OwnWay(InferenceProvider):
    """Builds its model from more than the stock provider reads."""

    @staticmethod
    def build_model(config):
        return toy.ToyModel("cpu", prefix=config.test_set)


class PidModel(toy.ToyModel):
    """Tells in which process, and as the how many-eth model there, it was built."""

    def __call__(self, speech, **kwargs):
        self.number = getattr(self, "number", toy.builds["model"])
        return f"{os.getpid()}-{self.number}"


@pytest.fixture(autouse=True)
def nothing_kept():
    toy.builds.clear()
    yield
    keep_model(None)


def decode(folder, model=f"{toy.HERE}.ToyModel", provider=InferenceProvider, **changes):
    """Decode three test sets; return the lines of each."""
    names = ["a", "b", "c"]
    config = toy.toy_config(
        folder,
        dataset={"_target_": f"{toy.HERE}.ToyOrganizer", "test": [{"name": n} for n in names]},
        model={"_target_": model},
        provider={"_target_": f"{provider.__module__}.{provider.__name__}"},
        **{"output_keys": ["hyp"], **changes},
    )
    infer(OmegaConf.create(config))
    return [toy.hyps(folder / name) for name in names]


def test_test_sets_of_a_stage_share_the_model_of_this_process(tmp_path):
    assert decode(tmp_path) == [["a h0", "b h1"]] * 3
    assert toy.builds["model"] == 1
    assert kept_model._kept.model is None
    decode(tmp_path / "again")
    assert toy.builds["model"] == 2


def test_a_provider_that_builds_in_its_own_way_builds_each_time(tmp_path):
    found = decode(tmp_path, provider=OwnWay)
    assert [lines[0] for lines in found] == ["a a0", "a b0", "a c0"]
    assert toy.builds["model"] == 3


def test_workers_keep_the_model_too(tmp_path, workers):
    model = f"{PidModel.__module__}.PidModel"
    texts = [
        line.split()[1] for lines in decode(tmp_path / "x", model, **workers) for line in lines
    ]
    pids = {text.partition("-")[0] for text in texts}
    assert os.getpid() not in map(int, pids)
    assert len(set(texts)) == len(pids)
    # Another stage on the same processes builds anew.
    more = [line.split()[1] for lines in decode(tmp_path / "y", model, **workers) for line in lines]
    assert not set(more) & set(texts)


def test_only_an_equal_model_of_the_same_stage_is_kept():
    assert kept_or_built("k", object) is not kept_or_built("k", object)
    keep_model("s")
    first = kept_or_built("k", object)
    keep_model("s")
    assert kept_or_built("k", object) is first
    assert kept_or_built("other", object) is not first
    assert kept_or_built("k", object) is not first
    second = kept_or_built("k", object)
    keep_model("t")
    assert kept_or_built("k", object) is not second


def test_the_earlier_model_is_freed_before_another_is_built():
    keep_model("s")
    kept_or_built("k", object)
    kept_or_built("l", lambda: kept_model._kept.model)
    assert kept_model._kept.model is None
