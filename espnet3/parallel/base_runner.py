"""Map a function over indices with the objects that a provider builds."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, Protocol

from omegaconf import DictConfig

from espnet3.errors import ParallelError
from espnet3.parallel.parallel import get_parallel_config
from espnet3.parallel.settings import ParallelSettings
from espnet3.utils.settings import parse_settings


class LocalEnvProvider(Protocol):
    """What a runner needs of a provider to work in its own process."""

    def build_env_local(self) -> dict[str, Any]:
        """Return the objects that ``forward`` takes by name."""


class BaseRunner(ABC):
    """Apply ``forward`` to every index, in the order of the indices.

    Args:
        provider: Builds the environment whose entries ``forward`` receives by name.
        batch_size: Cut the indices into lists of this size, and give ``forward`` a list at a time.
        async_mode: Reserved for detached jobs, which this version does not have.
        resume: Whether the work of an earlier, equal run may be used: ``auto`` or a bool.
            Read by the stage.

    Raises:
        ParallelError: If ``async_mode`` is true.

    Example:
        >>> class Doubler(BaseRunner):
        ...     @staticmethod
        ...     def forward(idx, dataset, **env):
        ...         return 2 * dataset[idx]
        >>> class Provider:
        ...     def build_env_local(self):
        ...         return {"dataset": [1, 2, 3]}
        >>> Doubler(Provider())(range(3))
        [2, 4, 6]
    """

    def __init__(
        self,
        provider: LocalEnvProvider,
        batch_size: int | None = None,
        async_mode: bool = False,
        *,
        resume: bool | Literal["auto"] = "auto",
    ) -> None:
        if async_mode:
            raise ParallelError(
                "async_mode is true, but this version has no detached jobs\n"
                "  leave `async_mode` out: work runs in this process"
            )
        self.provider = provider
        self.batch_size = batch_size
        self.async_mode = async_mode
        self.resume = resume

    @staticmethod
    @abstractmethod
    def forward(idx: Any, dataset: Any, model: Any, **env: Any) -> Any:
        """Do the work for one index, or for a list of indices when ``batch_size`` is set."""

    @classmethod
    def batch_forward(
        cls, indices: Iterable[Any], *, dataset: Any, model: Any, **env: Any
    ) -> list[Any]:
        """Do the work for several indices; for subclasses to call or to override."""
        return [cls.forward(idx, dataset=dataset, model=model, **env) for idx in indices]

    def __call__(self, indices: Iterable[Any]) -> list[Any]:
        """Return one result per index, or per batch of indices when ``batch_size`` is set.

        Raises:
            ValueError: If ``batch_size`` is not a positive integer.
            ParallelError: If the registered parallel configuration asks for workers.
            Exception: What ``forward`` raises, with a note that names the item.
        """
        return list(self.iter_outputs(indices))

    def iter_outputs(self, indices: Iterable[Any]) -> Iterator[Any]:
        """Yield what :meth:`__call__` returns, one result at a time."""
        items = self._cut(list(indices))
        check_in_process(get_parallel_config())
        return self._run_local(items) if items else iter(())

    def _cut(self, items: list[Any]) -> list[Any]:
        size = self.batch_size
        if size is None:
            return items
        if isinstance(size, bool) or not isinstance(size, int) or size <= 0:
            raise ValueError(f"batch_size must be a positive integer or null, got {size!r}")
        return [items[start : start + size] for start in range(0, len(items), size)]

    def _run_local(self, items: list[Any]) -> Iterator[Any]:
        env = self.provider.build_env_local()
        for item in items:
            with _name_item(self, item):
                output = self.forward(item, **env)
            yield output


def check_in_process(config: Mapping[str, Any] | DictConfig | None) -> None:
    """Raise unless a ``parallel`` block means the process that runs the stage.

    Raises:
        ParallelError: If it asks for workers.
    """
    settings = parse_settings(config, ParallelSettings, key="parallel")
    if not settings.is_in_process:
        raise ParallelError(
            f"parallel is env: {settings.env}, n_workers: {settings.n_workers}, but this version "
            "only works in its own process\n  set `parallel: {env: local, n_workers: 1}`"
        )


@contextlib.contextmanager
def _name_item(runner: BaseRunner, item: Any) -> Iterator[None]:
    """Attach the item to whatever ``forward`` raises."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while {type(runner).__name__} worked on item {_shorten(repr(item))}")
        raise


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
