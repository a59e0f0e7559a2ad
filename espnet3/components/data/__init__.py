"""Data sets, collation, loaders and statistics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from espnet3.components.data.data_organizer import DataOrganizer

__all__ = ["DataOrganizer"]


def __getattr__(name: str) -> Any:
    if name == "DataOrganizer":
        from espnet3.components.data.data_organizer import DataOrganizer

        return DataOrganizer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
