"""Whether this is a dry run, in which nothing on the disk may change."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar

_dry_run: ContextVar[bool] = ContextVar("espnet3_dry_run", default=False)


@contextlib.contextmanager
def dry_run_scope(active: bool) -> Iterator[None]:
    """Tell the systems built inside the block whether they must leave the disk alone."""
    token = _dry_run.set(active)
    try:
        yield
    finally:
        _dry_run.reset(token)


def is_dry_run() -> bool:
    """Tell whether the innermost :func:`dry_run_scope` block is a dry run."""
    return _dry_run.get()
