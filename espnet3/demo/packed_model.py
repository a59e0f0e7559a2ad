"""A packed model as the page calls it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from espnet3.demo.settings import DemoModelSettings
from espnet3.errors import ConfigError
from espnet3.publication import InferenceSession


class SessionRunner:
    """Calls an :class:`~espnet3.publication.InferenceSession` as a runner calls a model."""

    @staticmethod
    def forward(idx: Any, dataset: Any = None, model: Any = None, **kwargs: Any) -> Any:
        """Return what the session makes of one sample; its settings are its own."""
        return model(dataset[idx], idx=idx)


def open_session(
    settings: DemoModelSettings, folder: Path, extra_kwargs: Mapping[str, Any]
) -> InferenceSession:
    """Load the packed model of a demo.

    Args:
        settings: Section ``model``.
        folder: Folder of the demo.
        extra_kwargs: ``input_key`` and ``output_fn_path``, where the demo sets them.

    Raises:
        ConfigError: If an argument is none of a session or of the model.
        UntrustedCodeError: If the model wants what was not allowed.
    """
    own = inspect.signature(InferenceSession.from_pretrained).parameters
    clash = sorted(set(settings.call_args or {}) & set(own))
    if clash:
        raise ConfigError("is no argument of a model", key=f"model.call_args.{clash[0]}")
    allowed = ("input_key", "output_fn_path")
    unknown = sorted(set(extra_kwargs) - set(allowed))
    if unknown:
        raise ConfigError(
            f"has no effect on a packed model, which takes {' and '.join(allowed)}",
            key=f"extra_kwargs.{unknown[0]}",
            hint="put arguments of the model into model.call_args",
        )
    local = folder / str(settings.dir_or_tag)
    return InferenceSession.from_pretrained(
        str(local if local.exists() else settings.dir_or_tag),
        trust_user_code=settings.trust_user_code,
        **extra_kwargs,
        **(settings.call_args or {}),
    )
