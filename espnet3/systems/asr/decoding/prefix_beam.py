"""CTC prefix beam search."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from espnet3.components.layers.masks import length_mask
from espnet3.errors import ConfigError
from espnet3.systems.asr.decoding.hypothesis import Hypothesis

# Shapes: B batch, T frames, V vocabulary, W beam width

# Prefixes are compared by a 64-bit polynomial hash with this odd multiplier (Knuth, 2^64 / phi).
_MULTIPLIER = -7046029254386353131
_NO_PARENT = -1


@dataclass(frozen=True)
class _Beam:
    """The kept prefixes of every utterance; all tensors start with (B, W)."""

    ends_blank: Tensor
    """Log-probability of the alignments that end in a blank."""
    ends_symbol: Tensor
    """Log-probability of the alignments that end in the last symbol."""
    last: Tensor
    """Last symbol; -1 for the empty prefix."""
    key: Tensor
    """Hash of the prefix."""
    parent_key: Tensor
    """Hash of the prefix without its last symbol."""
    length: Tensor
    symbols: Tensor
    """Prefixes, padded with -1, shape (B, W, T)."""

    def total(self) -> Tensor:
        return torch.logaddexp(self.ends_blank, self.ends_symbol)


def ctc_prefix_beam(
    log_probs: Tensor,
    lengths: Tensor,
    *,
    beam_size: int = 8,
    nbest: int = 1,
    blank_id: int = 0,
) -> list[list[Hypothesis]]:
    """Search for the label sequences with the highest total probability (Hannun et al. 2014).

    All utterances and prefixes advance together on the device of the batch; the result comes to
    the host at the end. Alignments of one prefix are summed as long as the prefix stays among
    the ``beam_size`` best.

    Args:
        log_probs: Log-probabilities, float, shape (B, T, V).
        lengths: Valid frames, int64, shape (B,).
        beam_size: Prefixes kept per utterance after each frame.
        nbest: Hypotheses returned per utterance, at most ``beam_size``.
        blank_id: Id of the blank symbol.

    Returns:
        For each utterance its hypotheses, best first.

    Raises:
        ConfigError: If ``beam_size`` or ``nbest`` is out of range.
    """
    if beam_size < 1:
        raise ConfigError("must be at least 1", key="beam_size", value=beam_size)
    if not 1 <= nbest <= beam_size:
        raise ConfigError(f"must be in 1..beam_size = {beam_size}", key="nbest", value=nbest)
    log_probs_BTV = _blank_padding(log_probs.float(), lengths, blank_id)
    beam = _empty_beam(log_probs_BTV, beam_size)
    for frame_BV in log_probs_BTV.unbind(1):
        beam = _advance(beam, frame_BV, blank_id)
    return _collect(beam, nbest)


def _blank_padding(log_probs_BTV: Tensor, lengths_B: Tensor, blank_id: int) -> Tensor:
    """Make padded frames certain blanks: they change neither prefixes nor probabilities."""
    certain_blank = torch.full_like(log_probs_BTV[0, 0], -torch.inf)
    certain_blank[blank_id] = 0.0
    valid_BT1 = length_mask(lengths_B, log_probs_BTV.shape[1]).unsqueeze(2)
    return torch.where(valid_BT1, log_probs_BTV, certain_blank)


def _empty_beam(log_probs_BTV: Tensor, width: int) -> _Beam:
    """Return beams that hold the empty prefix once; the other places are dead."""
    batch, frames, _ = log_probs_BTV.shape
    dead = log_probs_BTV.new_full((batch, width), -torch.inf)
    certain = dead.clone()
    certain[:, 0] = 0.0
    zeros = torch.zeros(batch, width, dtype=torch.long, device=dead.device)
    return _Beam(
        ends_blank=certain,
        ends_symbol=dead,
        last=zeros - 1,
        key=zeros,
        parent_key=zeros + _NO_PARENT,
        length=zeros,
        symbols=(zeros - 1).unsqueeze(2).repeat(1, 1, frames),
    )


def _advance(beam: _Beam, frame_BV: Tensor, blank_id: int) -> _Beam:
    """Consume one frame."""
    total_BW = beam.total()
    last = beam.last.clamp(min=0)
    repeat_BW = frame_BV.gather(1, last).masked_fill(beam.last < 0, -torch.inf)
    stay_blank = total_BW + frame_BV[:, blank_id, None]
    stay_symbol = beam.ends_symbol + repeat_BW
    plain_BWV = total_BW.unsqueeze(2) + frame_BV.unsqueeze(1)
    # The last symbol again is a new symbol only after a blank; the empty prefix has no last one.
    doubled_BW1 = (beam.ends_blank + repeat_BW).unsqueeze(2)
    is_empty_BW1 = (beam.last < 0).unsqueeze(2)
    extended_BWV = torch.where(
        is_empty_BW1, plain_BWV, plain_BWV.scatter(2, last.unsqueeze(2), doubled_BW1)
    )
    extended_BWV[:, :, blank_id] = -torch.inf
    stay_symbol, extended_BWV = _merge(beam, stay_symbol, extended_BWV)
    return _select(beam, stay_blank, stay_symbol, extended_BWV)


def _merge(beam: _Beam, stay_symbol: Tensor, extended_BWV: Tensor) -> tuple[Tensor, Tensor]:
    """Move the probability of extensions that are already in the beam to their place there."""
    # is_child[b, w, c]: prefix c is prefix w plus the last symbol of c.
    is_child = beam.key.unsqueeze(2) == beam.parent_key.unsqueeze(1)
    symbol = beam.last.clamp(min=0).unsqueeze(1).expand_as(is_child)
    arriving = extended_BWV.gather(2, symbol).masked_fill(~is_child, -torch.inf)
    stay_symbol = torch.logaddexp(stay_symbol, arriving.logsumexp(1))
    taken = torch.zeros_like(extended_BWV).scatter_add(2, symbol, is_child.to(extended_BWV.dtype))
    return stay_symbol, extended_BWV.masked_fill(taken > 0, -torch.inf)


def _select(beam: _Beam, stay_blank: Tensor, stay_symbol: Tensor, extended_BWV: Tensor) -> _Beam:
    """Keep the best of the old prefixes and their extensions."""
    batch, width, vocabulary = extended_BWV.shape
    candidates = torch.cat(
        [torch.logaddexp(stay_blank, stay_symbol), extended_BWV.flatten(1)], dim=1
    )
    total_BW, index_BW = candidates.topk(width, dim=1)
    grows = index_BW >= width
    flat = index_BW - width
    source = torch.where(grows, flat.div(vocabulary, rounding_mode="floor"), index_BW)
    symbol = flat.remainder(vocabulary)
    key, length = beam.key.gather(1, source), beam.length.gather(1, source)
    frames = beam.symbols.shape[2]
    symbols = beam.symbols.gather(1, source.unsqueeze(2).expand(-1, -1, frames))
    place = length.clamp(max=frames - 1).unsqueeze(2)
    written = torch.where(grows.unsqueeze(2), symbol.unsqueeze(2), symbols.gather(2, place))
    parent_key = torch.where(grows, key, beam.parent_key.gather(1, source))
    never = torch.full_like(total_BW, -torch.inf)
    return _Beam(
        ends_blank=torch.where(grows, never, stay_blank.gather(1, source)),
        ends_symbol=torch.where(grows, total_BW, stay_symbol.gather(1, source)),
        last=torch.where(grows, symbol, beam.last.gather(1, source)),
        key=torch.where(grows, key * _MULTIPLIER + symbol + 1, key),
        # A dead place must not draw probability from a living prefix that looks like it.
        parent_key=torch.where(total_BW > -torch.inf, parent_key, _NO_PARENT),
        length=length + grows,
        symbols=symbols.scatter(2, place, written),
    )


def _collect(beam: _Beam, nbest: int) -> list[list[Hypothesis]]:
    scores = beam.total()[:, :nbest].tolist()
    prefixes = beam.symbols[:, :nbest].tolist()
    return [
        [
            Hypothesis(tuple(i for i in prefix if i >= 0), score)
            for prefix, score in zip(rows, row_scores, strict=True)
            if score > float("-inf")
        ]
        for rows, row_scores in zip(prefixes, scores, strict=True)
    ]
