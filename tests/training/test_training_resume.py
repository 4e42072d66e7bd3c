"""A run that was cut short goes on as if it was not; any other begins anew."""

import math
from dataclasses import replace

import pytest
import torch
from fake_clock import FakeClock
from torch import nn
from training_tasks import SCHEDULE, Regression, identical, weights

from edgeprune.training import Checkpoint, fit

VALIDATED = replace(SCHEDULE, validate_every=4, patience=9)
BEGUN = {"loss": 6, "late loss": 6, "error": 8, "progress": 7, "update": 6}
"""The step that a run begins with after Ctrl-C in one of these."""


def interrupting(call, at, *, late=False):
    """Ctrl-C in the ``at``-th call, 0 for the first; ``late``: once it is done."""
    calls = iter(range(10**6))

    def called(*args):
        now = next(calls) == at
        value = call(*args) if late or not now else None
        if now:
            raise KeyboardInterrupt
        return value

    return called


def noting(task):
    """The task, and the steps that it will be asked for."""
    steps, loss = [], task.loss
    task.loss = lambda module, step: (steps.append(step), loss(module, step))[1]
    return task, steps


def cut_short(where, checkpoint, monkeypatch):
    """A run in which Ctrl-C comes somewhere."""
    task, progress = Regression(), None
    if where in ("loss", "late loss"):
        # Late, the batch has reached BatchNorm's buffers.
        task.loss = interrupting(task.loss, 6, late=where == "late loss")
    elif where == "error":
        task.error = interrupting(task.error, 2)
    elif where == "progress":
        progress = interrupting(lambda *_: None, 6)
    with monkeypatch.context() as patch:
        if where == "update":
            patch.setattr(torch.optim.Adam, "step", interrupting(torch.optim.Adam.step, 6))
        with pytest.raises(KeyboardInterrupt):
            fit(task, VALIDATED, seed=3, checkpoint=checkpoint, progress=progress)


@pytest.mark.parametrize("every_seconds", [0.0, math.inf])
@pytest.mark.parametrize("where", BEGUN)
def test_a_run_that_was_cut_short_ends_as_if_it_was_not(
    where, every_seconds, tmp_path, monkeypatch
):
    whole = Regression()
    expected = fit(whole, VALIDATED, seed=3)
    checkpoint = Checkpoint(tmp_path / "run.pt", "it", every_seconds)
    cut_short(where, checkpoint, monkeypatch)
    again, steps = noting(Regression())
    found = fit(again, VALIDATED, seed=3, checkpoint=checkpoint)
    assert identical(weights(whole), weights(again))
    assert replace(found, seconds=0) == replace(expected, seconds=0)
    # What is half done is not saved, so here the last file counts, if there is one.
    assert steps[0] == (0 if where == "update" and every_seconds else BEGUN[where])


def test_a_run_that_is_complete_is_not_done_again(tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt")
    first, second = Regression(), Regression()
    schedule = replace(SCHEDULE, clock=FakeClock(tick=1.0))
    done = fit(first, schedule, seed=0, checkpoint=checkpoint)
    second.loss = None
    again = fit(second, schedule, seed=0, checkpoint=checkpoint)
    assert identical(weights(first), weights(second))
    assert replace(again, seconds=0) == replace(done, seconds=0)
    assert again.seconds == pytest.approx(done.seconds, abs=3)  # readings of the clock, not steps


@pytest.mark.parametrize("other", ["identity", "seed", "schedule", "network", "damaged"])
def test_a_checkpoint_of_another_run_is_not_gone_on_from(other, tmp_path):
    checkpoint = Checkpoint(tmp_path / "run.pt", "it")
    fit(Regression(), SCHEDULE, seed=0, checkpoint=checkpoint)
    expected, (task, steps) = Regression(), noting(Regression())
    schedule, seed = SCHEDULE, 0
    if other == "identity":
        checkpoint = replace(checkpoint, identity="other")
    elif other == "seed":
        seed = 1
    elif other == "schedule":
        schedule = replace(schedule, clip=0.0)
    elif other == "network":
        for each in (expected, task):
            each.module[6] = nn.Linear(2, 3, bias=False)
            nn.init.ones_(each.module[6].weight)
    else:
        checkpoint.path.write_bytes(checkpoint.path.read_bytes()[:-50])
    fit(expected, schedule, seed=seed)
    fit(task, schedule, seed=seed, checkpoint=checkpoint)
    assert steps == list(range(12))
    assert identical(weights(expected), weights(task))
