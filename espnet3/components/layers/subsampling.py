"""Convolutional reduction of the frame rate in front of an encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from espnet3.errors import ConfigError, did_you_mean

# Shapes: B batch, C channels, T frames, F features, D model dim

_STAGES = {"conv2d4": 2, "dw4": 2, "dw8": 3}


class ConvSubsampling(nn.Module):
    """Halve time and frequency two or three times with 3x3 convolutions, then project.

    ``conv2d4`` uses full convolutions; ``dw4`` and ``dw8`` use depthwise-separable ones after the
    first, as in FastConformer (Rekesh et al. 2023). Convolutions are not padded, so an output
    frame never sees frames beyond the utterance, and padding cannot change results.

    Args:
        input_size: Features per frame F.
        output_size: Model dimension D.
        kind: ``conv2d4``, ``dw4`` or ``dw8``.
        channels: Feature maps C of the convolutions.
    """

    def __init__(self, input_size: int, output_size: int, kind: str, channels: int) -> None:
        super().__init__()
        if kind not in _STAGES:
            hint = did_you_mean(kind, _STAGES) or "known kinds: " + ", ".join(_STAGES)
            raise ConfigError("is not a known kind", key="subsampling", value=kind, hint=hint)
        self.num_stages = _STAGES[kind]
        layers: list[nn.Module] = [nn.Conv2d(1, channels, 3, 2), nn.ReLU(inplace=True)]
        for _ in range(self.num_stages - 1):
            if kind == "conv2d4":
                layers.append(nn.Conv2d(channels, channels, 3, 2))
            else:
                layers.append(nn.Conv2d(channels, channels, 3, 2, groups=channels))
                layers.append(nn.Conv2d(channels, channels, 1))
            layers.append(nn.ReLU(inplace=True))
        # Channels last is the faster layout on CPUs and for half precision on GPUs.
        self.convs = nn.Sequential(*layers).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        features = self._halve(input_size)
        if features < 1:
            raise ConfigError(
                f"{kind} needs at least {self.min_frames()} features per frame",
                key="input_size",
                value=input_size,
            )
        self.projection = nn.Linear(features * channels, output_size)

    def min_frames(self) -> int:
        """Return the fewest input frames that give one output frame."""
        return int(2 ** (self.num_stages + 1)) - 1

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the output frames for a number of input frames; 0 for too short input."""
        for _ in range(self.num_stages):
            lengths = (lengths - 1) // 2
        return lengths.clamp(min=0)

    def forward(self, feats_BTF: Tensor) -> Tensor:
        """Map features of shape (B, T, F) to (B, T', D)."""
        maps_BCTF = self.convs(feats_BTF.unsqueeze(1))
        # In channels-last memory this order of axes needs no copy.
        out: Tensor = self.projection(maps_BCTF.permute(0, 2, 3, 1).flatten(2))
        return out

    def _halve(self, size: int) -> int:
        for _ in range(self.num_stages):
            size = (size - 1) // 2
        return size
