"""Where the time of a training batch goes, on the clock of the host."""

from __future__ import annotations

import time

TIME_KEYS = ("iter_time", "forward_time", "backward_time", "optim_step_time", "train_time")


class BatchTimer:
    """Measure the parts of a training batch, in seconds.

    ``iter_time`` is the wait for data since the batch before (none for the first of an epoch),
    ``optim_step_time`` the time from the end of the gradients to the end of the update, including
    clipping; ``train_time`` is all of it. On an accelerator the parts are the times that the host
    needs to launch the work; over many batches their sum is the true time.
    """

    def __init__(self) -> None:
        self._ended: float | None = None
        self._mark: float | None = None
        self._began = 0.0
        self._optimizer_mark: float | None = None
        self._times: dict[str, float] = {}

    def begin_epoch(self) -> None:
        """Forget the end of the last batch: what lies between epochs is not waiting for data."""
        self._ended = None

    def begin_batch(self) -> None:
        """Note that the batch has arrived."""
        now = time.perf_counter()
        self._times = {}
        self._began = now if self._ended is None else self._ended
        if self._ended is not None:
            self._times["iter_time"] = now - self._ended
        self._mark = now
        self._optimizer_mark = None

    def end_forward(self) -> None:
        """Note that the loss is there."""
        self._lap("forward_time")

    def end_backward(self) -> None:
        """Note that the gradients are there."""
        self._lap("backward_time")

    def begin_update(self) -> None:
        """Note that the optimizer begins."""
        self._optimizer_mark = time.perf_counter()

    def end_update(self) -> None:
        """Note that the optimizer is done."""
        if self._optimizer_mark is not None:
            self._times["optim_step_time"] = time.perf_counter() - self._optimizer_mark
            self._optimizer_mark = None

    def end_batch(self) -> dict[str, float]:
        """Return the times of this batch, by name."""
        self.end_update()
        now = time.perf_counter()
        if self._mark is not None:
            self._times["train_time"] = now - self._began
        self._mark, self._ended = None, now
        return self._times

    def _lap(self, name: str) -> None:
        now = time.perf_counter()
        if self._mark is not None:
            self._times[name] = now - self._mark
        self._mark = now
