"""Conformer encoder."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from espnet3.components.layers.conformer_block import ConformerBlock, build_dropout
from espnet3.components.layers.masks import length_mask
from espnet3.components.layers.subsampling import ConvSubsampling
from espnet3.errors import DataError
from espnet3.utils.import_utils import trusted_target
from espnet3.utils.layer_sizes import check_conformer_sizes

# Shapes: B batch, T frames, F features, D model dim, K head dim

_ROPE_BASE = 10000.0


@trusted_target
class ConformerEncoder(nn.Module):
    """Encode features with macaron Conformer blocks (Gulati et al. 2020), pre-norm.

    Positions enter through rotary embeddings (Su et al. 2021) inside scaled dot-product attention;
    the convolution is normalised with layer norm, so no statistics cross utterances. Padding
    changes nothing: an utterance gives the same frames alone and inside a padded batch.

    Args:
        input_size: Features per frame F.
        output_size: Model dimension D; ``attention_heads`` times an even number.
        num_blocks: Number of blocks.
        attention_heads: Attention heads H.
        linear_units: Inner width of the feed-forward modules.
        cnn_kernel: Frames under the depthwise convolution; odd.
        subsampling: ``conv2d4`` (4 times fewer frames), or depthwise-separable ``dw4``, ``dw8``.
        subsampling_channels: Feature maps of the subsampling; ``output_size`` by default. On a
            CPU the subsampling dominates a small model: 32 is enough there.
        dropout_rate: Dropout inside and after each module.
        attention_dropout_rate: Dropout on attention weights.
        layer_drop: Probability that a block is skipped for an utterance in training.
        grad_checkpoint: Recompute blocks in the backward pass to save memory.

    Raises:
        ConfigError: If sizes do not fit together or the subsampling is unknown.
    """

    frequencies: Tensor

    def __init__(
        self,
        input_size: int,
        output_size: int = 256,
        num_blocks: int = 12,
        attention_heads: int = 4,
        linear_units: int = 1024,
        cnn_kernel: int = 15,
        subsampling: str = "conv2d4",
        subsampling_channels: int | None = None,
        dropout_rate: float = 0.1,
        attention_dropout_rate: float = 0.0,
        layer_drop: float = 0.0,
        grad_checkpoint: bool = False,
    ) -> None:
        super().__init__()
        check_conformer_sizes(
            output_size=output_size, attention_heads=attention_heads, cnn_kernel=cnn_kernel
        )
        self._output_size = output_size
        self.layer_drop = layer_drop
        self.grad_checkpoint = grad_checkpoint
        self.subsampling = ConvSubsampling(
            input_size, output_size, subsampling, subsampling_channels or output_size
        )
        self.dropout = build_dropout(dropout_rate)
        self.blocks = nn.ModuleList(
            ConformerBlock(
                output_size,
                attention_heads,
                linear_units,
                cnn_kernel,
                dropout_rate,
                attention_dropout_rate,
            )
            for _ in range(num_blocks)
        )
        half = output_size // attention_heads // 2
        steps = torch.arange(half, dtype=torch.float64) / half
        self.register_buffer("frequencies", (_ROPE_BASE**-steps).float(), persistent=False)

    def output_size(self) -> int:
        """Return the model dimension D."""
        return self._output_size

    def output_lengths(self, lengths: Tensor) -> Tensor:
        """Return the number of output frames for a number of input frames."""
        return self.subsampling.output_lengths(lengths)

    def forward(self, feats: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode a padded batch.

        Args:
            feats: Features, shape (B, T, F).
            lengths: Valid frames, int64, shape (B,).

        Returns:
            Hidden frames of shape (B, T', D) and their number per utterance, shape (B,). Values
            of padded frames are undefined.

        Raises:
            DataError: If an utterance is too short to give one frame. Lengths on an accelerator
                are not read back for this check; there only the padded size counts.
        """
        self._check_frames(feats, lengths)
        hidden = self.dropout(self.subsampling(feats))
        lengths = self.output_lengths(lengths)
        valid_BT = _valid_frames(lengths, hidden.shape[1])
        rotation = self._rotation(hidden.shape[1])
        for block in self.blocks:
            if self.grad_checkpoint and self.training and torch.is_grad_enabled():
                result = checkpoint(block, hidden, valid_BT, rotation, use_reentrant=False)
            else:
                result = block(hidden, valid_BT, rotation)
            hidden = self._drop_layer(hidden, result)
        return hidden, lengths

    def _rotation(self, frames: int) -> tuple[Tensor, Tensor]:
        """Return cosine and sine of the rotary angles, each of shape (T, 1, K)."""
        positions = torch.arange(frames, device=self.frequencies.device, dtype=torch.float32)
        angles = torch.outer(positions, self.frequencies).repeat(1, 2).unsqueeze(1)
        return angles.cos(), angles.sin()

    def _drop_layer(self, before: Tensor, after: Tensor) -> Tensor:
        # Decided on the device and after the block ran: no host sync, and all parameters take
        # part in every step, as distributed training expects.
        if not (self.training and self.layer_drop):
            return after
        keep = torch.rand(before.shape[0], 1, 1, device=before.device) >= self.layer_drop
        return torch.where(keep, after, before)

    def _check_frames(self, feats: Tensor, lengths: Tensor) -> None:
        shortest = feats.shape[1]
        if lengths.device.type == "cpu" and not torch.compiler.is_compiling():
            shortest = min(shortest, int(lengths.min()))
        minimum = self.subsampling.min_frames()
        if shortest < minimum:
            raise DataError(
                f"{shortest} frames are too short for the encoder: it needs {minimum}; "
                "leave such utterances out"
            )


def _valid_frames(lengths_B: Tensor, frames: int) -> Tensor | None:
    """Return the key mask, or ``None`` where a look at the lengths is free and nothing is padded.

    Without a mask the fastest attention kernels apply.
    """
    can_look = lengths_B.device.type == "cpu" and not torch.compiler.is_compiling()
    if can_look and int(lengths_B.min()) >= frames:
        return None
    # An empty utterance keeps its first frame: attention over nothing would give NaN.
    return length_mask(lengths_B.clamp(min=1), frames)
