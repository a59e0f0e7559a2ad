"""From waveform to log-mel features."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from espnet3.components.layers.masks import length_mask
from espnet3.components.layers.mel import mel_filterbank
from espnet3.components.layers.mel_recipe import (
    build_window,
    check_sizes,
    read_rate,
    resolve_recipe,
)
from espnet3.errors import DataError
from espnet3.utils.import_utils import trusted_target

# Shapes: B batch, S samples, T frames, W samples of one frame, F features


@trusted_target
class LogMelFrontend(nn.Module):
    """Compute log-mel filter bank energies.

    The default gives the numbers of ESPnet2's default front end: power spectrum of reflect-padded
    frames, Slaney's mel scale with area normalisation, floor 1e-10, natural logarithm. Presets:
    ``whisper`` (Radford et al. 2022: log10, floor 8 below the maximum, rescaled) and ``kaldi``
    (Povey window, uncentred frames, DC removal, pre-emphasis, HTK scale from 20 Hz, 16-bit
    amplitudes). Arguments that are ``None`` take the value of the preset.

    Each utterance is reflected at its own end, so its features do not depend on how far the batch
    is padded. Nothing is learned and nothing is stored in the state dict.

    Args:
        fs: Samples per second; also a text such as ``16k``.
        n_fft: FFT size; 512 by default.
        win_length: Samples under the window; ``n_fft`` by default.
        hop_length: Samples from frame to frame; 128 by default.
        window: ``hann``, ``hamming`` or ``povey``.
        center: Let frame t lie around sample ``t * hop_length`` instead of starting there.
        n_mels: Number of filters; 80 by default.
        fmin: Lower edge of the first filter in Hz; 0 by default.
        fmax: Upper edge of the last filter in Hz; ``fs / 2`` by default.
        htk: Use the HTK mel scale.
        preset: ``espnet2`` (also when ``None``), ``whisper`` or ``kaldi``.
        dither: Standard deviation of noise added in training, relative to the scaled waveform.

    Raises:
        ConfigError: If the preset or window is unknown, or sizes contradict each other.
    """

    window: Tensor
    filters: Tensor

    def __init__(
        self,
        fs: int | str = 16000,
        n_fft: int | None = None,
        win_length: int | None = None,
        hop_length: int | None = None,
        window: str | None = None,
        center: bool | None = None,
        n_mels: int | None = None,
        fmin: float | None = None,
        fmax: float | None = None,
        htk: bool | None = None,
        preset: str | None = None,
        dither: float = 0.0,
    ) -> None:
        super().__init__()
        fs = read_rate(fs)
        given = {
            "n_fft": n_fft,
            "win_length": win_length,
            "hop_length": hop_length,
            "window": window,
            "center": center,
            "n_mels": n_mels,
            "fmin": fmin,
            "fmax": fmax,
            "htk": htk,
        }
        self.recipe = resolve_recipe(preset or "espnet2", fs, given)
        self.fs = fs
        self.win_length = self.recipe.win_length or self.recipe.n_fft
        self.dither = dither
        check_sizes(self.recipe, self.win_length, fs)
        # The window sits in the middle of a zero-padded frame: one FFT without a second copy.
        before = (self.recipe.n_fft - self.win_length) // 2
        padded = torch.zeros(self.recipe.n_fft, dtype=torch.float64)
        padded[before : before + self.win_length] = build_window(
            self.recipe.window, self.win_length
        )
        self.register_buffer("window", padded.float(), persistent=False)
        filters = mel_filterbank(
            fs=fs,
            n_fft=self.recipe.n_fft,
            n_mels=self.recipe.n_mels,
            fmin=self.recipe.fmin,
            fmax=self.recipe.fmax or fs / 2,
            htk=self.recipe.htk,
            area_norm=self.recipe.area_norm,
            triangles_in_mel=self.recipe.triangles_in_mel,
        )
        # Each row twice: the squares of real and imaginary parts are summed by the same product.
        self.register_buffer("filters", filters.repeat_interleave(2, 0).float(), persistent=False)

    def output_size(self) -> int:
        """Return the number of features per frame."""
        return self.recipe.n_mels

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of frames for a number of samples."""
        if self.recipe.center:
            return lengths // self.recipe.hop_length + (0 if self.recipe.drops_last_frame else 1)
        frames = (lengths - self._frame_span()) // self.recipe.hop_length + 1
        return frames.clamp(min=0)

    def forward(self, speech: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Compute features; frames beyond an utterance's length are 0.

        Args:
            speech: Waveforms in [-1, 1], shape (B, S), zero-padded.
            lengths: Samples of each utterance, int64, shape (B,).

        Returns:
            Float32 features of shape (B, T, F) and the frames of each utterance, shape (B,).

        Raises:
            DataError: If even the longest waveform is too short for one frame.
        """
        self._check_samples(speech)
        needs_grad = speech.requires_grad and torch.is_grad_enabled()
        with (
            torch.autocast(speech.device.type, enabled=False),
            torch.set_grad_enabled(needs_grad),
        ):
            mel_BTF = self._spectrum_squares(speech.float(), lengths) @ self.filters
            if self.recipe.drops_last_frame:
                mel_BTF = mel_BTF[:, :-1]
            feat_lengths = self.output_lengths(lengths)
            valid_BT1 = length_mask(feat_lengths, mel_BTF.shape[1]).unsqueeze(2)
            feats_BTF = self._compress(mel_BTF, valid_BT1)
            return feats_BTF.masked_fill(~valid_BT1, 0.0), feat_lengths

    def _frame_span(self) -> int:
        return self.recipe.n_fft if self.recipe.frame_spans_fft else self.win_length

    def _check_samples(self, speech: Tensor) -> None:
        minimum = self.recipe.n_fft // 2 + 1 if self.recipe.center else self._frame_span()
        if speech.shape[1] < minimum:
            raise DataError(
                f"{speech.shape[1]} samples are too short for the front end: "
                f"one frame needs {minimum}"
            )

    def _spectrum_squares(self, speech: Tensor, lengths: Tensor) -> Tensor:
        """Return squares of real and imaginary parts side by side, shape (B, T, 2 * bins)."""
        recipe = self.recipe
        if recipe.scale != 1.0:
            speech = speech * recipe.scale
        if self.training and self.dither > 0.0:
            speech = speech + self.dither * torch.randn_like(speech)
        if recipe.center:
            speech = _reflect_ends(speech, lengths, recipe.n_fft // 2)
        frames_BTW = speech.unfold(1, self._frame_span(), recipe.hop_length)
        if recipe.removes_dc:
            frames_BTW = frames_BTW - frames_BTW.mean(2, keepdim=True)
        if recipe.preemphasis:
            previous = torch.cat([frames_BTW[..., :1], frames_BTW[..., :-1]], 2)
            frames_BTW = frames_BTW - recipe.preemphasis * previous
        spare = recipe.n_fft - frames_BTW.shape[2]
        if spare:
            frames_BTW = nn.functional.pad(frames_BTW, (spare // 2, spare - spare // 2))
        parts = torch.view_as_real(torch.fft.rfft(frames_BTW * self.window))
        # The spectrum is the largest tensor of a small model; without gradients it is reused.
        squares = parts.square() if torch.is_grad_enabled() else parts.square_()
        return squares.flatten(2)

    def _compress(self, mel_BTF: Tensor, valid_BT1: Tensor) -> Tensor:
        floored = mel_BTF.clamp(min=self.recipe.floor)
        if self.recipe.compression == "ln":
            return floored.log()
        log10_BTF = floored.log10()
        peak = log10_BTF.masked_fill(~valid_BT1, -torch.inf).amax((1, 2), keepdim=True)
        return (torch.maximum(log10_BTF, peak - 8.0) + 4.0) / 4.0

    def extra_repr(self) -> str:
        """Describe the analysis for ``print(model)``."""
        r = self.recipe
        return f"n_mels={r.n_mels}, n_fft={r.n_fft}, hop_length={r.hop_length}"


def _reflect_ends(speech_BS: Tensor, lengths_B: Tensor, pad: int) -> Tensor:
    """Mirror each utterance around its first and its own last sample."""
    padded = nn.functional.pad(speech_BS, (pad, pad))
    padded[:, :pad] = speech_BS[:, 1 : pad + 1].flip(1)
    offsets = torch.arange(pad, device=speech_BS.device)
    ends_B1 = lengths_B.unsqueeze(1)
    mirrored = speech_BS.gather(1, (ends_B1 - 2 - offsets).clamp(min=0))
    return padded.scatter_(1, ends_B1 + pad + offsets, mirrored)
