"""Make one speaker sound like many: random changes of log-mel features in training."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from espnet3.errors import SettingError
from espnet3.utils.import_utils import trusted_target

# Shapes: B batch, T frames, F features


@trusted_target
class SpeakerPerturb(nn.Module):
    """Warp the mel axis and tilt the spectrum of each utterance, by a random amount.

    Warping moves formants as another vocal tract would (vocal tract length perturbation: Jaitly
    and Hinton 2013), here as a scaling of the mel axis. The tilt adds a straight line and one
    period of a cosine over that axis, as another voice quality or microphone would. Both are
    constant over an utterance. In evaluation mode features pass unchanged.

    Args:
        warp: Largest relative change of the axis, for example 0.1 for factors from 0.9 to 1.1.
        tilt: Standard deviation of the height of line and cosine, in units of the features.

    Raises:
        SettingError: If ``warp`` is not in [0, 1), or ``tilt`` is negative.
    """

    def __init__(self, warp: float = 0.1, tilt: float = 0.5) -> None:
        super().__init__()
        if not 0.0 <= warp < 1.0:
            raise SettingError("must be in [0, 1)", key="warp", value=warp)
        if tilt < 0.0:
            raise SettingError("must not be negative", key="tilt", value=tilt)
        self.warp = warp
        self.tilt = tilt

    def augmentation(self) -> dict[str, Any]:
        """Say what is done to which share of the utterances in training."""
        return {"probability": 1.0, "options": {"warp": self.warp, "tilt": self.tilt}}

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Change features of shape (B, T, F) when training; lengths of shape (B,) stay."""
        if not self.training:
            return feats, lengths
        return self._tilt(self._warp(feats)), lengths

    def _warp(self, feats_BTF: Tensor) -> Tensor:
        if not self.warp:
            return feats_BTF
        batch, frames, size = feats_BTF.shape
        device = feats_BTF.device
        factor_B1 = 1 + self.warp * (2 * torch.rand(batch, 1, device=device) - 1)
        source_BF = (torch.arange(size, device=device) * factor_B1).clamp(max=size - 1)
        lower_BF = source_BF.long()
        upper_BF = (lower_BF + 1).clamp(max=size - 1)
        share_B1F = (source_BF - lower_BF).unsqueeze(1).to(feats_BTF.dtype)
        low, high = (
            feats_BTF.gather(2, index.unsqueeze(1).expand(batch, frames, size))
            for index in (lower_BF, upper_BF)
        )
        return torch.lerp(low, high, share_B1F)

    def _tilt(self, feats_BTF: Tensor) -> Tensor:
        if not self.tilt:
            return feats_BTF
        batch, _, size = feats_BTF.shape
        place_F = torch.linspace(0, 1, size, device=feats_BTF.device)
        shapes_2F = torch.stack([2 * place_F - 1, torch.cos(2 * torch.pi * place_F)])
        height_B2 = self.tilt * torch.randn(batch, 2, device=feats_BTF.device)
        return feats_BTF + (height_B2 @ shapes_2F).unsqueeze(1).to(feats_BTF.dtype)
