from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from espnet3.components.layers import SpecAug
from espnet3.components.layers.specaug import warp_time
from espnet3.errors import SettingError

MASKS_ONLY = {"apply_time_warp": False, "time_mask_width_range": (0, 10)}


def ones(*lengths, frames=None, features=20):
    frames = frames or max(lengths)
    feats = torch.ones(len(lengths), frames, features)
    return feats, torch.tensor(lengths)


def test_evaluation_leaves_features_alone():
    feats, lengths = ones(30, 20)
    layer = SpecAug(**MASKS_ONLY).eval()
    assert layer(feats, lengths)[0] is feats


def test_training_leaves_its_input_alone():
    feats, lengths = ones(30, 20)
    SpecAug(time_mask_width_range=(1, 10))(feats, lengths)
    assert (feats == 1).all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.lists(st.integers(1, 40), min_size=1, max_size=5))
def test_time_masks_stay_within_valid_frames_and_widths(seed, lengths):
    torch.manual_seed(seed)
    feats, lengths = ones(*lengths, frames=45)
    layer = SpecAug(
        apply_time_warp=False, apply_freq_mask=False, time_mask_width_range=(2, 6), num_time_mask=1
    )
    masked = layer(feats, lengths)[0][:, :, 0] == 0
    for row, length in zip(masked, lengths.tolist(), strict=True):
        assert not row[length:].any()
        assert min(2, length) <= row.sum() <= min(5, length)
        assert (row.int().diff() == 1).sum() <= 1


def test_frequency_masks_cover_all_frames_and_differ_between_utterances():
    torch.manual_seed(0)
    feats, lengths = ones(*[30] * 16)
    layer = SpecAug(apply_time_warp=False, apply_time_mask=False, freq_mask_width_range=(1, 5))
    masked = layer(feats, lengths)[0] == 0
    assert (masked == masked[:, :1]).all()
    per_utterance = masked[:, 0].sum(1)
    assert per_utterance.min() >= 1 and per_utterance.max() <= 8
    assert len({tuple(row.tolist()) for row in masked[:, 0]}) > 8


def test_ratio_widths_scale_with_each_utterance():
    torch.manual_seed(0)
    feats, lengths = ones(*[100] * 20, *[20] * 20)
    layer = SpecAug(
        apply_time_warp=False,
        apply_freq_mask=False,
        time_mask_width_ratio_range=[0.05, 0.2],
        num_time_mask=1,
    )
    widths = (layer(feats, lengths)[0][:, :, 0] == 0).sum(1)
    assert widths[:20].min() >= 5 and 15 <= widths[:20].max() < 20
    assert widths[20:].min() >= 1 and widths[20:].max() < 4


def test_masks_may_be_filled_with_the_mean_of_the_utterance():
    torch.manual_seed(0)
    feats = torch.arange(60.0).reshape(1, 6, 10)
    layer = SpecAug(
        apply_time_warp=False,
        apply_time_mask=False,
        freq_mask_width_range=(3, 4),
        num_freq_mask=1,
        replace_with_zero=False,
    )
    filled, _ = layer(feats, torch.tensor([6]))
    changed = (filled != feats)[0].any(0)
    assert changed.sum() == 3
    assert (filled[0][:, changed] == feats.mean()).all()


@settings(max_examples=30)
@given(st.integers(0, 2**31), st.sampled_from(["bicubic", "bilinear"]))
def test_time_warp_equals_interpolating_two_pieces(seed, mode):
    """Some split point and shift within the window explains the output of each utterance."""
    torch.manual_seed(seed)
    window, length = 3, 17
    feats = torch.randn(1, length + 4, 5)
    warped = warp_time(feats, torch.tensor([length]), window, mode)
    assert torch.equal(warped[:, length:], feats[:, length:])

    def piece(part, size):
        image = part.T[None, None] if mode == "bilinear" else part[None, None]
        if mode == "bilinear":
            return F.interpolate(image, (5, size), mode=mode, align_corners=False)[0, 0].T
        return F.interpolate(image, (size, 5), mode=mode, align_corners=False)[0, 0]

    source = feats[0, :length]
    candidates = [
        torch.cat([piece(source[:c], w), piece(source[c:], length - w)])
        for c in range(window, length - window)
        for w in range(c - window + 1, c + window + 1)
        if 0 < w < length
    ]
    assert any(torch.allclose(warped[0, :length], c, atol=1e-5) for c in candidates)


def test_time_warp_leaves_short_utterances_alone_and_moves_long_ones():
    torch.manual_seed(0)
    feats = torch.randn(2, 40, 3)
    warped = warp_time(feats, torch.tensor([10, 40]), 5, "bicubic")
    torch.testing.assert_close(warped[0], feats[0])
    assert not torch.allclose(warped[1], feats[1], atol=1e-2)


def test_the_seed_decides():
    feats, lengths = torch.randn(3, 40, 20), torch.tensor([40, 30, 20])
    layer = SpecAug(time_mask_width_range=(0, 10))
    runs = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        runs.append(layer(feats, lengths)[0])
    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])


@pytest.mark.parametrize(
    "arguments",
    [
        {"apply_time_warp": False, "apply_freq_mask": False, "apply_time_mask": False},
        {},
        {"time_mask_width_range": (0, 5), "time_mask_width_ratio_range": (0.0, 0.1)},
        {"apply_time_mask": False, "time_warp_mode": "cubic"},
        {"apply_time_mask": False, "freq_mask_width_range": (9, 3)},
    ],
)
def test_contradicting_settings_are_refused(arguments):
    with pytest.raises(ValueError, match=r"\w"):
        SpecAug(**arguments)
    with pytest.raises(SettingError):
        SpecAug(**arguments)
