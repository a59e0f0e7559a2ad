"""Say at the start of a training what it really does, before hours are spent on it."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import Callback
from torch import nn
from torch.optim import Optimizer

from espnet3.components.callbacks.run_facts import (
    augmentation_facts,
    batch_facts,
    parameter_facts,
    rate_facts,
)
from espnet3.components.modeling.lightning_module import ESPnetLightningModule
from espnet3.components.modeling.model_summary import build_model_summary
from espnet3.components.optimizers.settings import OptimizationSettings, read_optimization
from espnet3.utils.path_utils import write_json
from espnet3.utils.types import PathLike

logger = logging.getLogger(__name__)

_MOST_PARTS = 8
_MOST_AUGMENTATIONS = 5


class EffectiveRun(Callback):
    """Log what is trained, on which batches, and at which rates; rank 0 only.

    Everything is read from the objects that train, not from the configuration.

    Args:
        exp_dir: Folder of ``effective_run.json``.
    """

    def __init__(self, exp_dir: PathLike) -> None:
        self.path = Path(exp_dir) / "effective_run.json"

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write and log the report."""
        if not trainer.is_global_zero:
            return
        facts = describe_run(trainer, pl_module)
        write_json(self.path, facts)
        logger.info("effective run:\n%s", format_facts(facts))


def describe_run(trainer: Trainer, module: LightningModule) -> dict[str, Any]:
    """Return plain values about a run whose loaders and optimizers exist.

    Returns:
        ``model``, ``parameters``, ``augmentation``, ``batches`` and, for an
        :class:`~espnet3.components.modeling.lightning_module.ESPnetLightningModule`,
        ``optimizer`` and ``learning_rate``.
    """
    model: nn.Module = module
    dataset = rate = None
    if isinstance(module, ESPnetLightningModule):
        model, dataset, rate = module.model, module.train_dataset, _sample_rate(module)
    summary = build_model_summary(model)
    batches = batch_facts(
        trainer.train_dataloader,
        world_size=trainer.world_size,
        accumulate=trainer.accumulate_grad_batches,
        rate=rate,
    )
    facts = {
        "model": f"{summary['class_name']}: {summary['total_params_display']} parameters"
        f" ({summary['trainable_params_display']} trainable,"
        f" {summary['non_trainable_params_display']} frozen),"
        f" {summary['size_bytes_display']}, {summary['dtype_desc']}",
        "parameters": parameter_facts(model),
        "augmentation": augmentation_facts(model, dataset),
        "batches": batches,
    }
    if isinstance(module, ESPnetLightningModule) and trainer.optimizers:
        settings = _with_schedule_in_use(read_optimization(module.config), trainer)
        facts["optimizer"] = _describe_optimizer(settings.optimizer, trainer.optimizers[0])
        if settings.scheduler is not None:
            facts["scheduler"] = _describe_section(settings.scheduler)
        per_epoch = batches["updates"]
        updates = _planned_updates(trainer, per_epoch)
        facts["learning_rate"] = rate_facts(trainer.optimizers[0], settings, updates, per_epoch)
    return facts


def _planned_updates(trainer: Trainer, per_epoch: int | None) -> float:
    limits = [math.inf]
    if trainer.max_steps >= 0:
        limits.append(trainer.max_steps)
    if per_epoch is not None and trainer.max_epochs is not None and trainer.max_epochs >= 0:
        limits.append(per_epoch * trainer.max_epochs)
    return min(limits)


def _sample_rate(module: ESPnetLightningModule) -> int | None:
    """Return the sample rate where lengths are counted in samples."""
    section = (module.config.get("dataloader") or {}).get("train") or {}
    return module.sample_rate if section.get("length_unit") in (None, "samples") else None


def _with_schedule_in_use(settings: OptimizationSettings, trainer: Trainer) -> OptimizationSettings:
    """Return settings with the options of the schedule that trains; a checkpoint may restore them.

    An option that the schedule keeps under another name, or in another form, stays as configured.
    """
    section = settings.scheduler
    if section is None or not trainer.lr_scheduler_configs:
        return settings
    scheduler = trainer.lr_scheduler_configs[0].scheduler
    in_use = {key: getattr(scheduler, key, value) for key, value in section.items()}
    kept = {k: v for k, v in in_use.items() if isinstance(v, int | float | str | list)}
    return dataclasses.replace(settings, scheduler={**section, **kept})


def _describe_optimizer(section: Mapping[str, Any], optimizer: Optimizer) -> str:
    """Name the configured options with the values in use, which a checkpoint may have restored."""
    group = optimizer.param_groups[0]
    in_use = {**group, "lr": group.get("initial_lr", group["lr"])}
    return _describe_section({key: in_use.get(key, value) for key, value in section.items()})


def _describe_section(section: Mapping[str, Any]) -> str:
    options = ", ".join(f"{k}={v}" for k, v in section.items() if not k.startswith("_"))
    return f"{section['_target_']}({options})"


def format_facts(facts: Mapping[str, Any]) -> str:
    """Return the facts as a few lines."""
    lines = [f"model {facts['model']}"]
    lines += [
        f"  {name:24} {_count(part['trainable']):>8} trainable {_count(part['frozen']):>8} frozen"
        for name, part in _largest(facts["parameters"])
    ]
    lines += [
        f"augmentation {_describe(item)}" for item in facts["augmentation"][:_MOST_AUGMENTATIONS]
    ]
    lines += _batch_lines(facts["batches"])
    lines += [f"{key} {facts[key]}" for key in ("optimizer", "scheduler") if key in facts]
    rates = facts.get("learning_rate")
    if rates is not None:
        points = "; ".join(f"{p} ({rates['interval']} {s}) {r:.3g}" for p, s, r in rates["points"])
        lines.append(f"learning rate {points or 'follows the run'}")
    return "\n".join(lines)


def _batch_lines(batches: Mapping[str, Any]) -> list[str]:
    known = [f"{key.replace('_', ' ')}={v}" for key, v in batches.items() if key != "shapes"]
    lines = [f"each epoch, on each rank: {' '.join(known)}"]
    for shape in batches.get("shapes", ()):
        low, high = shape["longest"]
        few, many = shape["utterances"]
        lines.append(
            f"  {shape['batches']:6} batches of {few:g}-{many:g} utterances, longest"
            f" {low:g}-{high:g}, padding {100 * shape['padding']:.1f} %"
        )
    return lines


def _largest(parts: Mapping[str, dict[str, int]]) -> Sequence[tuple[str, dict[str, int]]]:
    """Keep the list short: the largest parts, and the others as one."""
    ordered = sorted(parts.items(), key=lambda item: -sum(item[1].values()))
    rest = [part for _, part in ordered[_MOST_PARTS:]]
    others = {key: sum(part[key] for part in rest) for key in ("trainable", "frozen")}
    return [*ordered[:_MOST_PARTS], (f"{len(rest)} others", others)] if rest else ordered


def _count(value: int) -> str:
    return f"{value:,}"


def _describe(item: Mapping[str, Any]) -> str:
    words = [str(item["name"])]
    words += [f"{key}={item[key]}" for key in ("probability", "options") if key in item]
    if "hit_rate" in item:
        words.append(f"measured: {100 * item['hit_rate']:.0f} % of utterances")
    if "changed_values" in item:
        words.append(f"{100 * item['changed_values']:.0f} % of values")
    return ", ".join(words)
