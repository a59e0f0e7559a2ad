"""What a process needs before it can work."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

from omegaconf import DictConfig


class EnvironmentProvider(ABC):
    """Build the objects (``dataset``, ``model``, …) that a runner's ``forward`` takes by name.

    Args:
        config: Configuration that the objects are built from; kept as ``config``.
    """

    def __init__(self, config: DictConfig) -> None:
        self.config = config

    @abstractmethod
    def build_env_local(self) -> dict[str, Any]:
        """Return the environment of the process that runs the stage."""

    @abstractmethod
    def build_worker_setup_fn(self) -> Callable[[], dict[str, Any]]:
        """Return a function that builds the environment inside a worker process.

        It must be picklable and hold plain values only; heavy objects are built when it is called.
        """
