"""The stages ``collect_stats`` and ``train``: everything between configuration and weights."""

from __future__ import annotations

import contextlib
import logging
import time
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from espnet3.components.optimizers.settings import read_optimization
from espnet3.errors import MissingConfigError, WeightsError
from espnet3.systems.base.config_changes import describe_changes, describe_restored
from espnet3.systems.base.initial_weights import check_initial_weights, load_initial_weights
from espnet3.systems.base.kept_config import keep_config, write_config
from espnet3.systems.base.model_section import check_model, without_normalizer
from espnet3.systems.base.resume import ResumePoint, find_start
from espnet3.systems.base.settings import TrainingSettings
from espnet3.systems.base.token_lists import check_token_lists
from espnet3.systems.base.training_objects import (
    build_model,
    build_module,
    build_trainer,
    prepare,
)
from espnet3.utils.config_utils import to_plain
from espnet3.utils.device_utils import process_rank
from espnet3.utils.lock_utils import file_lock
from espnet3.utils.settings import parse_settings

logger = logging.getLogger(__name__)

# A killed run's data loaders hold on for some seconds.
_LOCK_SEC = 10.0


def train(config: Any) -> None:
    """Train the model that a configuration describes.

    Leaves in ``exp_dir``: ``training.yaml`` (the configuration, merged and resolved),
    ``last.ckpt``, the best checkpoints, their averages and ``metrics.jsonl``.

    Args:
        config: Training configuration, mapping or ``DictConfig``. Never modified.

    Raises:
        MissingConfigError: If a section that training needs is absent.
        ConfigError: If a value is wrong.
        RuntimeError: If the loss stays invalid for too long.
    """
    settings = _read_settings(config)
    with _exclusive(settings.exp_dir):
        _train(config, settings)


def _train(config: Any, settings: TrainingSettings) -> None:
    started = time.monotonic()
    if not settings.lightning_module:
        read_optimization(config)  # finds mistakes before the model is built
    fit = dict(settings.fit or {})
    check_model(settings)
    check_token_lists(to_plain(config))
    prepare(settings)
    point = _resolve_checkpoint(fit, settings)
    source = None if "ckpt_path" in fit else settings.init_from
    check_initial_weights(source)
    if point is not None and (way_on := point.way_on(settings.trainer)) is not None:
        logger.info(
            "Nothing to do: %s has %d epochs, %d steps. To go on: %s",
            point.path,
            point.epochs,
            point.steps,
            way_on,
        )
        _warn_about_changes(config, point.path)
        # The file describes the weights beside it: another configuration must not take its place.
        if not (settings.exp_dir / "training.yaml").exists():
            write_config(config, settings)
        return
    start = None if fit.get("ckpt_path") is None else Path(fit["ckpt_path"])
    model = build_model(settings, settings.model)
    trainer = build_trainer(build_module(model, config, settings), config, settings)
    keep_config(trainer, config, settings)
    if source is not settings.init_from:
        logger.info("init_from is not read: the run goes on from a checkpoint")
    load_initial_weights(model, source)
    if start is None:
        trainer.fit(**fit)
    else:
        _go_on(trainer, fit, config, start)
    logger.info(
        "Trained %s in %.1f s; results are in %s",
        type(model).__name__,
        time.monotonic() - started,
        settings.exp_dir,
    )


def _go_on(trainer: Any, fit: dict[str, Any], config: Any, start: Path) -> None:
    """Train on from a checkpoint; say what of the configuration it overrides, or does not fit."""
    file = start.parent / "training.yaml"
    if process_rank() == 0 and (kept := describe_restored(config, file)):
        logger.warning(
            "These changes have no effect, because the run goes on with the optimizer and the"
            " schedule of %s; a new exp_tag starts with them:\n  %s",
            start,
            "\n  ".join(kept),
        )
    changes = list(describe_changes(config, file))
    try:
        trainer.fit(**fit)
    except (WeightsError, ValueError) as error:
        # The second is what torch says about other parameters, for example after `freeze`.
        if not isinstance(error, WeightsError) and "parameter group" not in str(error):
            raise
        causes = "".join(f"\n  changed: {line}" for line in changes)
        raise WeightsError(
            f"training cannot go on from {start}: it does not fit the configuration\n"
            f"  {error}{causes}\n"
            f"  undo the change, choose another exp_tag, or remove {start.parent} to start anew"
        ) from None


def _warn_about_changes(config: Any, checkpoint: Path) -> None:
    changes = list(describe_changes(config, checkpoint.parent / "training.yaml"))
    if changes and process_rank() == 0:
        logger.warning(
            "The run is finished, so what changed is not trained:\n  %s", "\n  ".join(changes)
        )


def _exclusive(exp_dir: Path) -> contextlib.AbstractContextManager[None]:
    """Keep two trainings from writing into one folder; the ranks of one count as one."""
    if process_rank() > 0:
        return contextlib.nullcontext()
    return file_lock(
        exp_dir / ".train.lock",
        timeout=_LOCK_SEC,
        advice="two trainings cannot write there: wait for the other, or choose another exp_tag",
    )


def collect_stats(config: Any) -> None:
    """Collect lengths and feature statistics of the training and validation data.

    The model is built without feature normalisation, whose statistics do not exist yet.

    Args:
        config: Training configuration, mapping or ``DictConfig``. Never modified.

    Raises:
        MissingConfigError: If a section that the stage needs is absent.
        SettingError: If ``stats_dir`` is not set.
    """
    settings = _read_settings(config)
    check_model(settings)
    prepare(settings)
    plain = without_normalizer(config)
    stripped = OmegaConf.create(plain) if isinstance(config, DictConfig) else plain
    module = build_module(build_model(settings, plain["model"]), stripped, settings)
    build_trainer(module, stripped, settings).collect_stats()


def _read_settings(config: Any) -> TrainingSettings:
    if config is None:
        raise MissingConfigError(
            "there is no training configuration",
            hint="give run.py the flag of the stage's slot: --training_config, or that of the"
            " recipe's own, such as --training_easy_config",
        )
    return parse_settings(config, TrainingSettings, key="")


def _resolve_checkpoint(fit: dict[str, Any], settings: TrainingSettings) -> ResumePoint | None:
    """Turn ``ckpt_path: auto`` into a path, in place; return the point that was found."""
    fit.pop("ckpt_path", None)
    start = find_start(settings)
    if start is None:
        if not (settings.fit or {}).get("ckpt_path") and (settings.exp_dir / "last.ckpt").exists():
            logger.warning(
                "%s has a checkpoint, but training starts anew; fit.ckpt_path: auto would go on",
                settings.exp_dir,
            )
        return None
    fit["ckpt_path"] = str(start.path if isinstance(start, ResumePoint) else start)
    fit.setdefault("weights_only", True)
    if not isinstance(start, ResumePoint):
        return None
    if start.way_on(settings.trainer) is None:
        logger.info("Going on after %d steps, from %s", start.steps, start.path)
    return start
