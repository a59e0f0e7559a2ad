"""Mistakes in inference.yaml that can be found before anything is built."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from espnet3.components.inference.records import load_output_fn
from espnet3.errors import MissingConfigError
from espnet3.parallel.parallel import read_settings
from espnet3.systems.base.model_files import absent_file
from espnet3.utils.config_utils import iter_targets
from espnet3.utils.import_utils import import_object


def check_before_building(config: Mapping[str, Any]) -> None:
    """Check the output function, custom writers and the files that the model will read.

    Args:
        config: Inference configuration as plain containers.

    Raises:
        ConfigError: If a function cannot be imported or called as it will be.
        MissingConfigError: If a file under ``model`` does not exist.
    """
    read_settings().num_workers  # noqa: B018
    if config.get("output_fn"):
        load_output_fn(config["output_fn"])
    for key, target in iter_targets(config.get("output_artifacts"), "output_artifacts"):
        import_object(target, key=key)
    absent = absent_file(config.get("model"), config.get("recipe_dir"))
    if absent is not None:
        key, text = absent
        raise MissingConfigError(
            f"{text}: no such file",
            key=key,
            hint="run the stage that makes it (`train` for weights), or correct the path",
        )
