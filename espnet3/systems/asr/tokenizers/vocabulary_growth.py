"""Grow a token list and its embedding."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from espnet3.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

logger = logging.getLogger(__name__)

_SENTENCE_MARK = "<sos/eos>"


def choose_place(token_list: Sequence[str], insert_after: str | None) -> int:
    """Return the index at which new symbols go: behind ``insert_after``, else at the end."""
    tokens = list(token_list)
    if insert_after in tokens:
        return tokens.index(insert_after) + 1
    if insert_after is not None:
        logger.warning("%r is not in the token list; adding at the end", insert_after)
    if tokens and tokens[-1] == _SENTENCE_MARK:
        logger.warning(
            "adding at the end moves %s from the last place; models that take the last id as "
            "start and end of a sentence need insert_after",
            _SENTENCE_MARK,
        )
    return len(tokens)


def insert_tokens(token_list: Sequence[str], place: int, new_tokens: Sequence[str]) -> list[str]:
    """Return the list with ``new_tokens`` at ``place``."""
    return [*token_list[:place], *new_tokens, *token_list[place:]]


def grow_embedding(
    embedding: nn.Embedding, num_tokens: int, place: int, num_new: int
) -> nn.Embedding:
    """Return an embedding with ``num_new`` rows at ``place``, near the mean of the old rows.

    Raises:
        ConfigError: If the embedding has not one row per symbol.
    """
    import torch

    old = embedding.weight.detach()
    if old.shape[0] != num_tokens:
        raise ConfigError(
            f"has {old.shape[0]} rows for a token list of {num_tokens}", key="embedding"
        )
    noise = 0.01 * old.std() * torch.randn_like(old[:1].expand(num_new, -1))
    rows = torch.cat([old[:place], old.mean(0, keepdim=True) + noise, old[place:]])
    padding_idx = embedding.padding_idx
    if padding_idx is not None and padding_idx >= place:
        padding_idx += num_new
    grown: nn.Embedding = torch.nn.Embedding.from_pretrained(  # type: ignore[no-untyped-call]
        rows,
        freeze=not embedding.weight.requires_grad,
        padding_idx=padding_idx,
        max_norm=embedding.max_norm,
        norm_type=embedding.norm_type,
        scale_grad_by_freq=embedding.scale_grad_by_freq,
        sparse=embedding.sparse,
    )
    return grown
