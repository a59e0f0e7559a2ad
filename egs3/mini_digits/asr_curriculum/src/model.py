"""A recogniser that is small enough to be read in one go."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from espnet3.components.layers import CTCHead, LogMelFrontend, UtteranceMVN
from espnet3.components.layers.subsampling import ConvSubsampling
from espnet3.components.text import TokenIDConverter

# Shapes: B batch, S samples, T frames, D hidden size, U labels, V vocabulary


class DigitModel(nn.Module):
    """Log-mel features, convolutions, a bidirectional GRU and a CTC head.

    An ordinary module. ``SpeechRecognizer`` decodes it because it has ``log_probs``,
    ``token_list`` and ``blank_id``.

    Args:
        token_list: File with one symbol per line, ``<blank>`` among them.
        hidden_size: Size D of the layers; even.
        channels: Feature maps of the convolutions, which keep one of four frames.
        num_layers: Layers of the GRU.
    """

    def __init__(
        self, token_list: str, hidden_size: int = 96, channels: int = 24, num_layers: int = 2
    ) -> None:
        super().__init__()
        self.token_list = tuple(TokenIDConverter(token_list).token_list)
        self.blank_id = self.token_list.index("<blank>")
        self.frontend = LogMelFrontend(fs=16000, n_fft=512, win_length=400, hop_length=160)
        self.normalize = UtteranceMVN(norm_vars=True)
        self.subsampling = ConvSubsampling(
            self.frontend.output_size(), hidden_size, "conv2d4", channels
        )
        self.encoder = nn.GRU(
            hidden_size, hidden_size // 2, num_layers, batch_first=True, bidirectional=True
        )
        self.ctc = CTCHead(len(self.token_list), hidden_size, blank_id=self.blank_id)

    def forward(
        self, speech: Tensor, speech_lengths: Tensor, text: Tensor, text_lengths: Tensor, **_: Any
    ) -> tuple[Tensor, dict[str, Tensor], int]:
        """Return the loss of a batch, what to log, and the number of utterances.

        Args:
            speech: Waveforms, float, shape (B, S).
            speech_lengths: Samples of each, int64, shape (B,).
            text: Labels, int64, shape (B, U).
            text_lengths: Labels of each, int64, shape (B,).
        """
        hidden_BTD, lengths_B = self._encode(speech, speech_lengths)
        loss, _ = self.ctc(hidden_BTD, lengths_B, text, text_lengths)
        return loss, {"loss": loss.detach()}, len(text)

    def log_probs(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return log-probabilities of shape (B, T, V) and the frames, shape (B,)."""
        hidden_BTD, lengths_B = self._encode(speech, speech_lengths)
        return self.ctc.log_probs(hidden_BTD), lengths_B

    def _encode(self, speech: Tensor, speech_lengths: Tensor) -> tuple[Tensor, Tensor]:
        feats, lengths_B = self.normalize(*self.frontend(speech, speech_lengths))
        hidden_BTD, lengths_B = self.subsampling(feats), self.subsampling.output_lengths(lengths_B)
        # Packing keeps the backward direction from starting in the padding.
        packed = nn.utils.rnn.pack_padded_sequence(
            hidden_BTD, lengths_B.clamp(min=1).cpu(), batch_first=True, enforce_sorted=False
        )
        encoded, _ = self.encoder(packed)
        padded, _ = nn.utils.rnn.pad_packed_sequence(
            encoded, batch_first=True, total_length=hidden_BTD.shape[1]
        )
        return padded, lengths_B
