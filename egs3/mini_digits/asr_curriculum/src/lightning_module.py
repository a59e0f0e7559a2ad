"""What happens to a batch before the model sees it."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from espnet3.components.modeling.lightning_module import ESPnetLightningModule


class NoisySpeechModule(ESPnetLightningModule):
    """Add noise to the speech of each training batch, on the device of the batch.

    Args:
        model: Model to train.
        config: The training configuration.
        snr_db: Lowest and highest level of the speech over the noise; drawn for each utterance.
    """

    def __init__(self, model: nn.Module, config: Any, snr_db: tuple[float, float]) -> None:
        super().__init__(model, config)
        self.snr_db = snr_db

    def training_step(self, batch: Any, batch_idx: int) -> Tensor | None:
        """Return the loss of the batch with noise; shape ()."""
        uids, content = batch
        noisy = add_noise(content["speech"], content["speech_lengths"], self.snr_db)
        return super().training_step((uids, {**content, "speech": noisy}), batch_idx)


def add_noise(speech: Tensor, lengths: Tensor, snr_db: tuple[float, float]) -> Tensor:
    """Add white noise at a random level to each utterance, padding included.

    Args:
        speech: Zero-padded waveforms, shape (B, S).
        lengths: Samples of each, shape (B,).
        snr_db: Range of the ratio of speech to noise, in decibels.
    """
    power_B1 = speech.square().sum(1, keepdim=True) / lengths[:, None]
    low, high = snr_db
    snr_B1 = low + (high - low) * torch.rand_like(power_B1)
    return speech + torch.randn_like(speech) * (power_B1 * 10 ** (-snr_B1 / 10)).sqrt()
