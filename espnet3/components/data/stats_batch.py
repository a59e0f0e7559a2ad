"""Sums and shapes of one batch of utterances.

Shapes: B batch, T frames, D feature.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch

from espnet3.components.data.collate import (
    CommonCollateFn,
    arrays_of,
    expects_uid,
    is_espnet2_collate,
)
from espnet3.components.data.dataset import CombinedDataset
from espnet3.components.data.model_call import call_with_batch
from espnet3.errors import ConfigError, ModelOutputError


class CollateOutputError(ModelOutputError, RuntimeError):
    """A collate function returned something else than ids and a batch."""


def collect_stats_batch(
    idxs: Iterable[int],
    model: Any = None,
    dataset: Any = None,
    collate_fn: Any = None,
    device: Any = None,
    write_collected_feats: bool = False,
    collect_stats_kwargs: Mapping[str, Any] | None = None,
) -> tuple[Any, ...]:
    """Compute sums and shapes of one batch.

    Args:
        idxs: Indices of the utterances.
        model: Module with ``collect_feats(**batch)``, which returns tensors of shape (B, T, …)
            with their ``<key>_lengths`` (B,), or of shape (B, …) without.
        dataset: Gives samples or ``(uid, sample)`` pairs.
        collate_fn: Makes ``(uids, batch)`` of pairs, or, with ``expects_uid = False``, a batch
            of samples.
        device: Where tensors go; ``None`` leaves them.
        write_collected_feats: Also return the features.
        collect_stats_kwargs: More keyword arguments for ``collect_feats``.

    Returns:
        ``(stats, shapes)``, or ``(stats, shapes, feats)``: ``stats[key]`` has ``sum``, ``sq``
        (float64, trailing shape of the feature) and ``count``, ``shapes[key][uid]`` is
        ``"T,D"``, ``feats[key]`` is the padded batch as an array.

    Raises:
        CollateOutputError: If ``collate_fn`` returns something else.
        ConfigError: If ``collect_stats_kwargs`` and the batch share a key.
        ModelOutputError: If a feature has another number of rows than the batch.
    """
    uids, batch = _collate([_read_pair(dataset, index) for index in idxs], collate_fn)
    if device is not None:
        batch = {k: v.to(device) if torch.is_tensor(v) else v for k, v in batch.items()}
    extra = dict(collect_stats_kwargs or {})
    clash = sorted(extra.keys() & batch.keys())
    if clash:
        raise ConfigError(f"collect_stats kwargs conflict with batch tensors: {', '.join(clash)}")
    with torch.no_grad():
        name = f"{type(model).__name__}.collect_feats"
        output = call_with_batch(model.collect_feats, {**batch, **extra}, name)
    feats = {key: torch.as_tensor(value).detach().cpu() for key, value in output.items()}
    stats, shapes = {}, {}
    for key, value in feats.items():
        if len(value) != len(uids):
            raise ModelOutputError(
                f"collect_feats returned {key!r} of shape {tuple(value.shape)} for a batch of"
                f" {len(uids)} utterances"
            )
        stats[key], own = _measure(value, feats.get(f"{key}_lengths"))
        shapes[key] = dict(zip(uids, own, strict=True))
    if write_collected_feats:
        return stats, shapes, {key: value.numpy() for key, value in feats.items()}
    return stats, shapes


def _measure(value: torch.Tensor, lengths: torch.Tensor | None) -> tuple[dict[str, Any], list[str]]:
    """Return sums over all frames of the batch, and the shape of each utterance."""
    if lengths is None:
        frames = value.double()
        shape = ",".join(map(str, (1, *value.shape[1:])))
        shapes = [shape] * len(value)
    else:
        valid = torch.arange(value.shape[1]) < lengths[:, None]
        frames = value[valid].double()
        rest = "".join(f",{n}" for n in value.shape[2:])
        shapes = [f"{length}{rest}" for length in lengths.tolist()]
    entry = {
        "sum": frames.sum(0).numpy(),
        "sq": frames.square().sum(0).numpy(),
        "count": len(frames),
    }
    return entry, shapes


def _read_pair(dataset: Any, index: int) -> tuple[str, Any]:
    # The random key makes augmentation, where it is on, repeatable.
    is_ours = isinstance(dataset, CombinedDataset)
    item = dataset.read(index, (0, 0)) if is_ours else dataset[index]
    if isinstance(item, tuple | list) and len(item) == 2 and isinstance(item[0], str):
        return item[0], item[1]
    return str(index), item


def _collate(pairs: list[tuple[str, Any]], collate_fn: Any) -> tuple[list[str], Mapping[str, Any]]:
    collate_fn = CommonCollateFn(int_pad_value=-1) if collate_fn is None else collate_fn
    wants_samples = expects_uid(collate_fn) is False
    if is_espnet2_collate(collate_fn):
        pairs = [(uid, arrays_of(sample)) for uid, sample in pairs]
    output = collate_fn([sample for _, sample in pairs] if wants_samples else pairs)
    if wants_samples and isinstance(output, Mapping):
        return [uid for uid, _ in pairs], output
    if not isinstance(output, tuple | list) or len(output) != 2:
        raise CollateOutputError(
            f"{type(collate_fn).__name__} must return (uids, batch_dict) in collect_stats, got"
            f" {type(output).__name__}"
        )
    uids, batch = output
    if not isinstance(batch, Mapping):
        raise CollateOutputError(
            f"{type(collate_fn).__name__} must return a mapping for batch tensors, got"
            f" {type(batch).__name__}"
        )
    return list(uids), batch
