from __future__ import annotations

import math

import pytest
import torch

from espnet3.components.optimizers.schedulers import (
    LinearWarmupCosineLR,
    WarmupLR,
    WarmupStableDecayLR,
)
from espnet3.errors import SettingError


def make_optimizer(*rates: float) -> torch.optim.Optimizer:
    groups = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": lr} for lr in rates]
    return torch.optim.SGD(groups, lr=1.0)


def rates(scheduler: torch.optim.lr_scheduler.LRScheduler, count: int) -> list[float]:
    """Rates that updates 1 … count use."""
    used = []
    for _ in range(count):
        used.append(scheduler.optimizer.param_groups[0]["lr"])
        scheduler.optimizer.step()
        scheduler.step()
    return used


def test_warmup_lr_golden_numbers():
    used = rates(WarmupLR(make_optimizer(2.0), warmup_steps=4), 16)
    assert used[:4] == pytest.approx([0.5, 1.0, 1.5, 2.0])
    assert used[8] == pytest.approx(2.0 * (4 / 9) ** 0.5)
    assert used[15] == pytest.approx(1.0)


def test_cosine_golden_numbers_and_floor():
    scheduler = LinearWarmupCosineLR(make_optimizer(1.0), warmup_steps=2, max_steps=6, min_lr=0.1)
    used = rates(scheduler, 8)
    assert used == pytest.approx(
        [
            0.5,
            1.0,
            0.1 + 0.9 * 0.5 * (1 + math.cos(math.pi / 4)),
            0.55,
            0.1 + 0.9 * 0.5 * (1 + math.cos(3 * math.pi / 4)),
            0.1,
            0.1,
            0.1,
        ]
    )


def test_trapezoid_golden_numbers():
    scheduler = WarmupStableDecayLR(
        make_optimizer(1.0), warmup_steps=2, decay_start=4, max_steps=8, min_lr=0.2
    )
    assert rates(scheduler, 9) == pytest.approx([0.5, 1, 1, 1, 0.8, 0.6, 0.4, 0.2, 0.2])


def test_no_warmup_starts_at_the_peak():
    optimizer = make_optimizer(1.0)
    WarmupStableDecayLR(optimizer, warmup_steps=0, decay_start=5, max_steps=6)
    assert optimizer.param_groups[0]["lr"] == 1.0


def test_each_group_keeps_its_own_base_rate():
    optimizer = make_optimizer(1.0, 10.0)
    WarmupLR(optimizer, warmup_steps=4)
    assert [group["lr"] for group in optimizer.param_groups] == pytest.approx([0.25, 2.5])


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda o: WarmupLR(o, warmup_steps=0), "warmup_steps"),
        (lambda o: LinearWarmupCosineLR(o, warmup_steps=-1, max_steps=5), "warmup_steps"),
        (lambda o: LinearWarmupCosineLR(o, warmup_steps=5, max_steps=5), "max_steps"),
        (lambda o: WarmupStableDecayLR(o, 5, 4, 9), "decay_start"),
        (lambda o: WarmupStableDecayLR(o, 1, 4, 4), "max_steps"),
    ],
)
def test_steps_out_of_order_are_refused(build, message):
    with pytest.raises(SettingError, match=message):
        build(make_optimizer(1.0))


def test_state_survives_a_weights_only_round_trip(tmp_path):
    first = LinearWarmupCosineLR(make_optimizer(1.0), warmup_steps=2, max_steps=9)
    rates(first, 4)
    torch.save(first.state_dict(), tmp_path / "s.pt")
    second = LinearWarmupCosineLR(make_optimizer(1.0), warmup_steps=2, max_steps=9)
    second.load_state_dict(torch.load(tmp_path / "s.pt", weights_only=True))
    second.optimizer.step()
    first.optimizer.step()
    first.step()
    second.step()
    assert first.get_last_lr() == second.get_last_lr()


@pytest.mark.parametrize(
    "build",
    [
        lambda o, end: LinearWarmupCosineLR(o, 0, end),
        lambda o, end: WarmupStableDecayLR(o, 0, end // 2, end),
        lambda o, end: WarmupLR(o, end),
    ],
)
def test_resumed_schedule_may_be_prolonged(build):
    first = build(make_optimizer(1.0), 4)
    rates(first, 4)
    prolonged, whole = build(make_optimizer(1.0), 40), build(make_optimizer(1.0), 40)
    prolonged.load_state_dict(first.state_dict())
    rates(whole, 4)
    assert rates(prolonged, 3)[1:] == rates(whole, 3)[1:]
