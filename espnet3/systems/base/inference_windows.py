"""Read a test set window by window, where nothing else tells how long its samples are."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from espnet3.systems.base.inference_lengths import fill_gaps, length_of
from espnet3.systems.base.inference_samples import ReadAhead

logger = logging.getLogger(__name__)

_CHUNK = 32
_MOST_BYTES = 1 << 29


@dataclass(frozen=True, kw_only=True)
class Window:
    """Consecutive samples, and how long they are."""

    indices: range
    lengths: list[float]


class WindowReader:
    """Read samples for their length, each one once.

    Where a window ends depends on nothing but the samples: after ``size`` of them, or where
    they take half a gigabyte.

    Args:
        samples: Where they are read, and stay for the model if ``keeps``.
        key: Field whose length counts.
        size: Most samples in a window.
        keeps: Whether the model runs in this process.
        num_threads: Threads that read; with 0, the next window is not read ahead.
    """

    def __init__(
        self, samples: ReadAhead, *, key: str, size: int, keeps: bool, num_threads: int
    ) -> None:
        self._samples = samples
        self._key = key
        self._size = size
        self._keeps = keeps
        self._num_threads = num_threads
        self._error: Exception | None = None
        self._longest = 0.0

    def read(
        self, num_samples: int, is_done: Callable[[int], bool] | None = None
    ) -> Generator[Window, None, None]:
        """Yield the windows of a test set, the next one being read meanwhile.

        Args:
            num_samples: Length of the test set.
            is_done: Tells whether a sample needs no decoding. What follows each other, in
                numbers of ``size``, and needs none is not read.
        """
        stopped = threading.Event()
        starts = range(0, num_samples, self._size)
        blocks = (range(start, min(start + self._size, num_samples)) for start in starts)
        windows = (
            window
            for block in blocks
            if is_done is None or not all(map(is_done, block))
            for window in self._read_block(block, stopped)
        )
        try:
            yield from _one_ahead(windows) if self._num_threads else windows
        finally:
            stopped.set()
            if not self._keeps:
                self._samples.close()

    def forget(self, indices: Iterable[int]) -> None:
        """Free the memory of samples that the model does not get."""
        self._samples.forget(indices)

    def _read_block(self, block: range, stopped: threading.Event) -> Iterator[Window]:
        lengths: list[float | None] = []
        first, size = block.start, 0
        for start in range(block.start, block.stop, _CHUNK):
            if stopped.is_set():
                return
            chunk = range(start, min(start + _CHUNK, block.stop))
            self._load(chunk)
            for sample in map(self._measure, chunk):
                lengths.append(sample[0])
                size += sample[1]
            if not self._keeps:
                self._samples.forget(chunk)
            if size >= _MOST_BYTES or chunk.stop == block.stop:
                yield self._window(range(first, chunk.stop), lengths)
                first, size, lengths = chunk.stop, 0, []

    def _load(self, chunk: range) -> None:
        if self._num_threads < 2:
            self._samples.load(chunk)
            return
        parts = [chunk[i :: self._num_threads] for i in range(self._num_threads)]
        with ThreadPoolExecutor(self._num_threads) as pool:
            list(pool.map(self._samples.load, parts))

    def _measure(self, index: int) -> tuple[float | None, int]:
        """Return length and bytes of a sample."""
        try:
            sample = self._samples[index]
            return length_of(sample[self._key]), _num_bytes(sample)
        except Exception as error:  # the code of the data set runs
            if self._error is None:
                error.add_note(f"while reading the length of {self._key!r} of item {index}")
                self._error = error
            return None, 0

    def _window(self, indices: range, lengths: list[float | None]) -> Window:
        unknown = lengths.count(None)
        if self._error is not None and unknown:
            if unknown == len(lengths) and not self._longest:
                self._error.add_note(
                    "`execution.batching.length_key` says which field has the length"
                )
                raise self._error
            logger.warning(
                "%d samples have no readable length, the first: %r", unknown, self._error
            )
        filled = fill_gaps(lengths, self._longest)
        self._longest = max(self._longest, *filled)
        return Window(indices=indices, lengths=filled)


def _one_ahead(windows: Iterator[Window]) -> Generator[Window, None, None]:
    # Nobody waits for the thread here: it ends when it is told to stop.
    pool = ThreadPoolExecutor(1)
    try:
        coming = pool.submit(next, windows, None)
        while (window := coming.result()) is not None:
            coming = pool.submit(next, windows, None)
            yield window
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _num_bytes(sample: Any) -> int:
    """Return about how much memory a sample takes."""
    if isinstance(sample, Mapping):
        return sum(map(_num_bytes, sample.values()))
    if isinstance(sample, list | tuple):
        return 32 * len(sample)
    with contextlib.suppress(TypeError):
        return int(getattr(sample, "nbytes", None) or len(sample))
    return 8
