"""What the ``parallel`` block of a configuration may hold."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from espnet3.errors import SettingError


@dataclass(frozen=True, kw_only=True)
class ParallelSettings:
    """The ``parallel`` block; a value of null means the default."""

    env: str | None = "local"
    """Where work runs."""
    n_workers: int | None = 1
    """Number of worker processes."""
    options: dict[str, Any] | None = None
    """Keyword arguments of the cluster class."""

    def __post_init__(self) -> None:
        if self.n_workers is not None and self.n_workers < 1:
            raise SettingError("must be 1 or more", key="parallel.n_workers", value=self.n_workers)

    @property
    def is_in_process(self) -> bool:
        """Whether the driver itself does the work, one item after the other."""
        return (self.env or "local") == "local" and (self.n_workers or 1) == 1
