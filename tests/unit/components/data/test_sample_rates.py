"""Data of another sample rate than the model's are found when both are known."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet3.components.data import audio
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.first_samples import FirstSamples
from espnet3.components.data.manifest import ManifestDataset, ManifestRow, write_manifest
from espnet3.components.data.preprocessor import CommonPreprocessor
from espnet3.components.data.sample_rates import check_sample_rates
from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.errors import SettingError
from tests.unit.components.toy_training import ToyModel, toy_config


@pytest.fixture
def manifest(tmp_path):
    audio.write(tmp_path / "a.wav", np.zeros(80), 8000)
    write_manifest(tmp_path / "train.tsv", [ManifestRow("a", tmp_path / "a.wav", "one")])
    return tmp_path / "train.tsv"


def double(sample):
    return sample


def combine(dataset, transform=None, preprocessor=None):
    return CombinedDataset([dataset], [(transform, preprocessor)])


@pytest.mark.parametrize("fs", [8000, None])
@pytest.mark.parametrize(
    "wrap", [lambda dataset: dataset, lambda dataset: FirstSamples(dataset, 1)]
)
def test_another_rate_names_the_entry_both_rates_and_the_remedy(manifest, fs, wrap):
    dataset = combine(wrap(ManifestDataset(manifest, fs)), None, CommonPreprocessor(train=True))
    with pytest.raises(SettingError) as caught:
        check_sample_rates(dataset, 16000, "valid")
    assert caught.value.key == "model.frontend.fs"
    for part in ("16000", "dataset.valid[0] has 8000", "set it to 8000", "resample"):
        assert part in str(caught.value)


def test_equal_and_unknown_rates_pass(manifest):
    check_sample_rates(combine(ManifestDataset(manifest)), 8000, "train")
    check_sample_rates(combine(ManifestDataset(manifest)), None, "train")
    check_sample_rates(combine(ManifestDataset(manifest, 16000, resample=True)), 16000, "train")
    check_sample_rates(combine([{"speech": 0}]), 8000, "train")
    check_sample_rates([{"speech": 0}], 8000, "train")
    check_sample_rates(None, 8000, "train")


def test_code_of_the_user_may_resample(manifest):
    dataset = ManifestDataset(manifest)
    check_sample_rates(combine(dataset, double), 16000, "train")
    check_sample_rates(combine(dataset, None, double), 16000, "train")


def test_audio_that_is_gone_is_left_to_its_reader(manifest):
    (manifest.parent / "a.wav").unlink()
    assert ManifestDataset(manifest).sample_rate is None


class Organizer:
    def __init__(self, path):
        self.train = self.valid = combine(ManifestDataset(path))


def test_the_module_compares_before_the_first_batch(manifest):
    model = ToyModel()
    model.frontend = torch.nn.Identity()
    model.frontend.fs = 16000
    dataset = {"_target_": f"{__name__}.Organizer", "path": str(manifest)}
    with pytest.raises(SettingError, match=r"dataset\.train\[0\] has 8000"):
        ESPnetLightningModule(model, toy_config("unused", dataset=dataset))
    model.frontend.fs = 8000
    assert ESPnetLightningModule(model, toy_config("unused", dataset=dataset)).sample_rate == 8000
    assert ESPnetLightningModule(ToyModel(), toy_config("unused")).sample_rate is None
