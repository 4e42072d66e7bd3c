"""The loop does what a loop written out does, and the best weights are kept."""

import copy
import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from fake_clock import FakeClock
from torch import nn
from training_tasks import SCHEDULE, STEADY, Regression, Scripted, identical, weights

from edgeprune.training import Schedule, fit


@pytest.mark.parametrize("averaging", [0.0, 0.6])
@pytest.mark.parametrize("clip", [0.0, 0.5])
def test_weights_are_those_of_a_loop_written_out(averaging, clip):
    task, schedule = (
        Regression(),
        replace(SCHEDULE, averaging=averaging, clip=clip, validate_every=3),
    )
    task.module[3].p = 0.0
    task.error = lambda: None
    module = copy.deepcopy(task.module)
    trained = list(module.parameters())
    optimiser = torch.optim.Adam(trained)
    average = [p.detach().clone() for p in trained]
    for step in range(12):
        cooled = max(0, step - 3) / 9
        rate = 0.02 * min(1, (step + 1) / 3) * (0.5 + 0.5 * math.cos(math.pi * cooled))
        optimiser.param_groups[0]["lr"] = rate
        optimiser.zero_grad()
        task.loss(module, step).backward()
        if clip:
            nn.utils.clip_grad_norm_(trained, clip)
        optimiser.step()
        decay = min(averaging, (1 + step) / (10 + step))
        average = [
            decay * a + (1 - decay) * p.detach() for a, p in zip(average, trained, strict=True)
        ]
    fitted = fit(task, schedule, seed=0)
    for found, expected in zip(task.module.parameters(), average, strict=True):
        torch.testing.assert_close(found.detach(), expected, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(task.module[1].running_mean, module[1].running_mean)
    assert (fitted.steps, fitted.best_step, fitted.stopped) == (12, 12, "steps")
    assert (fitted.errors, fitted.detail) == ((), "")


def test_training_makes_the_error_smaller_and_the_module_has_the_smallest():
    task = Regression()
    fitted = fit(task, replace(SCHEDULE, steps=40, validate_every=5), seed=0)
    assert [step for step, _ in fitted.errors] == list(range(0, 41, 5))
    errors = dict(fitted.errors)
    assert errors[fitted.best_step] == min(errors.values()) < 0.7 * errors[0]
    with torch.no_grad():
        assert task.error() == pytest.approx(min(errors.values()))
    assert all(p.grad is None for p in task.module.parameters())


@pytest.mark.parametrize(
    ("errors", "best"),
    [([5, 4, 3, 6, 7], 2), ([1, 2, 3], 0), ([5, 3, 3, 3], 1), ([math.nan, 4, math.nan], 1),
     ([math.nan] * 9, 0), ([9, 8, 7, 6, 5, 4, 3, 2, 1], 8)],
)  # fmt: skip
def test_the_best_weights_and_buffers_are_kept(errors, best):
    task = Scripted(errors)
    fitted = fit(task, STEADY, seed=0)
    assert task.held() == (best, best)
    assert fitted.best_step == best
    assert len(fitted.errors) == 9
    assert fitted.stopped == "steps"


@pytest.mark.parametrize("averaging", [0.0, 0.9])
def test_only_the_ends_are_validated_unless_asked(averaging):
    task = Scripted([5] * 9)
    fitted = fit(task, replace(STEADY, validate_every=0, averaging=averaging), seed=0)
    assert [step for step, _ in fitted.errors] == [0, 8]


def test_it_stops_when_it_gets_no_better_for_long():
    task = Scripted([5, 4, 6, 6, 3, 7, 7, 7, 7])
    fitted = fit(task, replace(STEADY, patience=3), seed=0)
    assert (fitted.stopped, fitted.steps, fitted.best_step) == ("patience", 7, 4)
    assert task.held() == (4, 4)


def test_a_step_that_is_not_finite_leaves_nothing():
    task = Scripted([9, 8, 7, 6, 5, 4, 3], losses=[0, math.nan, 0, math.inf])
    fitted = fit(task, STEADY, seed=0)
    assert fitted.steps == 8
    assert task.held() == (6, 6)
    assert fitted.detail == "2 steps skipped: loss or gradient was not finite"


def test_a_gradient_that_is_not_finite_is_not_followed():
    task = Scripted()
    task.loss = lambda module, step: module.weight.sum() + (module.weight * 0).abs().sqrt().sum()
    assert fit(task, replace(STEADY, steps=3), seed=0).detail.startswith("3 steps")
    assert task.held() == (0, 0)


@pytest.mark.parametrize(("errors", "best"), [((3, 2, 1, 2), 2), ((), 14)])
def test_many_steps_in_a_row_that_are_not_finite_end_the_run(errors, best):
    task = Scripted(errors, losses=[0, 0, math.nan, 0, *[math.nan] * 30])
    fitted = fit(task, replace(STEADY, steps=50), seed=0)
    assert (fitted.stopped, fitted.steps, fitted.best_step) == ("diverged", 14, best)
    assert fitted.detail.startswith("11 steps")
    assert task.held() == ((2, 2) if errors else (3, 3))


def test_progress_is_reported_after_each_step():
    reports = []
    task = Scripted(losses=[2.0, 2.0])
    fit(task, replace(STEADY, steps=4), seed=0, progress=lambda *args: reports.append(args))
    assert [share for share, _ in reports] == [0.25, 0.5, 0.75, 1.0]
    assert reports[0][1] == "step 1/4, loss 2"
    assert reports[1][1] == "step 2/4, loss 1.9"  # 0.9 * 2 + 0.1 * (2 - 1)


@pytest.mark.parametrize("steps", [1, 200, 201, 1000])
def test_history_is_evenly_spaced_and_short(steps):
    fitted = fit(Scripted(), replace(STEADY, steps=steps), seed=0)
    seen = [step for step, _ in fitted.history]
    assert (seen[0], len(seen)) == (0, min(len(seen), 200))
    assert len(seen) >= min(steps, 100)
    assert len({b - a for a, b in pairwise(seen)}) <= 1
    assert all(loss == -step for step, loss in fitted.history)


def test_a_time_limit_is_kept_and_the_rate_cools_down_within_it():
    task, rates, clock = Scripted([5] * 10**4), [], FakeClock()

    def loss(module, step):
        clock.sleep(0.005)
        return Scripted.loss(task, module, step)

    def slow():
        clock.sleep(0.5)
        return 1.0

    def noting(parameters, rate):
        optimiser = torch.optim.SGD(parameters, lr=rate)
        optimiser.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        return optimiser

    task.loss, task.error = loss, slow
    schedule = Schedule(steps=10**6, learning_rate=1.0, seconds=1.5, optimiser=noting, clock=clock)
    fitted = fit(task, schedule, seed=0)
    assert 1.49 < fitted.seconds == clock.now <= 1.5
    assert fitted.steps == pytest.approx(100, abs=1)
    assert (fitted.stopped, len(fitted.errors)) == ("seconds", 2)
    assert rates == sorted(rates, reverse=True)
    assert rates[0] > 0.9
    assert rates[-1] < 0.2


def test_without_time_for_a_step_the_module_stays_as_it_is():
    task = Scripted([1])
    fitted = fit(task, replace(STEADY, seconds=1e-9), seed=0)
    assert (fitted.steps, fitted.stopped, task.held()) == (0, "seconds", (0, 0))


def test_the_seed_decides_what_dropout_drops_and_the_global_one_does_not():
    found = []
    for seed, outside in ((0, 1), (0, 2), (1, 1)):
        task = Regression()
        torch.manual_seed(outside)
        before = torch.get_rng_state()
        fit(task, SCHEDULE, seed=seed)
        assert torch.equal(torch.get_rng_state(), before)
        found.append(weights(task))
    assert identical(found[0], found[1])
    assert not identical(found[0], found[2])


def test_a_module_without_anything_to_train_is_refused():
    task = Scripted()
    task.module.weight.requires_grad_(requires_grad=False)
    with pytest.raises(ValueError, match="empty parameter list"):
        fit(task, SCHEDULE, seed=0)
