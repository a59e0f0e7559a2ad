from __future__ import annotations

import math
import multiprocessing
import socket

import pytest
import torch

from espnet3.components.modeling.loss_guard import BatchPlace, LossGuard

PLACE = BatchPlace(2, 7, ("utt1", "utt2"))


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_every_kind_of_invalid_loss_is_flagged(value):
    assert LossGuard().flag(torch.tensor(value)) is True


def test_finite_loss_is_not_flagged():
    assert LossGuard().flag(torch.tensor(1e30)) is False


def test_counter_goes_up_and_is_reset_to_one():
    guard = LossGuard()
    counts = []
    for is_invalid in (True, True, False, True, True, False):
        guard.settle(is_invalid, PLACE)
        counts.append(guard.countdown)
    assert counts == [1, 2, 1, 2, 3, 1]
    assert guard.skipped == 4


def test_abort_when_the_counter_stands_at_100():
    guard = LossGuard()
    guard.countdown = 99
    guard.settle(True, PLACE)
    assert guard.countdown == 100
    with pytest.raises(RuntimeError, match="Too many NaNs loss iterations encountered"):
        guard.settle(True, PLACE)


def test_warning_names_batch_epoch_and_utterances(caplog):
    LossGuard().settle(True, PLACE)
    assert "epoch=2 batch=7 utterances=utt1,utt2 total=1" in caplog.text


def test_deferred_flags_are_counted_one_step_late():
    guard = LossGuard()
    guard.defer(torch.tensor(True), PLACE)
    assert guard.skipped == 0
    guard.defer(torch.tensor(False), PLACE)
    assert (guard.skipped, guard.countdown) == (1, 1)
    guard.flush()
    guard.flush()
    assert (guard.skipped, guard.countdown) == (1, 1)


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("flags", [[True], [False], [True, False], [False, False]])
def test_neutralised_update_leaves_weights_and_moments_alone(fused, flags):
    torch.manual_seed(0)
    weight = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, weight_decay=0.5, fused=fused)
    weight.grad = torch.full((3,), 0.5)
    optimizer.step()
    before = weight.detach().clone()
    moments = {k: v.clone() for k, v in optimizer.state[weight].items()}
    guard = LossGuard()
    for flag in flags:
        guard.defer(torch.tensor(flag), PLACE)
    weight.grad = torch.full((3,), math.nan if any(flags) else 0.5)
    guard.neutralise(optimizer)
    optimizer.step()
    if any(flags):
        assert torch.equal(weight, before)
        for name, value in moments.items():
            assert torch.equal(optimizer.state[weight][name], value), name
    else:
        assert not torch.equal(weight, before)


def _check_rank(rank: int, port: int, results) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2
    )
    guard = LossGuard()
    losses = [1.0, math.nan if rank == 1 else 1.0, 2.0]
    flags = [guard.flag(torch.tensor(loss)) for loss in losses]
    for flag in flags:
        guard.settle(flag, PLACE)
    results.put((rank, flags, guard.countdown, guard.skipped))
    torch.distributed.destroy_process_group()


def test_two_processes_agree_on_the_bad_batch():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    processes = [context.Process(target=_check_rank, args=(r, port, results)) for r in (0, 1)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
        assert process.exitcode == 0
    for _ in processes:
        _, flags, countdown, skipped = results.get()
        assert flags == [False, True, False]
        assert (countdown, skipped) == (1, 1)
    results.close()
