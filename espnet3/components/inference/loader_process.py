"""What a loader process does: read the samples that it is asked for, until nobody asks.

The other side is :mod:`espnet3.components.inference.sample_loaders`.
"""

from __future__ import annotations

import os
import pickle
import queue
import sys
import threading
import traceback
from typing import IO, Any


def main() -> None:
    """Answer requests on standard input; whatever is printed goes to standard error."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    serve(sys.stdin.buffer, answers)


def serve(requests: IO[bytes], answers: IO[bytes]) -> None:
    """Read a pickled data set, then lists of indices, and answer with one sample per index.

    Every answer is a pickled pair: a sample, pickled, and ``None``, or ``None`` and what went wrong
    as ``(error or None, text)``. The first answer says whether the data set could be unpickled.
    """
    try:
        dataset = pickle.loads(pickle.load(requests))  # noqa: S301
    except Exception as error:
        _send((None, _describe(error)), answers)
        return
    _send((None, None), answers)
    for indices in iter(_listen(requests).get, None):
        for index in indices:
            _send(_read(dataset, index), answers)


def _listen(requests: IO[bytes]) -> queue.SimpleQueue[list[int]]:
    """Return a queue of requests; the process ends with the one that it belongs to."""
    waiting: queue.SimpleQueue[list[int]] = queue.SimpleQueue()

    def listen() -> None:
        try:
            while True:
                waiting.put(pickle.load(requests))  # noqa: S301
        except (EOFError, OSError, pickle.UnpicklingError):
            os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
    return waiting


def _read(dataset: Any, index: int) -> tuple[bytes | None, Any]:
    try:
        # By itself, so that a sample that cannot travel is the error of this sample on both sides.
        return pickle.dumps(dataset[index], pickle.HIGHEST_PROTOCOL), None
    except Exception as error:  # the code of the data set runs
        return None, _describe(error)


def _describe(error: Exception) -> tuple[Exception | None, str]:
    text = "".join(traceback.format_exception(error))
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301
    except Exception:
        return None, text
    return error, text


def _send(answer: tuple[bytes | None, Any], stream: IO[bytes]) -> None:
    try:
        pickle.dump(answer, stream, pickle.HIGHEST_PROTOCOL)
        stream.flush()
    except OSError:
        os._exit(0)
