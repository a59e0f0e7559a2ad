"""The folder of an experiment."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from espnet3.errors import ConfigError, MissingConfigError
from espnet3.utils.dry_run import is_dry_run
from espnet3.utils.log_reference import lookup


def find_exp_dir(system: Any) -> Path | None:
    """Return the folder that ``training_config`` names, and make it unless this is a dry run.

    Args:
        system: Object with the slot ``training_config``; without that it has no experiment.

    Raises:
        MissingConfigError: If there is no ``exp_dir``.
        ConfigError: If its path has a component ``None``.
    """
    if system.training_config is None:
        return None
    value = lookup(system, "training_config.exp_dir")
    if value is None or not str(value).strip():
        is_path = isinstance(system.training_config, str | Path)
        hint = "load the file: load_and_merge_config(path, 'training.yaml')" if is_path else None
        raise MissingConfigError("must be set", key="training_config.exp_dir", hint=hint)
    exp_dir = Path(value)
    if "None" in exp_dir.parts:
        raise ConfigError(
            "has a component 'None', so the experiment has no name",
            key="training_config.exp_dir",
            value=str(value),
            hint="set exp_tag; in YAML, null is written null, and None is a text",
        )
    if not is_dry_run():
        exp_dir.mkdir(parents=True, exist_ok=True)
    return exp_dir
