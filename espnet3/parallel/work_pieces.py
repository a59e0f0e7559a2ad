"""Pieces of work: on their way to a worker, and when they are over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

from espnet3.errors import ParallelError

U = TypeVar("U")


@dataclass(frozen=True, kw_only=True)
class Finished(Generic[U]):
    """A piece of work that is over."""

    units: list[U]
    """What was in it."""
    value: Any
    """What the function returned; ``None`` if ``is_lost``."""
    worker: str
    """Name of the worker."""
    is_lost: bool = False
    """Whether workers died of it each time, alone on its worker too."""
    is_retried: bool = False
    """Whether a worker that had it earlier has died."""
    cause: str = ""
    """What ended the last of them, such as `` (SIGKILL)``, where that is known."""

    def take(self) -> Any:
        """Return the value.

        Raises:
            ParallelError: If the work is lost.
        """
        if self.is_lost:
            raise ParallelError(
                f"each worker that took {shorten(repr(self.units))} died, the last was "
                f"{self.worker}{self.cause}\n  did it run out of memory? the workers' logs may tell"
            )
        return self.value


@dataclass
class Piece(Generic[U]):
    """A piece of work that is not over."""

    units: list[U]
    deaths: int = 0
    """Workers that died after they had begun with it."""
    waits: int = 0
    """Workers that died before."""
    is_alone: bool = False
    killed: set[str] = field(default_factory=set)
    """Addresses of the workers that died after they had begun with it or with what it was cut from.
    """

    @property
    def is_retried(self) -> bool:
        """Whether a worker that had it has died."""
        return bool(self.killed or self.waits)

    def finished(self, **result: Any) -> Finished[U]:
        """Return the piece as one that is over."""
        return Finished(units=self.units, is_retried=self.is_retried, **result)


def shorten(text: str, limit: int = 200) -> str:
    """Return the start of a long text, with an ellipsis."""
    return text if len(text) <= limit else text[: limit - 1] + "…"
