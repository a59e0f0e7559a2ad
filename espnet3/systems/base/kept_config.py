"""The configuration that ``train`` leaves beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3.systems.base.settings import TrainingSettings
from espnet3.utils.config_sources import override_comments
from espnet3.utils.config_utils import to_plain
from espnet3.utils.device_utils import process_rank
from espnet3.utils.path_utils import write_text


def write_config(config: Any, settings: TrainingSettings) -> None:
    """Write ``training.yaml`` at once, with ``task`` also ``config.yaml``; rank 0 only."""
    if process_rank() == 0:
        for path, text in _texts(config, settings).items():
            write_text(path, text)


def keep_config(trainer: Any, config: Any, settings: TrainingSettings) -> None:
    """Have the configuration written when training begins; at once by a trainer not of ours."""
    from espnet3.components.callbacks.config_writer import ConfigWriter
    from espnet3.components.trainers.trainer import ESPnet3LightningTrainer

    if not isinstance(trainer, ESPnet3LightningTrainer):
        write_config(config, settings)
        return
    trainer.add_callback(ConfigWriter(_texts(config, settings)))


def _texts(config: Any, settings: TrainingSettings) -> dict[Path, str]:
    """Return what describes the trained weights, by file: for us, and for ESPnet2's tools."""
    plain = OmegaConf.create(to_plain(config))
    own = override_comments(config) + OmegaConf.to_yaml(plain, resolve=True)
    texts = {settings.exp_dir / "training.yaml": own}
    if settings.task:
        from espnet3.utils.task_utils import espnet_config_text

        texts[settings.exp_dir / "config.yaml"] = espnet_config_text(settings.task, config)
    return texts
