"""Which sizes of layers fit together; torch is not needed to know it."""

from __future__ import annotations

from espnet3.errors import ConfigError


def check_conformer_sizes(
    *, output_size: int | None, attention_heads: int | None, cnn_kernel: int | None
) -> None:
    """Check the sizes of a Conformer block; ``None`` is not known.

    Raises:
        ConfigError: If the heads do not divide the features into even parts, or the kernel has no
            middle.
    """
    if output_size and attention_heads and output_size % (2 * attention_heads):
        raise ConfigError(
            f"must be an even multiple of attention_heads = {attention_heads}",
            key="output_size",
            value=output_size,
        )
    if cnn_kernel is not None and cnn_kernel % 2 == 0:
        raise ConfigError("must be odd", key="cnn_kernel", value=cnn_kernel)
