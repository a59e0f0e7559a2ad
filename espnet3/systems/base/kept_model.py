"""The model of a test set, kept in its process for the next one of the same stage."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass
class _Kept:
    stage: str | None = None
    """Identity of the stage; ``None`` while nothing is kept."""
    key: str | None = None
    model: Any = None


_kept = _Kept()


def keep_model(stage: str | None) -> None:
    """Keep, from now on, the last model that a stage builds in this process.

    Args:
        stage: Any name that no other stage has; ``None`` keeps nothing any more.
    """
    global _kept
    if stage is None or stage != _kept.stage:
        _kept = _Kept(stage)


def kept_or_built(key: str, build: Callable[[], Any]) -> Any:
    """Return the model that is kept under a key, or build it.

    Args:
        key: Digest of all that the model is built from.
        build: Builds it.
    """
    if _kept.stage is None:
        return build()
    if _kept.key != key:
        # Two models may be too many for the memory of a device.
        _kept.key, _kept.model = None, None
        _kept.key, _kept.model = key, build()
    return _kept.model
