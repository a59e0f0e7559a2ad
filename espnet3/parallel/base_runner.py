"""Map a function over indices with the objects that a provider builds."""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, Protocol

from espnet3.parallel.async_jobs import (
    AsyncJobSpec,
    collect_async_results,
    convert_paths,
    get_full_class_path_from_instance,
    get_job_class,
    needs_cluster,
    run_spec_file,
    submit_shards,
)
from espnet3.parallel.backlog import Backlog
from espnet3.parallel.parallel import (
    build_client,
    close_client,
    get_client,
    get_parallel_config,
    read_settings,
)
from espnet3.parallel.work_pool import WorkPool
from espnet3.parallel.worker_env import EnvSelector, SetupFn, current_env
from espnet3.utils.types import PathLike

__all__ = [
    "AsyncJobSpec",
    "BaseRunner",
    "collect_async_results",
    "convert_paths",
    "get_full_class_path_from_instance",
    "get_job_class",
]


class LocalEnvProvider(Protocol):
    """What a runner needs of a provider to work in its own process.

    With workers it also needs ``build_worker_setup_fn``, detached ``config`` and ``params``.
    """

    def build_env_local(self) -> dict[str, Any]:
        """Return the objects that ``forward`` takes by name."""


class BaseRunner(ABC):
    """Apply ``forward`` to every index, in the order of the indices.

    Where that happens is said by the registered parallel configuration: in this process, or on
    workers that build their own environment once.

    Args:
        provider: Builds the environment whose entries ``forward`` receives by name.
        batch_size: Cut the indices into lists of this size, and give ``forward`` a list at a time.
        async_mode: Submit detached jobs, which outlive this process, instead of waiting.
        async_specs_dir: Folder of the descriptions of detached jobs.
        async_result_dir: Folder of the results of detached jobs.
        resume: Whether the work of an earlier, equal run may be used: ``auto`` or a bool.
            Read by the stage.

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
        async_specs_dir: PathLike = "./_async_specs",
        async_result_dir: PathLike = "./_async_results",
        *,
        resume: bool | Literal["auto"] = "auto",
    ) -> None:
        self.provider = provider
        self.batch_size = batch_size
        self.async_mode = async_mode
        self.async_specs_dir = Path(async_specs_dir).absolute()
        self.async_result_dir = Path(async_result_dir).absolute()
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

        In detached mode, the description of each job: ``job_id``, ``spec`` and ``result``.

        Raises:
            ValueError: If ``batch_size`` is not a positive integer.
            ParallelError: If workers do not come or die of the work.
            Exception: What ``forward`` raises, with a note that names the item.
        """
        if self.async_mode:
            return self._submit(cut_batches(list(indices), self.batch_size))
        return list(self.iter_outputs(indices))

    def iter_outputs(self, indices: Iterable[Any]) -> Iterator[Any]:
        """Yield what :meth:`__call__` returns, one result at a time, not in detached mode."""
        items = cut_batches(list(indices), self.batch_size)
        if not items:
            return iter(())
        return self._run_local(items) if self._is_in_process() else self._run_on_workers(items)

    def _is_in_process(self) -> bool:
        return get_parallel_config() is None or read_settings().is_in_process

    def _run_local(self, items: list[Any]) -> Iterator[Any]:
        forward = bind_forward(type(self), self.provider.build_env_local())
        for item in items:
            yield forward(item)

    def _run_on_workers(self, items: list[Any]) -> Iterator[Any]:
        cls, build_env = type(self), self.provider.build_worker_setup_fn()  # type: ignore[attr-defined]

        def setup() -> dict[str, Any]:
            return {"forward": bind_forward(cls, build_env())}

        yield from _in_order(_iter_forward(setup, items))

    def _submit(self, items: list[Any]) -> list[dict[str, str]]:
        settings = read_settings()
        if not items or not needs_cluster(settings):
            return submit_shards(self, items, settings)
        client = build_client(get_parallel_config(), start_workers=False)
        try:
            return submit_shards(self, items, settings, client)
        finally:
            close_client(client)


def cut_batches(items: list[Any], batch_size: int | None) -> list[Any]:
    """Return the items as they are, or in lists of ``batch_size``, the last one shorter.

    Raises:
        ValueError: If ``batch_size`` is not a positive integer.
    """
    if batch_size is None:
        return items
    if isinstance(batch_size, bool) or not isinstance(batch_size, int) or batch_size <= 0:
        raise ValueError(f"batch_size must be a positive integer or null, got {batch_size!r}")
    return [items[start : start + batch_size] for start in range(0, len(items), batch_size)]


def bind_forward(runner_cls: type[Any], env: dict[str, Any]) -> Callable[[Any], Any]:
    """Return ``forward`` of a runner class with the entries of ``env`` that it takes."""
    forward = runner_cls.forward
    chosen = EnvSelector(forward)(env, 1, {})

    def call(item: Any) -> Any:
        with _name_item(runner_cls, item):
            return forward(item, **chosen)

    return call


def _iter_forward(setup: SetupFn, items: list[Any]) -> Iterator[tuple[int, Any]]:
    settings = read_settings()
    units = list(enumerate(items))
    with get_client(setup_fn=setup) as client:
        pool: WorkPool[tuple[int, Any]] = WorkPool(
            client, num_workers=settings.num_workers, start_timeout=settings.start_timeout
        )
        backlog = Backlog(units, num_workers=settings.num_workers)
        for finished in pool.run(_forward_units, backlog):
            yield from finished.take()


def _forward_units(units: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Run on a worker."""
    forward = current_env()["forward"]
    return [(position, forward(item)) for position, item in units]


def _in_order(results: Iterable[tuple[int, Any]]) -> Iterator[Any]:
    """Yield results by position; keep those that came too early."""
    early: dict[int, Any] = {}
    position = 0
    for place, result in results:
        early[place] = result
        while position in early:
            yield early.pop(position)
            position += 1


@contextlib.contextmanager
def _name_item(runner_cls: type[Any], item: Any) -> Iterator[None]:
    """Attach the item to whatever ``forward`` raises."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while {runner_cls.__name__} worked on item {_shorten(repr(item))}")
        raise


def _shorten(text: str, limit: int = 200) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


if __name__ == "__main__":
    import sys

    run_spec_file(sys.argv[1])
