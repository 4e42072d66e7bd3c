"""A method that did harm says so; one that did good, or measures itself, does not."""

from dataclasses import dataclass, replace

import pytest
import torch
from traced_zoo import random_plan, traced

from edgeprune.pruning import prune
from edgeprune.recovery import METHODS, RecoveryContext, RecoveryMethod, recover
from edgeprune.recovery.closed_form.analytic import Analytic

SHAPES = ["chain", "residual", "no-norm", "two-outputs"]


def cut(name):
    return prune(traced(name), random_plan(traced(name), 6, most=0.8))


def kinds(done):
    return [note.kind for step in done.recovered_by for note in step.notes]


@dataclass(frozen=True)
class Spoiling(RecoveryMethod):
    """Scale what the first layer gives."""

    factor: float = 30.0

    def __call__(self, traced, pruned, context):
        done = Analytic()(traced, pruned)
        with torch.no_grad():
            next(done.module.parameters()).mul_(self.factor)
        return done


@pytest.mark.parametrize("name", SHAPES)
def test_what_is_worse_than_before_is_said_to_be(name):
    done = recover(traced(name), cut(name), [Spoiling()])
    assert kinds(done)[-1] == "worse"
    values = done.recovered_by[-1].notes[-1].values
    assert values["after"] > values["before"]
    assert "further from the original" in done.recovered_by[-1].detail


def test_it_is_the_step_that_did_harm_which_says_so():
    done = recover(traced("chain"), cut("chain"), [Analytic(), Spoiling()])
    first, second = done.recovered_by
    assert "worse" not in [note.kind for note in first.notes]
    assert second.notes[-1].kind == "worse"


@pytest.mark.parametrize("method", ["none", "auto"])
def test_methods_that_keep_the_best_are_not_measured_again(method, monkeypatch):
    def measured(*_, **__):
        raise AssertionError

    monkeypatch.setattr("edgeprune.recovery.harm.held_out_error", measured)
    kind = METHODS[method]()
    chosen = replace(kind, images=8, steps=2) if method == "auto" else kind
    assert "worse" not in kinds(recover(traced("chain"), cut("chain"), [chosen]))


def test_the_weights_are_those_of_the_method():
    alone = Analytic()(traced("chain"), cut("chain"))
    done = recover(traced("chain"), cut("chain"), [Analytic()], RecoveryContext(seed=3))
    pairs = zip(alone.module.parameters(), done.module.parameters(), strict=True)
    assert all(torch.equal(one, other) for one, other in pairs)
