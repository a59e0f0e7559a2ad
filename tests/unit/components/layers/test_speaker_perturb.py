from __future__ import annotations

import pytest
import torch

from espnet3.components.layers import SpeakerPerturb
from espnet3.errors import SettingError


@pytest.fixture
def feats() -> torch.Tensor:
    return torch.randn(3, 7, 20, generator=torch.Generator().manual_seed(1))


LENGTHS = torch.tensor([7, 5, 3])


def test_evaluation_mode_changes_nothing(feats: torch.Tensor) -> None:
    layer = SpeakerPerturb().eval()
    assert layer(feats, LENGTHS)[0] is feats


def test_zero_settings_change_nothing(feats: torch.Tensor) -> None:
    layer = SpeakerPerturb(warp=0.0, tilt=0.0).train()
    assert torch.equal(layer(feats, LENGTHS)[0], feats)


def test_training_keeps_shape_type_and_lengths(feats: torch.Tensor) -> None:
    changed, lengths = SpeakerPerturb().train()(feats.bfloat16(), LENGTHS)
    assert changed.shape == feats.shape
    assert changed.dtype == torch.bfloat16
    assert lengths is LENGTHS


def test_change_is_constant_over_an_utterance_and_differs_between_them() -> None:
    torch.manual_seed(1)
    same = torch.arange(20.0).repeat(3, 7, 1)
    changed, _ = SpeakerPerturb().train()(same, LENGTHS)
    assert torch.equal(changed, changed[:, :1].expand_as(changed))
    assert not torch.allclose(changed[0], changed[1])


def test_warp_moves_a_peak_by_the_factor_at_most() -> None:
    torch.manual_seed(1)
    peak = torch.zeros(200, 1, 80)
    peak[:, :, 40] = 1.0
    changed, _ = SpeakerPerturb(warp=0.1, tilt=0.0).train()(peak, torch.ones(200).long())
    places = changed[:, 0].argmax(1)
    assert 40 / 1.1 - 1 <= places.min() < 38
    assert 42 < places.max() <= 40 / 0.9 + 1


def test_the_seed_decides() -> None:
    module = SpeakerPerturb()
    feats, lengths = torch.randn(3, 7, 10), torch.tensor([7, 5, 2])
    results = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        results.append(module(feats, lengths)[0])
    assert torch.equal(results[0], results[1])
    assert not torch.equal(results[0], results[2])


@pytest.mark.parametrize("arguments", [{"warp": 1.0}, {"warp": -0.1}, {"tilt": -1.0}])
def test_impossible_setting_is_named(arguments: dict[str, float]) -> None:
    with pytest.raises(SettingError, match=f"{next(iter(arguments))} = "):
        SpeakerPerturb(**arguments)
