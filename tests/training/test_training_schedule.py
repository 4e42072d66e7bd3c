"""The rate rises, cools down to nothing whatever ends first, and settings are checked."""

import math
from dataclasses import replace

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from edgeprune.errors import UsageError
from edgeprune.training import Schedule

PLAIN = Schedule(steps=20, learning_rate=0.3)


def rates(optimiser, scheduler, steps):
    """The rate of each step, by PyTorch."""
    seen = []
    for _ in range(steps):
        seen.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    return seen


@pytest.mark.parametrize("warm", [0, 1, 5])
def test_rate_by_steps_is_that_of_pytorchs_schedulers(warm):
    steps, peak = 20, 0.3
    optimiser = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = lr_scheduler.CosineAnnealingLR(optimiser, T_max=steps - warm)
    if warm:
        rise = lr_scheduler.LinearLR(optimiser, start_factor=1 / warm, total_iters=max(warm - 1, 1))
        scheduler = lr_scheduler.SequentialLR(optimiser, [rise, scheduler], milestones=[warm])
    schedule = replace(PLAIN, warmup=warm / steps)
    found = [peak * schedule.factor(schedule.share(step, 0.0)) for step in range(steps)]
    assert found == pytest.approx(rates(optimiser, scheduler, steps))


def test_rate_follows_time_where_time_is_short():
    schedule = replace(PLAIN, steps=10**6, seconds=10.0)
    assert schedule.share(0, 5.0) == 0.5
    assert schedule.factor(schedule.share(3, 5.0)) == pytest.approx(0.5)
    assert schedule.share(3, 6.0, after=4.0) == 1.0
    assert schedule.share(0, 2.0, before=2.0) == 0.0
    assert schedule.share(3, 5.0, before=2.0, after=2.0) == 0.5
    assert schedule.factor(1.0) == pytest.approx(0.0)
    assert schedule.share(3, 0.0, after=11.0) == 1.0


def test_validation_is_due_first_and_every_so_often():
    assert [k for k in range(8) if PLAIN.due(k)] == [0]
    assert [k for k in range(8) if replace(PLAIN, validate_every=3).due(k)] == [0, 3, 6]


def test_groups_keep_peaks_of_their_own():
    def grouped(parameters, rate):
        return torch.optim.SGD([{"params": parameters, "lr": rate / 10}])

    parameters = [nn.Parameter(torch.zeros(1))]
    made = replace(PLAIN, optimiser=grouped).make(parameters)
    assert made.param_groups[0]["initial_lr"] == pytest.approx(0.03)
    assert isinstance(PLAIN.make(parameters), torch.optim.Adam)
    assert isinstance(replace(PLAIN, optimiser="sgd").make(parameters), torch.optim.SGD)


def test_schedules_are_told_apart_and_recognised():
    def other(parameters, rate):
        return torch.optim.Adam(parameters, lr=rate)

    changed = [{}, {"clip": 1}, {"optimiser": "sgd"}, {"optimiser": other}]
    made = [replace(PLAIN, **each) for each in changed]
    assert len({each.described() for each in made}) == len(made)
    assert "0x" not in replace(PLAIN, optimiser=other).described()
    assert replace(PLAIN, steps=20).described() == PLAIN.described()
    assert replace(PLAIN, clock=lambda: 0.0).described() == PLAIN.described()


@pytest.mark.parametrize(
    ("name", "value"),
    [("steps", 0), ("learning_rate", 0.0), ("learning_rate", math.nan), ("warmup", 1.0),
     ("clip", -1.0), ("averaging", 1.0), ("validate_every", -1), ("patience", -1), ("seconds", 0.0),
     ("optimiser", "lion")],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(name, value):
    with pytest.raises(UsageError, match=name):
        replace(PLAIN, **{name: value})
