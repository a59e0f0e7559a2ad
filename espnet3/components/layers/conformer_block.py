"""The modules of a Conformer block."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# Shapes: B batch, T frames, D model dim, H heads, K head dim


class ConformerBlock(nn.Module):
    """Half feed-forward, attention, convolution, half feed-forward, layer norm."""

    def __init__(
        self,
        size: int,
        heads: int,
        linear_units: int,
        kernel: int,
        dropout_rate: float,
        attention_dropout_rate: float,
    ) -> None:
        super().__init__()
        self.feed_forward_in = FeedForward(size, linear_units, dropout_rate)
        self.attention = RotaryAttention(size, heads, dropout_rate, attention_dropout_rate)
        self.convolution = ConvolutionModule(size, kernel, dropout_rate)
        self.feed_forward_out = FeedForward(size, linear_units, dropout_rate)
        self.norm = nn.LayerNorm(size)

    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor | None, rotation: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Transform frames; ``valid_BT`` is ``None`` when nothing is padded."""
        x_BTD = torch.add(x_BTD, self.feed_forward_in(x_BTD), alpha=0.5)
        x_BTD = x_BTD + self.attention(x_BTD, valid_BT, rotation)
        x_BTD = x_BTD + self.convolution(x_BTD, valid_BT)
        x_BTD = torch.add(x_BTD, self.feed_forward_out(x_BTD), alpha=0.5)
        normed: Tensor = self.norm(x_BTD)
        return normed


class FeedForward(nn.Sequential):
    """Layer norm, two linear maps with SiLU between, dropout."""

    def __init__(self, size: int, linear_units: int, dropout_rate: float) -> None:
        super().__init__(
            nn.LayerNorm(size),
            nn.Linear(size, linear_units),
            nn.SiLU(),
            build_dropout(dropout_rate),
            nn.Linear(linear_units, size),
            build_dropout(dropout_rate),
        )


class RotaryAttention(nn.Module):
    """Multi-head self-attention with rotary positions, through scaled dot-product attention."""

    def __init__(
        self, size: int, heads: int, dropout_rate: float, attention_dropout_rate: float
    ) -> None:
        super().__init__()
        self.heads = heads
        self.attention_dropout_rate = attention_dropout_rate
        self.norm = nn.LayerNorm(size)
        self.qkv = nn.Linear(size, 3 * size)
        self.out = nn.Linear(size, size)
        self.dropout = build_dropout(dropout_rate)

    def forward(
        self, x_BTD: Tensor, valid_BT: Tensor | None, rotation: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Attend over the valid frames."""
        batch, frames, size = x_BTD.shape
        qkv = self.qkv(self.norm(x_BTD)).view(batch, frames, 3 * self.heads, -1)
        qk, v_BTHK = qkv.split((2 * self.heads, self.heads), dim=2)
        q_BTHK, k_BTHK = rotate(qk, rotation).chunk(2, dim=2)
        mask = None if valid_BT is None else valid_BT[:, None, None, :]
        context_BHTK = F.scaled_dot_product_attention(
            q_BTHK.transpose(1, 2),
            k_BTHK.transpose(1, 2),
            v_BTHK.transpose(1, 2),
            attn_mask=mask,
            dropout_p=self.attention_dropout_rate if self.training else 0.0,
        )
        merged_BTD = context_BHTK.transpose(1, 2).reshape(batch, frames, size)
        attended: Tensor = self.dropout(self.out(merged_BTD))
        return attended


class ConvolutionModule(nn.Module):
    """Gated pointwise map, depthwise convolution over time, layer norm, SiLU, pointwise map."""

    def __init__(self, size: int, kernel: int, dropout_rate: float) -> None:
        super().__init__()
        self.norm_in = nn.LayerNorm(size)
        self.gated = nn.Linear(size, 2 * size)
        # Two-dimensional with width 1: a (B, T, D) tensor is its channels-last input as it lies in
        # memory, which saves four transposes and is several times faster on a CPU than Conv1d.
        self.depthwise = nn.Conv2d(
            size, size, (kernel, 1), padding=(kernel // 2, 0), groups=size
        ).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.norm = nn.LayerNorm(size)
        self.out = nn.Linear(size, size)
        self.dropout = build_dropout(dropout_rate)

    def forward(self, x_BTD: Tensor, valid_BT: Tensor | None) -> Tensor:
        """Mix neighbouring frames; padded ones count as zero."""
        gated_BTD = F.glu(self.gated(self.norm_in(x_BTD)), dim=2)
        if valid_BT is not None:
            gated_BTD = gated_BTD.masked_fill(~valid_BT.unsqueeze(2), 0.0)
        mixed_BDT1 = self.depthwise(gated_BTD.transpose(1, 2).unsqueeze(3))
        mixed_BTD = mixed_BDT1.squeeze(3).transpose(1, 2)
        result: Tensor = self.dropout(self.out(F.silu(self.norm(mixed_BTD))))
        return result


def rotate(x: Tensor, rotation: tuple[Tensor, Tensor]) -> Tensor:
    """Turn each pair (i, i + K/2) of the last axis by the angle of its frame, in float32."""
    cos, sin = rotation
    first, second = x.float().chunk(2, dim=-1)
    return (x * cos + torch.cat([-second, first], -1) * sin).to(x.dtype)


def build_dropout(rate: float) -> nn.Module:
    """Return dropout, or nothing at rate 0: even idle modules cost time on a CPU."""
    return nn.Dropout(rate) if rate else nn.Identity()
