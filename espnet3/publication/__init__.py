"""Packed models: write them, and use them without a recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espnet3.publication.inference_session import InferenceSession

__all__ = ["InferenceSession"]


def __getattr__(name: str) -> Any:
    if name == "InferenceSession":
        from espnet3.publication.inference_session import InferenceSession

        return InferenceSession
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
