from __future__ import annotations

import types

import pytest

from espnet3.components.callbacks import graceful_stop
from espnet3.components.callbacks.graceful_stop import GracefulStop


class Clock:
    """A clock on which every batch takes equally long."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now


@pytest.mark.parametrize(
    ("batch_seconds", "limit", "looks"),
    [
        (0.01, 20.0, range(2, 9)),  # about every five seconds, not in each of 2000 batches
        (8.0, 30.0, range(4, 5)),  # slow batches: after each
    ],
)
def test_ranks_talk_every_few_seconds_and_stop_in_time(monkeypatch, batch_seconds, limit, looks):
    clock, asked = Clock(), []
    monkeypatch.setattr(graceful_stop, "time", clock)

    def broadcast(decision):
        asked.append(clock.now)
        return decision

    strategy = types.SimpleNamespace(broadcast=broadcast)
    trainer = types.SimpleNamespace(strategy=strategy, should_stop=False, world_size=2)
    callback = GracefulStop(limit, None)
    callback.on_train_start(trainer, None)
    while not trainer.should_stop:
        assert clock.now < limit + 10
        clock.now += batch_seconds
        callback.on_train_batch_end(trainer)
    callback.on_train_end(trainer, None)
    assert limit <= clock.now <= limit + max(1.5 * batch_seconds, 0.1)
    assert len(asked) in looks
