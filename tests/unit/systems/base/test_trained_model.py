from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet3.errors import ConfigError, ModelOutputError
from espnet3.systems.base.trained_model import TrainedModel


class Mean(torch.nn.Module):
    """Mean of the valid samples, plus a trained offset."""

    def __init__(self, size: int = 1):
        super().__init__()
        self.offset = torch.nn.Parameter(torch.zeros(size))

    def forward(self, speech, speech_lengths):
        return self.offset + speech.sum(1, keepdim=True) / speech_lengths[:, None]

    def describe(self, speech, speech_lengths):
        return [f"{n} samples" for n in speech_lengths.tolist()]

    def loss(self, **batch):
        return self.offset.sum()


def pairs(samples):
    """Collate function of another kind: plain samples in, a bare mapping out."""
    return {
        "speech": torch.stack([torch.as_tensor(s["speech"][:2]) for s in samples]),
        "speech_lengths": torch.full((len(samples),), 2),
    }


@pytest.fixture
def trained(tmp_path):
    torch.save({"offset": torch.tensor([0.5])}, tmp_path / "last.pth")

    def build(**options):
        config = {"model": {"_target_": f"{__name__}.Mean"}, **options.pop("config", {})}
        return TrainedModel(config, tmp_path / "last.pth", **options)

    return build


ONE = np.array([1.0, 2.0, 3.0], dtype=np.float32)
TWO = np.array([4.0], dtype=np.float32)


def test_a_sample_gives_the_same_alone_and_in_a_batch(trained):
    model = trained()
    assert not model.model.training
    assert model(speech=ONE).tolist() == [2.5]
    assert [result.tolist() for result in model(speech=[ONE, TWO])] == [[2.5], [4.5]]


def test_another_method_may_return_a_list(trained):
    model = trained(method="describe")
    assert model(speech=ONE) == "3 samples"
    assert model(speech=[ONE, TWO]) == ["3 samples", "1 samples"]


def test_the_collate_function_of_the_training_makes_the_batch(trained):
    collate = {"_target_": "hydra.utils.get_method", "path": f"{__name__}.pairs"}
    model = trained(config={"dataloader": {"collate_fn": collate}})
    assert model(speech=ONE).tolist() == [2.0]


def test_a_method_that_does_not_exist_is_named(trained):
    with pytest.raises(ConfigError, match=r"model\.method = 'predict': is not a method of Mean"):
        trained(method="predict")


def test_a_result_that_is_not_per_sample_is_refused(trained):
    with pytest.raises(ModelOutputError, match=r"Mean\.loss got 2 samples and returned a Tensor"):
        trained(method="loss")(speech=[ONE, TWO])
