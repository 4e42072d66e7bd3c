"""LBYL's λ by rule: of the grid, the pair that leaves the least predicted error."""

from dataclasses import replace
from itertools import product

import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from test_lbyl import conv_and_norm, filters_read, split
from torch import nn
from traced_zoo import plan_without, random_plan, source_of, traced

from edgeprune.moments.propagation import Moments
from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.lbyl import CONSTANT_WEIGHTS, RIDGES, Lbyl
from edgeprune.recovery.closed_form.redistribution import moments_of_consumers, redistribute
from edgeprune.tracing import trace

GRID = (CONSTANT_WEIGHTS, RIDGES)


def informed(network, seed=0):
    """What reads ``conv_and_norm``, with random moments and consumer norms."""
    read = filters_read(network)
    draw = torch.Generator().manual_seed(seed)
    channels = len(read.constant)
    root = torch.randn(channels, channels, generator=draw).double()
    mean = torch.randn(channels, generator=draw).double()
    consumer_norm = torch.rand(channels, generator=draw).double()
    return replace(read, moments=Moments(mean, root @ root.T, 0.5), consumer_norm=consumer_norm)


def predicted_error(read, kept, removed, mixing):
    """Σ_p ‖V_p‖² E|a_p − S_p a_K|², one channel at a time."""
    second = read.moments.cov + torch.outer(read.moments.mean, read.moments.mean)
    total = 0.0
    for row, p in zip(mixing, removed.tolist(), strict=True):
        difference = torch.zeros(len(second)).double()
        difference[p] = 1
        difference[kept] = -row
        total += float(read.consumer_norm[p] * (difference @ second @ difference))
    return total


@settings(max_examples=20, deadline=None)
@given(channels=st.integers(4, 24), seed=st.integers(0, 99))
def test_the_rule_takes_the_pair_with_the_least_predicted_error(channels, seed):
    read = informed(conv_and_norm(channels, seed=seed), seed)
    kept, removed = split(channels, channels // 2, seed)
    errors = [
        predicted_error(read, kept, removed, Lbyl(*pair).mixing(read, kept, removed))
        for pair in product(CONSTANT_WEIGHTS, RIDGES)
    ]
    found = predicted_error(read, kept, removed, Lbyl().mixing(read, kept, removed))
    assert found == pytest.approx(min(errors), rel=1e-9)


def test_what_is_given_is_not_chosen():
    read = informed(conv_and_norm(16))
    kept, removed = split(16, 8, 0)
    for pair in ((1e-2, 0.3), (1e-2, None), (None, 0.3)):
        candidates = product(*([v] if v else g for v, g in zip(pair, GRID, strict=True)))
        possible = [Lbyl(*each).mixing(read, kept, removed) for each in candidates]
        found = Lbyl(*pair).mixing(read, kept, removed)
        assert any(torch.equal(found, each) for each in possible)


def test_nothing_known_of_a_consumer_leaves_the_usual_values():
    read = filters_read(conv_and_norm(16))
    kept, removed = split(16, 8, 0)
    usual = Lbyl(1e-5, 1e-3).mixing(read, kept, removed)
    assert torch.equal(Lbyl().mixing(read, kept, removed), usual)


def test_released_coefficients_are_not_chosen_by_rule():
    read = informed(conv_and_norm(16))
    kept, removed = split(16, 8, 0)
    usual = Lbyl(1e-5, 1e-3, released=True).mixing(read, kept, removed)
    assert torch.equal(Lbyl(released=True).mixing(read, kept, removed), usual)


def test_without_a_norm_only_the_ridge_is_chosen():
    network = nn.Sequential(nn.Linear(6, 12), nn.ReLU(), nn.Linear(12, 3))
    model = trace(source_of(network, (1, 6)))
    pruned = prune(model, plan_without(model, "0", {1, 4, 5}))
    found = Lbyl()(model, pruned).module.state_dict()
    possible = [Lbyl(9.0, ridge)(model, pruned).module.state_dict() for ridge in RIDGES]
    assert any(all(torch.equal(found[key], one[key]) for key in found) for one in possible)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_consumer_of_the_zoo_has_its_norms_and_most_their_moments(name):
    """A consumer norm is the squared norm of the columns that the consumer has for a channel."""
    model = traced(name)
    plan = random_plan(model, 4, most=0.7)
    pruned, found = prune(model, plan), []

    def nothing(read, kept, removed):
        found.append(read)
        return torch.zeros(len(removed), len(kept)).double()

    known = moments_of_consumers(model, pruned)
    redistribute(model, pruned, nothing, known=known)
    assert all(len(read.consumer_norm) == len(read.constant) for read in found)
    assert all(len(s.moments.mean) == len(s.constant) for s in found if s.moments is not None)
    assert not known or any(read.moments is not None for read in found)
