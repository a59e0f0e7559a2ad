"""Processes that read samples, for data sets that keep the interpreter busy."""

from __future__ import annotations

import contextlib
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Sequence
from typing import IO, Any

from espnet3.errors import InferenceError, SettingError

_CODE = (
    "import sys; sys.path[:] = {path!r}; "
    "from espnet3.components.inference.loader_process import main; main()"
)
_MOST_DEATHS = 2
_ONE_THREAD = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}


class SampleLoaders:
    """Processes with a copy of a data set each, which start when they are first needed.

    They are no children in the sense of ``multiprocessing``, which a Dask worker may not have.
    They end when the process that started them does, however it ends: their input is closed then.

    Args:
        dataset: Gives a sample per index.
        num_processes: Number of copies.

    Raises:
        SettingError: If the data set cannot be pickled.
    """

    def __init__(self, dataset: Any, num_processes: int) -> None:
        self._packed = _pack(dataset)
        self._num_processes = num_processes
        self._processes: list[subprocess.Popen[bytes]] = []
        self._idle: queue.SimpleQueue[_Loader] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._end = weakref.finalize(self, _end_all, self._processes)

    def read(self, indices: Sequence[int]) -> list[tuple[Any, Exception | None]]:
        """Return sample and error for each index; one of the two is ``None``.

        May be called in several threads.

        Raises:
            InferenceError: If the data set cannot be built in another process.
        """
        self._start_all()
        loader = self._idle.get()
        try:
            answers: list[tuple[Any, Exception | None]] = []
            deaths, culprit = 0, -1
            while len(answers) < len(indices):
                try:
                    for answer in loader.read(indices[len(answers) :]):
                        answers.append(answer)
                except _LoaderDiedError as death:
                    loader = self._start()
                    deaths = deaths + 1 if culprit == len(answers) else 1
                    culprit = len(answers)
                    if deaths == _MOST_DEATHS:
                        answers.append((None, _blame(indices[culprit], death)))
            return answers
        finally:
            self._idle.put(loader)

    def close(self) -> None:
        """End the processes."""
        self._end()

    def _start_all(self) -> None:
        with self._lock:
            for _ in range(self._num_processes if not self._processes else 0):
                self._idle.put(self._start())

    def _start(self) -> _Loader:
        if not self._end.alive:
            raise InferenceError("the loader processes were ended")
        process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-c", _CODE.format(path=sys.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, **_ONE_THREAD},
            # Ctrl-C on a terminal is for the process that started it.
            process_group=0,
        )
        self._processes.append(process)
        return _Loader(process, self._packed)


class _LoaderDiedError(Exception):
    """A loader process is gone."""


class _Loader:
    """One process, as it is seen from this one."""

    def __init__(self, process: subprocess.Popen[bytes], packed: bytes) -> None:
        self._process = process
        # A large data set does not fit into the pipe before the process reads it.
        self._greeting = threading.Thread(target=self._say, args=(packed,), daemon=True)
        self._greeting.start()
        self._is_ready = False

    def read(self, indices: Sequence[int]) -> Iterator[tuple[Any, Exception | None]]:
        """Yield sample and error for each index.

        Raises:
            _LoaderDiedError: If the process ends.
            InferenceError: If it cannot build the data set.
        """
        if not self._is_ready:
            self._greeting.join()
            self._greet()
        self._say(list(indices))
        for _ in indices:
            packed, failure = self._hear()
            yield _unpack(packed) if failure is None else (None, _as_error(*failure))

    def _greet(self) -> None:
        try:
            _, failure = self._hear()
        except _LoaderDiedError as death:
            raise InferenceError(f"a loader process could not start: {death}") from None
        if failure is not None:
            raise InferenceError(
                "the data set cannot be built in a loader process (execution.prefetch.mode)"
            ) from _as_error(*failure)
        self._is_ready = True

    def _say(self, request: Any) -> None:
        # If it is gone, or its pipe was closed, its answer is missing.
        with contextlib.suppress(OSError, ValueError):
            stream = _pipe(self._process.stdin)
            pickle.dump(request, stream)
            stream.flush()

    def _hear(self) -> Any:
        try:
            return pickle.load(_pipe(self._process.stdout))  # noqa: S301 - from our own process
        except (EOFError, OSError, ValueError, pickle.UnpicklingError):
            self._process.kill()
            raise _LoaderDiedError(_name_end(self._process.wait())) from None


def _pack(dataset: Any) -> bytes:
    import cloudpickle

    try:
        return bytes(cloudpickle.dumps(dataset))
    except Exception as error:  # the code of the data set runs
        raise SettingError(
            f"the data set cannot be pickled, so it cannot be in a loader process: {error}",
            key="execution.prefetch.mode",
            value="process",
            hint="open files and connections when a sample is first read, or use mode: thread",
        ) from error


def _unpack(packed: bytes) -> tuple[Any, Exception | None]:
    try:
        return pickle.loads(packed), None  # noqa: S301 - from our own process
    except Exception as error:  # the code of the sample's class runs
        error.add_note("while taking the sample from its loader process")
        return None, error


def _as_error(error: Exception | None, text: str) -> Exception:
    """Return what a loader process has raised; its traceback is in the notes."""
    error = error or InferenceError(text.strip().splitlines()[-1])
    error.add_note("in a loader process:\n" + text.rstrip())
    return error


def _blame(index: int, death: _LoaderDiedError) -> InferenceError:
    return InferenceError(
        f"{_MOST_DEATHS} loader processes died while reading item {index}, the last with {death}\n"
        "  did it run out of memory? execution.prefetch.num_workers says how many there are"
    )


def _name_end(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit status {status}"


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise EOFError
    return stream


def _end_all(processes: Sequence[subprocess.Popen[bytes]]) -> None:
    for process in processes:
        process.kill()
    for process in processes:
        process.wait()
        for stream in (process.stdin, process.stdout):
            with contextlib.suppress(OSError):
                _pipe(stream).close()
