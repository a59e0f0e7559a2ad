"""Build what trains: process-wide settings, model, Lightning module and trainer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from omegaconf import OmegaConf

from espnet3.systems.base.settings import TrainingSettings
from espnet3.utils.config_utils import instantiate_config
from espnet3.utils.import_utils import import_object

if TYPE_CHECKING:
    from torch import nn


def prepare(settings: TrainingSettings) -> None:
    """Make folders, register the parallel section, seed, and set the precision."""
    import lightning
    import torch

    from espnet3.components.trainers.quiet import quiet_lightning
    from espnet3.parallel.parallel import set_parallel

    settings.exp_dir.mkdir(parents=True, exist_ok=True)
    if settings.stats_dir is not None:
        settings.stats_dir.mkdir(parents=True, exist_ok=True)
    if settings.parallel is not None:
        set_parallel(OmegaConf.create(settings.parallel))
    if settings.seed is not None:
        with quiet_lightning():
            lightning.seed_everything(int(settings.seed), workers=True)
    torch.set_float32_matmul_precision(settings.trainer.matmul_precision)


def build_model(settings: TrainingSettings, section: Mapping[str, Any] | None) -> nn.Module:
    """Build the model of a section ``model``; with ``task`` it holds the options of that."""
    from espnet3.utils.task_utils import build_task_or_target

    return build_task_or_target(settings.task, section or {})


def build_module(model: nn.Module, config: Any, settings: TrainingSettings) -> Any:
    """Build the Lightning module: ours, or the one that ``lightning_module`` names."""
    if settings.lightning_module:
        return instantiate_config(
            settings.lightning_module, key="lightning_module", model=model, config=config
        )
    from espnet3.components.modeling.lightning_module import ESPnetLightningModule

    return ESPnetLightningModule(model, config)


def build_trainer(module: Any, config: Any, settings: TrainingSettings) -> Any:
    """Build the trainer: ours, or the one that ``trainer_class`` names."""
    from espnet3.components.trainers.trainer import ESPnet3LightningTrainer

    trainer_class = ESPnet3LightningTrainer
    if settings.trainer_class:
        trainer_class = import_object(settings.trainer_class, key="trainer_class")
    return trainer_class(
        model=module,
        exp_dir=settings.exp_dir,
        config=config.get("trainer") or {},
        best_model_criterion=settings.best_model_criterion,
    )
