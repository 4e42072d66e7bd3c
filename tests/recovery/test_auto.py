"""Auto: never worse than doing nothing, judged on its own noise."""

import copy
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import zoo
from traced_zoo import outputs, random_plan, source_of, traced, unchanged

from edgeprune.noise import noise
from edgeprune.pruning import prune
from edgeprune.recovery.auto import Auto, relative_error
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging
from edgeprune.tracing import trace


def error_of(model, module, auto):
    """Largest relative error of any output over the images that ``auto`` judges by."""
    images = [
        noise(model.source.input, batch=1, seed=auto.seed + number)[0]
        for number in range(auto.images)
    ]
    errors = []
    for place in range(len(outputs(module, images[0]))):
        wanted, actual = (
            np.stack([outputs(each, image)[place].numpy().ravel() for image in images])
            for each in (model.source.module, module)
        )
        spread = np.linalg.norm(wanted - wanted.mean(0))
        errors.append(np.linalg.norm(actual - wanted) / spread)
    return max(errors)


@dataclass(frozen=True)
class Filled:
    """A method that sets every weight to one value."""

    value: float

    def __call__(self, traced, pruned, progress=None):
        module = copy.deepcopy(pruned.module)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.fill_(self.value)
        return replace(pruned, module=module)


@dataclass(frozen=True)
class Undone:
    """A method that gives the original back."""

    def __call__(self, traced, pruned, progress=None):
        return replace(pruned, module=traced.source.module)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_it_keeps_the_candidate_with_the_smallest_error(name):
    model, auto = traced(name), Auto(images=4)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    candidates = {
        "none": pruned, "nm": NeuronMerging()(model, pruned), "lbyl": Lbyl()(model, pruned),
    }  # fmt: skip
    errors = {key: error_of(model, each.module, auto) for key, each in candidates.items()}
    chosen = auto(model, pruned)
    kept = chosen.recovered_by[-1].method.removeprefix("auto:")
    found = error_of(model, chosen.module, auto)
    assert found <= errors["none"] * (1 + 1e-5)
    assert found == pytest.approx(min(errors.values()), rel=1e-4)
    for key, value in candidates[kept].module.state_dict().items():
        assert torch.equal(chosen.module.state_dict()[key], value)


@pytest.mark.parametrize("value", [0.0, 1e4, float("nan"), float("inf")])
@pytest.mark.parametrize("name", ["chain", "two-outputs"])
def test_harmful_candidates_are_not_kept(name, value):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    auto = Auto(candidates=(("harmful", Filled(value)),), images=4)
    chosen = auto(model, pruned)
    if value == 0.0 and chosen.recovered_by[-1].method != "auto:none":
        assert error_of(model, chosen.module, auto) <= error_of(model, pruned.module, auto)
    else:
        assert chosen.recovered_by[-1].method == "auto:none"
        assert chosen.module is pruned.module


def test_a_perfect_candidate_is_kept():
    model = traced("residual")
    pruned = prune(model, random_plan(model, 6, most=0.8))
    auto = Auto(candidates=(("nm", NeuronMerging()), ("undone", Undone())), images=2)
    step = auto(model, pruned).recovered_by[-1]
    assert step.method == "auto:undone"
    assert step.images == 0
    assert step.detail.startswith("chose undone; output error on noise: none ")
    assert step.detail.endswith("undone 0.00")


def test_of_equals_the_first_wins():
    model = traced("chain")
    pruned = prune(model, random_plan(model, 0, most=0.8).of(()))
    assert Auto(images=2)(model, pruned).recovered_by[-1].method == "auto:none"


def test_earlier_steps_are_kept_and_nothing_given_is_changed():
    model = traced("chain")
    pruned = NeuronMerging()(model, prune(model, random_plan(model, 0, most=0.8)))
    told = []
    with unchanged(pruned.module), unchanged(model.source.module):
        chosen = Auto(images=2)(model, pruned, lambda *given: told.append(given))
    assert [step.method.split(":")[0] for step in chosen.recovered_by] == ["nm", "auto"]
    assert told == [(0.5, "nm"), (1.0, "lbyl")]


def test_frozen_networks_are_judged_too():
    model = trace(source_of(zoo.build("chain").requires_grad_(False)))
    pruned = prune(model, random_plan(model, 0, most=0.8))
    assert Auto(images=2)(model, pruned).recovered_by[-1].method.startswith("auto:")


def test_the_error_is_a_share_of_the_spread():
    rng = np.random.default_rng(0)
    wanted, actual = rng.normal(size=(2, 5, 3))
    by_hand = np.linalg.norm(actual - wanted) / np.linalg.norm(wanted - wanted.mean(0))
    found = relative_error([torch.tensor(wanted)], [torch.tensor(actual)])
    assert found == pytest.approx(by_hand)
    shifted = relative_error([torch.tensor(wanted + 100)], [torch.tensor(actual + 100)])
    assert shifted == pytest.approx(by_hand)
    both = relative_error(
        [torch.tensor(wanted), torch.tensor(wanted)], [torch.tensor(wanted), torch.tensor(actual)]
    )
    assert both == pytest.approx(by_hand)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_error_that_is_not_finite_is_infinite(value):
    good, bad = torch.randn(4, 3), torch.full((4, 3), value)
    assert relative_error([good, good], [good, bad]) == float("inf")
