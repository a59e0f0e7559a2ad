"""What a training run really does, as plain numbers: parameters, augmentation, batches, rates."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.optim import AdamW, Optimizer
from torch.optim.lr_scheduler import LRScheduler

from espnet3.components.data.dataset import CombinedDataset, do_nothing
from espnet3.components.data.loader import ResumableLoader
from espnet3.components.data.sample_rng import sample_rng, takes_rng
from espnet3.components.optimizers.settings import OptimizationSettings
from espnet3.components.optimizers.single import build_scheduler

_BINS = 5
_PROBE_SHAPE = (64, 200, 80)
_PROBE_SAMPLES = 8
_MOST_STEPS = 20_000


def parameter_facts(model: nn.Module) -> dict[str, dict[str, int]]:
    """Count the trainable and frozen parameters of each direct part of a model."""
    counts: dict[str, dict[str, int]] = {}
    for name, parameter in model.named_parameters():
        part = counts.setdefault(name.partition(".")[0], {"trainable": 0, "frozen": 0})
        part["trainable" if parameter.requires_grad else "frozen"] += parameter.numel()
    return counts


def augmentation_facts(model: nn.Module, dataset: Any) -> list[dict[str, Any]]:
    """List what changes training data at random, with its probability and a measured hit rate.

    Args:
        model: Parts of it with a method ``augmentation()`` are tried on random features.
        dataset: Training set; its transforms are tried on the first samples, where they take
            their random numbers from outside.

    Returns:
        Mappings with ``name`` and, where known, ``probability``, ``options``, ``hit_rate`` (share
        of utterances that changed) and ``changed_values`` (share of values that changed).
    """
    facts = []
    for name, module in model.named_modules():
        describe = getattr(module, "augmentation", None)
        if callable(describe):
            label = f"{name} {type(module).__name__}"
            facts.append({"name": label, **describe(), **_try_on_features(module)})
    rates = Counter(m.p for m in model.modules() if isinstance(m, nn.Dropout) and m.p > 0)
    facts += [
        {"name": f"dropout in {count} places", "probability": p} for p, count in rates.items()
    ]
    if isinstance(dataset, CombinedDataset):
        pairs = zip(dataset.datasets, dataset.transforms, strict=True)
        facts += [_transform_facts(d, t) for d, (t, _) in pairs if t is not do_nothing]
    return facts


def batch_facts(
    loader: Any, *, world_size: int, accumulate: int, rate: int | None = None
) -> dict[str, Any]:
    """Describe the batches of an epoch.

    Args:
        loader: Loader of the training set.
        world_size: Ranks that train.
        accumulate: Batches per update on one rank.
        rate: Samples per second; turns lengths in samples into seconds.

    Returns:
        ``batches`` (on one rank), ``updates``, ``ranks`` and ``accumulate``; for planned batches
        also ``utterances``, ``utterances_per_update`` (mean), ``padding`` (share) and ``shapes``: a
        histogram over the length of the longest utterance.
    """
    steps = len(loader) if hasattr(loader, "__len__") else None
    facts: dict[str, Any] = {
        "batches": steps,
        "updates": None if steps is None else math.ceil(steps / accumulate),
        "ranks": world_size,
        "accumulate": accumulate,
    }
    if not isinstance(loader, ResumableLoader):
        size = getattr(loader, "batch_size", None)
        if isinstance(size, int):
            facts["utterances_per_update"] = size * world_size * accumulate
        return facts
    sizes, longest, filled = loader.plan.shapes(loader.planner.lengths)
    facts["utterances"] = int(sizes.sum())
    facts["utterances_per_update"] = round(float(sizes.mean()) * world_size * accumulate, 1)
    facts["padding"] = _padding(sizes, longest, filled)
    facts["length_unit"] = "seconds" if rate else "units of the shape file"
    order = np.argsort(longest, kind="stable")
    facts["shapes"] = [
        {
            "batches": len(part),
            "utterances": _span(sizes[part]),
            "longest": _span(longest[part] / (rate or 1)),
            "total": _span(filled[part] / (rate or 1)),
            "padding": _padding(sizes[part], longest[part], filled[part]),
        }
        for part in np.array_split(order, min(_BINS, len(order)))
    ]
    return facts


def rate_facts(
    optimizer: Optimizer, settings: OptimizationSettings, updates: float, per_epoch: int | None
) -> dict[str, Any]:
    """Return points of the learning-rate curve of a fresh run.

    Args:
        optimizer: Optimizer of the run, for the base rates of its groups; it is not touched.
        settings: Schedule.
        updates: Updates of the whole run; infinite where only time ends it.
        per_epoch: Updates of an epoch, for schedules that follow epochs.

    Returns:
        ``groups`` (base rates), ``interval`` and ``points``: ``[place, step, rate]`` of the first
        parameter group; the steps are updates or epochs.
    """
    bases = [group.get("initial_lr", group["lr"]) for group in optimizer.param_groups]
    facts: dict[str, Any] = {"groups": bases, "interval": settings.interval, "points": []}
    groups = [{"params": [nn.Parameter(torch.zeros(1))], "lr": base} for base in bases]
    entry = build_scheduler(AdamW(groups), settings)
    if entry is None:
        facts["points"] = [["constant", 1, bases[0]]]
        return facts
    scheduler = entry["scheduler"]
    if not isinstance(scheduler, LRScheduler) or settings.monitor is not None:
        return facts  # It follows a metric, or we do not know how it steps.
    steps = updates
    if settings.interval == "epoch":
        steps = updates / per_epoch if per_epoch else math.inf
    places = {"first": 1, "end of warm-up": getattr(scheduler, "warmup_steps", None)}
    if math.isfinite(steps):
        places |= {"middle": int(steps / 2), "last": int(steps)}
        places = {k: v for k, v in places.items() if v is None or v <= max(steps, 1)}
    wanted = {place: int(step) for place, step in places.items() if step and step >= 1}
    rates = _rates_at(scheduler, set(wanted.values()))
    facts["points"] = [[p, s, rates[s]] for p, s in wanted.items() if s in rates]
    return facts


def _rates_at(scheduler: LRScheduler, steps: Iterable[int]) -> dict[int, float]:
    """Step a schedule of its own through a run and note the rate of some steps."""
    wanted = sorted(step for step in steps if step <= _MOST_STEPS)
    rates: dict[int, float] = {}
    if type(scheduler).__module__.startswith("espnet3."):  # a function of the step number
        for step in steps:
            scheduler.last_epoch = step - 1
            rates[step] = float(scheduler.get_lr()[0])
        return rates
    done = 1
    for step in wanted:
        while done < step:
            scheduler.optimizer.step()
            scheduler.step()
            done += 1
        rates[step] = float(scheduler.optimizer.param_groups[0]["lr"])
    return rates


def _try_on_features(module: nn.Module) -> dict[str, Any]:
    batch, frames, size = _PROBE_SHAPE
    was_training = module.training
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        feats, lengths = torch.randn(batch, frames, size), torch.full((batch,), frames)
        module.train()
        try:
            changed = module(feats, lengths)[0] != feats
        finally:
            module.train(was_training)
    return {
        "hit_rate": round(float(changed.flatten(1).any(1).float().mean()), 3),
        "changed_values": round(float(changed.float().mean()), 3),
    }


def _transform_facts(dataset: Any, transform: Any) -> dict[str, Any]:
    name = getattr(transform, "__qualname__", type(transform).__qualname__)
    facts: dict[str, Any] = {"name": f"transform {name} of {type(dataset).__name__}"}
    probability = next(
        (getattr(transform, n) for n in ("probability", "prob", "p") if hasattr(transform, n)), None
    )
    if isinstance(probability, int | float):
        facts["probability"] = probability
    # One that draws from the global generators would change the run by being tried.
    count = min(_PROBE_SAMPLES, len(dataset))
    if takes_rng(transform) and count:
        hits = sum(_is_changed(dataset, transform, index) for index in range(count))
        facts["hit_rate"] = round(hits / count, 3)
    return facts


def _is_changed(dataset: Any, transform: Any, index: int) -> bool:
    before: Mapping[str, Any] = dataset[index]
    arrays = {k: np.array(v) for k, v in before.items() if isinstance(v, np.ndarray)}
    after = transform(before, rng=sample_rng(0, 0, str(index)))
    return any(not np.array_equal(value, after.get(name)) for name, value in arrays.items())


def _span(values: np.ndarray) -> list[float]:
    """Return the smallest and the largest value."""
    return [round(float(values.min()), 2), round(float(values.max()), 2)]


def _padding(sizes: np.ndarray, longest: np.ndarray, filled: np.ndarray) -> float:
    padded = int((longest * sizes).sum())
    return round(1 - int(filled.sum()) / padded, 4) if padded else 0.0
