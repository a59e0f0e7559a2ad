"""Call a function on items, on the workers of the registered configuration."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from espnet3.parallel.backlog import Backlog
from espnet3.parallel.parallel import get_client, read_settings
from espnet3.parallel.work_pieces import shorten
from espnet3.parallel.work_pool import WorkPool
from espnet3.parallel.worker_env import WORKER_SETUP, EnvSelector, check_env, current_env

Bind: TypeAlias = Callable[[dict[str, Any]], Callable[[Any], Any]]
"""Makes, from the environment of a process, the function that is called on each item there."""


def bind_forward(runner_cls: type[Any], env: dict[str, Any]) -> Callable[[Any], Any]:
    """Return ``forward`` of a runner class with the entries of ``env`` that it takes."""
    forward = runner_cls.forward
    chosen = EnvSelector(forward)(env, 1, {})

    def call(item: Any) -> Any:
        with name_item(runner_cls, item):
            return forward(item, **chosen)

    return call


def call_on_workers(
    bind: Bind, build_env: Callable[[], dict[str, Any]], items: list[Any]
) -> Iterator[Any]:
    """Yield one result per item, in the order of the items.

    Args:
        bind: Called once in each worker.
        build_env: Builds the environment of a worker.
        items: Arguments of what ``bind`` returns.
    """

    def setup() -> dict[str, Any]:
        return {"call": bind(check_env(build_env(), WORKER_SETUP))}

    settings = read_settings()
    with get_client(setup_fn=setup) as client:
        pool: WorkPool[tuple[int, Any]] = WorkPool(
            client, num_workers=settings.num_workers, start_timeout=settings.start_timeout
        )
        backlog = Backlog(list(enumerate(items)), num_workers=settings.num_workers)
        results = (unit for done in pool.run(_call_units, backlog) for unit in done.take())
        yield from _in_order(results)


def _call_units(units: list[tuple[int, Any]]) -> list[tuple[int, Any]]:
    """Run on a worker."""
    call = current_env()["call"]
    return [(position, call(item)) for position, item in units]


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
def name_item(runner_cls: type[Any], item: Any) -> Iterator[None]:
    """Attach the item to whatever is raised inside the block."""
    try:
        yield
    except Exception as error:
        error.add_note(f"while {runner_cls.__name__} worked on item {shorten(repr(item))}")
        raise
