"""What the training stages want of the section ``model``."""

from __future__ import annotations

from typing import Any

from espnet3.errors import MissingConfigError
from espnet3.systems.base.settings import TrainingSettings
from espnet3.utils.config_utils import to_plain

_NORMALIZER_KEYS = ("normalize", "normalize_conf")


def without_normalizer(config: Any) -> dict[str, Any]:
    """Return a plain copy of a training configuration whose model does not normalise features."""
    plain = dict(to_plain(config))
    model = dict(plain.get("model") or {})
    for name in _NORMALIZER_KEYS:
        model.pop(name, None)
    if plain.get("task"):
        model["normalize"] = None  # by default tasks normalise
    return {**plain, "model": model}


def check_model(settings: TrainingSettings) -> None:
    """Check that a configuration names a model.

    Raises:
        MissingConfigError: If there is none.
    """
    if settings.task:
        if settings.model is None:
            raise MissingConfigError(
                "holds no options for the task",
                key="model",
                hint="set model.token_list and what differs from the defaults of the task",
            )
    elif not settings.model or "_target_" not in settings.model:
        raise MissingConfigError(
            "names no model",
            key="model",
            hint="set model._target_ to a torch module, for example src.model.MyModel,"
            " or task to a task class",
        )
