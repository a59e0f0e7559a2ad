from __future__ import annotations

import numpy as np
import pytest
import torch

from espnet3.components.layers import LogMelFrontend
from espnet3.components.layers.mel import hz_to_mel, mel_filterbank, mel_to_hz
from espnet3.errors import ConfigError, DataError


def reference_mel(fs, n_fft, n_mels, fmin, fmax, *, htk, area_norm, in_mel):
    """Triangular filters, one bin at a time, straight from the definition."""

    def to_mel(hz):
        if htk:
            return 2595.0 * np.log10(1.0 + hz / 700.0)
        return hz * 3 / 200 if hz < 1000 else 15 + 27 * np.log(hz / 1000) / np.log(6.4)

    def to_hz(mel):
        if htk:
            return 700.0 * (10 ** (mel / 2595.0) - 1.0)
        return mel * 200 / 3 if mel < 15 else 1000 * 6.4 ** ((mel - 15) / 27)

    low, high = to_mel(fmin), to_mel(fmax)
    mels = [low + i * (high - low) / (n_mels + 1) for i in range(n_mels + 2)]
    hz = [to_hz(mel) for mel in mels]
    bank = np.zeros((n_fft // 2 + 1, n_mels))
    for k in range(n_fft // 2 + 1):
        freq = k * fs / n_fft
        x, edges = (to_mel(freq), mels) if in_mel else (freq, hz)
        for m in range(n_mels):
            left, centre, right = edges[m : m + 3]
            if left < x <= centre:
                bank[k, m] = (x - left) / (centre - left)
            elif centre < x < right:
                bank[k, m] = (right - x) / (right - centre)
            if area_norm:
                bank[k, m] *= 2.0 / (hz[m + 2] - hz[m])
    return bank


def reference_power(samples, n_fft, win, hop, window, *, center, span):
    if center:
        samples = np.pad(samples, n_fft // 2, mode="reflect")
    frames = []
    for start in range(0, len(samples) - span + 1, hop):
        frame = samples[start : start + span]
        frames.append(np.abs(np.fft.rfft(frame * window, n_fft)) ** 2)
    return np.stack(frames)


def reference(preset, samples):
    if preset == "espnet2":
        window = np.zeros(512)
        window[56:456] = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
        power = reference_power(samples, 512, 400, 160, window, center=True, span=512)
        bank = reference_mel(16000, 512, 80, 0, 8000, htk=False, area_norm=True, in_mel=False)
        return np.log(np.maximum(power @ bank, 1e-10))
    if preset == "whisper":
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 400)
        power = reference_power(samples, 400, 400, 160, window, center=True, span=400)[:-1]
        bank = reference_mel(16000, 400, 80, 0, 8000, htk=False, area_norm=True, in_mel=False)
        logs = np.log10(np.maximum(power @ bank, 1e-10))
        return (np.maximum(logs, logs.max() - 8) + 4) / 4
    povey = (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(400) / 399)) ** 0.85
    rows = []
    for start in range(0, len(samples) - 399, 160):
        frame = samples[start : start + 400] * 32768.0
        frame = frame - frame.mean()
        frame = frame - 0.97 * np.concatenate([frame[:1], frame[:-1]])
        rows.append(np.abs(np.fft.rfft(frame * povey, 512)) ** 2)
    bank = reference_mel(16000, 512, 80, 20, 8000, htk=True, area_norm=False, in_mel=True)
    return np.log(np.maximum(np.stack(rows) @ bank, np.finfo(np.float32).eps))


def build(preset):
    if preset == "espnet2":
        return LogMelFrontend(win_length=400, hop_length=160)
    return LogMelFrontend(preset=preset)


def speech(samples, seed=0):
    generator = np.random.default_rng(seed)
    t = np.arange(samples) / 16000
    tone = 0.3 * np.sin(2 * np.pi * (200 + 900 * t) * t)
    return tone + 0.01 * generator.standard_normal(samples)


@pytest.mark.parametrize("preset", ["espnet2", "whisper", "kaldi"])
@pytest.mark.parametrize("samples", [4000, 4321, 16000])
def test_features_equal_an_independent_float64_computation(preset, samples):
    wave = speech(samples)
    feats, lengths = build(preset)(
        torch.from_numpy(wave).float().unsqueeze(0), torch.tensor([samples])
    )
    expected = reference(preset, wave)
    assert feats.shape[1:] == expected.shape
    assert lengths.tolist() == [expected.shape[0]]
    np.testing.assert_allclose(feats[0].numpy(), expected, atol=1e-3, rtol=1e-4)


def test_frames_of_the_default_equal_torch_stft():
    wave = torch.from_numpy(speech(5000)).float().unsqueeze(0)
    frontend = LogMelFrontend()
    spectrum = torch.stft(
        wave, 512, 128, window=torch.hann_window(512), pad_mode="reflect", return_complex=True
    )
    power = spectrum.abs().square().transpose(1, 2)
    expected = (power @ frontend.filters[::2]).clamp(min=1e-10).log()
    feats, _ = frontend(wave, torch.tensor([5000]))
    torch.testing.assert_close(feats, expected, atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize("preset", ["espnet2", "whisper", "kaldi"])
def test_features_do_not_depend_on_padding(preset):
    frontend = build(preset)
    lengths = torch.tensor([4000, 3111, 2500])
    batch = torch.zeros(3, 4000)
    for row, length in zip(batch, lengths, strict=True):
        row[:length] = torch.from_numpy(speech(int(length), seed=int(length))).float()
    feats, feat_lengths = frontend(batch, lengths)
    for i, length in enumerate(lengths):
        alone, alone_length = frontend(batch[i : i + 1, :length], length.unsqueeze(0))
        assert feat_lengths[i] == alone_length[0] == alone.shape[1]
        torch.testing.assert_close(feats[i, : alone.shape[1]], alone[0], atol=1e-5, rtol=1e-5)
        assert (feats[i, alone.shape[1] :] == 0).all()


def test_uncentred_frames_lie_within_the_signal():
    frontend = LogMelFrontend(center=False, win_length=400, hop_length=160)
    feats, lengths = frontend(torch.randn(1, 4000), torch.tensor([4000]))
    assert lengths.tolist() == [(4000 - 512) // 160 + 1] == [feats.shape[1]]


@pytest.mark.parametrize("htk", [False, True])
def test_mel_scales_are_inverted_exactly(htk):
    hz = torch.linspace(0, 8000, 50, dtype=torch.float64)
    torch.testing.assert_close(mel_to_hz(hz_to_mel(hz, htk=htk), htk=htk), hz)


def test_every_filter_of_the_default_bank_has_the_same_area():
    bank = mel_filterbank(fs=16000, n_fft=4096, n_mels=40, fmin=0, fmax=8000, htk=False)
    areas = bank.sum(0) * 16000 / 4096
    torch.testing.assert_close(areas, torch.ones_like(areas), atol=1e-2, rtol=0)


def test_explicit_arguments_override_the_preset():
    frontend = LogMelFrontend(preset="whisper", n_mels=128)
    assert frontend.output_size() == 128
    assert frontend.recipe.n_fft == 400


def test_nothing_enters_the_state_dict_and_no_gradient_is_recorded():
    frontend = LogMelFrontend()
    assert not frontend.state_dict()
    feats, _ = frontend(torch.randn(1, 2000), torch.tensor([2000]))
    assert not feats.requires_grad
    wave = torch.randn(1, 2000, requires_grad=True)
    frontend(wave, torch.tensor([2000]))[0].sum().backward()
    assert torch.isfinite(wave.grad).all() and wave.grad.abs().sum() > 0


def test_bf16_autocast_still_gives_float32_features():
    frontend = LogMelFrontend()
    wave = torch.randn(1, 2000)
    with torch.autocast("cpu", torch.bfloat16):
        feats, _ = frontend(wave, torch.tensor([2000]))
    torch.testing.assert_close(feats, frontend(wave, torch.tensor([2000]))[0])


def test_dither_is_noise_in_training_only():
    frontend = LogMelFrontend(dither=0.1)
    silence, lengths = torch.zeros(1, 2000), torch.tensor([2000])
    assert frontend(silence, lengths)[0].max() > -20
    assert frontend.eval()(silence, lengths)[0].max() < -23


def test_silence_is_finite():
    for preset in ("espnet2", "whisper", "kaldi"):
        feats, _ = LogMelFrontend(preset=preset)(torch.zeros(1, 2000), torch.tensor([2000]))
        assert torch.isfinite(feats).all()


def test_a_waveform_shorter_than_a_frame_is_refused():
    with pytest.raises(DataError, match="256 samples are too short.*257"):
        LogMelFrontend()(torch.zeros(1, 256), torch.tensor([256]))


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"preset": "wisper"}, 'did you mean "whisper"'),
        ({"window": "han"}, 'did you mean "hann"'),
        ({"win_length": 600}, "must not exceed n_fft"),
        ({"n_fft": 401}, "must be even"),
        ({"fmin": 9000.0}, "fmin"),
        ({"preset": "whisper", "fs": 8000}, "16000"),
    ],
)
def test_impossible_settings_are_refused(arguments, words):
    with pytest.raises(ConfigError, match=words):
        LogMelFrontend(**arguments)
