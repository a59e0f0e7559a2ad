"""The configuration that ``train`` leaves beside the weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from espnet3.utils.config_sources import override_comments
from espnet3.utils.config_utils import to_plain
from espnet3.utils.device_utils import process_rank
from espnet3.utils.path_utils import write_text


def write_config(config: Any, exp_dir: Path) -> None:
    """Write ``training.yaml`` at once; rank 0 only."""
    if process_rank() == 0:
        write_text(exp_dir / "training.yaml", _config_text(config))


def keep_config(trainer: Any, config: Any, exp_dir: Path) -> None:
    """Have the configuration written when training begins; at once by a trainer not of ours."""
    from espnet3.components.callbacks.config_writer import ConfigWriter
    from espnet3.components.trainers.trainer import ESPnet3LightningTrainer

    if not isinstance(trainer, ESPnet3LightningTrainer):
        write_config(config, exp_dir)
        return
    writer = ConfigWriter(exp_dir / "training.yaml", _config_text(config))
    trainer.add_callback(writer)


def _config_text(config: Any) -> str:
    plain = OmegaConf.create(to_plain(config))
    return override_comments(config) + OmegaConf.to_yaml(plain, resolve=True)
