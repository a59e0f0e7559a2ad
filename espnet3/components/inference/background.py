"""Do slow work in threads, in order, a few items ahead."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

from espnet3.utils.types import Seconds

T = TypeVar("T")
R = TypeVar("R")

_WINDOW = 9
_WORTH_A_THREAD: Seconds = 3e-4


def map_ahead(
    func: Callable[[T], R],
    items: Iterable[T],
    *,
    num_threads: int,
    depth: int,
    count: Callable[[T], int] = lambda item: 1,
) -> Generator[R, None, None]:
    """Yield ``func(item)`` of every item in order.

    Calls are made here until some are slow enough to gain from threads, which take over then and
    hold at most ``depth`` results that nobody has taken. An error comes where its result
    would.

    Args:
        func: May run in any thread, and in several at once if ``num_threads`` is above 1.
        items: Taken one after the other, in the thread of the consumer.
        num_threads: Threads; 0 for none.
        depth: Items that are ahead of the consumer.
        count: Parts of an item; threads are for items whose parts are slow. Many quick ones hold
            the interpreter, which the consumer needs.
    """
    iterator = iter(items)
    durations: list[Seconds] = []
    for item in iterator:
        started = time.perf_counter()
        result = func(item)
        durations.append((time.perf_counter() - started) / count(item))
        yield result
        if len(durations) == _WINDOW:
            # The median, because other processes may have stopped this one for a while.
            if num_threads and sorted(durations)[_WINDOW // 2] > _WORTH_A_THREAD:
                break
            durations.clear()
    else:
        return
    with ThreadPoolExecutor(num_threads) as pool:
        pending: deque[Future[R]] = deque()
        try:
            for item in iterator:
                pending.append(pool.submit(func, item))
                if len(pending) > depth:
                    yield pending.popleft().result()
            while pending:
                yield pending.popleft().result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
