"""Allocation: budgets are met as closely as widths allow; the least important channels go."""

import itertools
import re

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_zoo import source_of, traced

from edgeprune.costs import count
from edgeprune.errors import BudgetUnreachable, ModelUnsupported, UsageError
from edgeprune.pruning import (
    BUDGETS,
    Allocation,
    L2Norm,
    Macs,
    Params,
    Ratio,
    cost_model,
    parse_budget,
    plan,
    prune,
    reachable,
)
from edgeprune.pruning.allocation import allocate
from edgeprune.pruning.importance import importance
from edgeprune.pruning.importance.norms import BatchNormScale, Random
from edgeprune.pruning.scopes import SCOPES
from edgeprune.tracing import trace

SMALL = ("chain", "residual", "grouped", "concat", "chunk", "flatten", "squeeze-excite")


def costs_of(model):
    return count(model.source.module, model.source.input)


def allowed(group, unit, floor):
    """Every width that a group may have, by definition."""
    unit = unit or (8 if group.width >= 32 else 4 if group.width >= 16 else 2)
    return [
        width
        for width in range(1, group.width + 1)
        if width == group.width
        or (width % unit == 0 and width % group.partitions == 0 and width >= floor * group.width)
    ]


def widths_of(model, allocated):
    kept = {entry.group: len(entry.kept) for entry in allocated.groups}
    return [kept.get(group.name, group.width) for group in model.prunable]


@pytest.mark.parametrize(
    ("asked", "unit"), [(0.5, None), (0.38, 4), (0.44, 2), (0.4, 1), (0.375 + 1 / 64, None)]
)
def test_a_budget_that_is_missed_names_the_largest_unit_that_meets_it(asked, unit):
    """One group of 32 channels that step in eights: its MACs are the share that stays."""
    model = trace(source_of(nn.Sequential(nn.Conv2d(3, 32, 1), nn.ReLU(), nn.Conv2d(32, 4, 1))))
    allocated = plan(model, costs_of(model), Macs(asked), criterion=L2Norm()).allocated
    assert allocated.finer_unit == unit
    nearest = min((step / 4 for step in range(1, 5)), key=lambda share: abs(share - asked))
    assert allocated.reached == nearest
    assert allocated.on_target == (asked == 0.5)


# --- the budget -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def uniform():
    """A chain of 250 layers, all as wide: a knob steps them all at once."""
    layers = [nn.Conv2d(3 if place == 0 else 4, 4, 1) for place in range(251)]
    return trace(source_of(nn.Sequential(*layers), (1, 3, 2, 2)))


@pytest.mark.parametrize("budget", [Macs(0.6), Params(0.35), Ratio(0.2)], ids=repr)
@pytest.mark.parametrize("scope", SCOPES)
def test_many_groups_that_step_together_step_only_as_far_as_asked(uniform, scope, budget):
    allocated = plan(
        uniform,
        costs_of(uniform),
        budget,
        criterion=L2Norm(),
        allocation=Allocation(scope=scope, unit=2),
    ).allocated
    assert abs(allocated.reached - allocated.asked) < 0.006
    assert {len(entry.kept) for entry in allocated.groups} == {2}


@pytest.mark.parametrize(
    ("budget", "scope"),
    [
        (Macs(0.3), "local"), (Macs(0.5), "marginal"), (Macs(0.8), "global"),
        (Params(0.4), "global"), (Params(0.6), "marginal"), (Ratio(0.5), "local"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_asked_and_reached_are_what_the_pruned_network_costs(name, budget, scope):
    model = traced(name)
    original = costs_of(model)
    try:
        planned = plan(model, original, budget, allocation=Allocation(scope=scope))
    except BudgetUnreachable:
        assert name in ("padded-shortcut", "functional", "channel-shuffle", "chunk")
        return
    small = count(prune(model, planned.plan).module, model.source.input)
    channels = sum(group.width for group in model.prunable)
    removed = sum(len(entry.removed) for entry in planned.plan.groups)
    real = {
        "macs": small.macs / original.macs,
        "params": small.params / original.params,
        "ratio": removed / channels,
    }
    assert planned.allocated.kind == budget.kind
    assert planned.allocated.asked == pytest.approx(budget.amount)
    assert planned.allocated.reached == pytest.approx(real[budget.kind])
    assert planned.allocated.on_target == (abs(real[budget.kind] - budget.amount) <= 0.01)


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("kind", BUDGETS)
@pytest.mark.parametrize("name", SMALL)
def test_no_widths_at_all_come_closer_by_more_than_a_hundredth(name, kind, scope):
    model = traced(name)
    costs = cost_model(model, costs_of(model))
    scores = importance(model, L2Norm())
    ladders = [allowed(group, 0, 0.1) for group in model.prunable]
    every = np.array(list(itertools.product(*ladders)), float)
    for amount in (0.35, 0.5, 0.75):
        budget = BUDGETS[kind](amount)
        original = costs.original(budget.quantity)
        shares = np.array([budget.share(r, original) for r in costs.at(budget.quantity, every)])
        closest = float(np.abs(shares - amount).min())
        try:
            found = allocate(costs, scores, budget, Allocation(scope=scope))
        except BudgetUnreachable:
            assert closest > 0.01
            continue
        assert abs(found.reached - amount) <= closest + 0.01


@pytest.mark.parametrize(
    ("budget", "scope"), [(Macs(1.0), "marginal"), (Params(1.0), "global"), (Ratio(0.0), "local")]
)
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_asking_for_the_whole_network_removes_nothing(name, budget, scope):
    model = traced(name)
    assert plan(model, costs_of(model), budget, allocation=Allocation(scope)).plan.groups == ()


@settings(max_examples=12, deadline=None)
@given(
    widths=st.lists(st.sampled_from([32, 48, 64, 96]), min_size=6, max_size=8),
    scope=st.sampled_from(tuple(SCOPES)), kind=st.sampled_from(["macs", "params"]),
    amount=st.floats(0.2, 0.95),
)  # fmt: skip
def test_with_many_layers_every_budget_is_met(widths, scope, kind, amount):
    blocks = [zoo.conv_bn(a, b) for a, b in itertools.pairwise([3, *widths])]
    model = trace(source_of(nn.Sequential(*blocks, zoo.head(widths[-1]))))
    budget = BUDGETS[kind](amount)
    assert plan(model, costs_of(model), budget, allocation=Allocation(scope)).allocated.on_target


def deep(width, layers):
    network = [zoo.conv_bn(3, width), *(zoo.conv_bn(width, width) for _ in range(layers - 1))]
    return nn.Sequential(*network, zoo.head(width))


@pytest.mark.parametrize("amount", [0.3, 0.6, 0.9])
def test_ties_in_importance_make_no_cliff(amount):
    """Untrained BatchNorm scores every channel alike: no group then goes before another."""
    model = trace(source_of(deep(64, 6)))
    allocated = plan(
        model, costs_of(model), Macs(amount), criterion=BatchNormScale(),
        allocation=Allocation("global"),
    ).allocated  # fmt: skip
    assert allocated.on_target
    widths = widths_of(model, allocated)
    assert min(widths) >= 24  # 8 is the least allowed


@pytest.mark.parametrize("amount", [0.6, 0.9, 1.0])
def test_many_dead_channels_do_not_all_go_at_once(amount):
    network = deep(64, 6)
    with torch.no_grad():
        for block in list(network)[:-1]:
            block[0].weight[:32] = 0
    model = trace(source_of(network))
    allocated = plan(
        model, costs_of(model), Macs(amount),
        criterion=L2Norm(), allocation=Allocation("global"),
    ).allocated  # fmt: skip
    assert allocated.on_target
    for entry in allocated.groups:
        assert set(entry.kept) >= set(range(32, 64))


def test_what_is_out_of_reach_names_what_is_not():
    model = traced("chain")
    for kind, text in (("macs", "1%"), ("params", "2%"), ("ratio", "99%"), ("macs", "1K")):
        with pytest.raises(BudgetUnreachable, match=f"--{kind} .* is out of reach") as caught:
            plan(model, costs_of(model), parse_budget(kind, text))
        nearest = re.search(r"the nearest is ([\d.]+%)", str(caught.value))[1]
        found = plan(model, costs_of(model), parse_budget(kind, nearest)).allocated
        assert found.on_target


@pytest.mark.parametrize("name", SMALL)
def test_the_least_that_is_reachable_is_the_cheapest_of_all_widths(name):
    model = traced(name)
    costs = cost_model(model, costs_of(model))
    every = np.array(list(itertools.product(*(allowed(g, 0, 0.1) for g in model.prunable))), float)
    least = reachable(model, costs_of(model), Allocation())
    assert least["macs"] == pytest.approx(
        float(costs.at("macs", every).min() / costs.original("macs"))
    )
    assert least["params"] == pytest.approx(
        float(costs.at("params", every).min() / costs.original("params"))
    )


def test_with_everything_locked_there_is_nothing_to_allocate():
    model = trace(source_of(zoo.build("chain")), keep=["*"])
    with pytest.raises(ModelUnsupported, match="every channel group is locked"):
        plan(model, costs_of(model), Macs(0.5))


# --- the widths -----------------------------------------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(SMALL), unit=st.integers(0, 12), floor=st.floats(0.0, 0.6),
    scope=st.sampled_from(tuple(SCOPES)), amount=st.floats(0.2, 0.95),
)  # fmt: skip
def test_widths_are_multiples_above_the_floor(name, unit, floor, scope, amount):
    model = traced(name)
    options = Allocation(scope, unit, floor)
    try:
        allocated = plan(model, costs_of(model), Macs(amount), allocation=options).allocated
    except BudgetUnreachable:
        return
    for group, width in zip(model.prunable, widths_of(model, allocated), strict=True):
        assert width in allowed(group, unit, floor)


@pytest.mark.parametrize("name", SMALL)
def test_the_same_channels_go_from_every_block(name):
    model = traced(name)
    for entry in plan(model, costs_of(model), Macs(0.5)).plan.groups:
        group = next(group for group in model.groups if group.name == entry.group)
        block = group.width // group.partitions
        rows = np.array(entry.kept).reshape(group.partitions, -1)
        assert (rows - block * np.arange(group.partitions)[:, None] == rows[0]).all()


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("criterion", [L2Norm(), BatchNormScale(), Random()])
def test_the_least_important_channels_go(criterion, scope):
    model = traced("residual")
    scores = importance(model, criterion, seed=2)
    planned = plan(
        model, costs_of(model), Macs(0.5), criterion=criterion, allocation=Allocation(scope), seed=2
    )
    for entry in planned.plan.groups:
        score = scores[entry.group]
        assert list(entry.kept) == sorted(entry.kept)
        assert score[list(entry.kept)].min() >= score[list(entry.removed)].max()


def test_local_takes_the_same_share_and_global_takes_what_matters_least():
    network = deep(64, 3)
    with torch.no_grad():
        network[1][0].weight[8:] *= 1e-3  # this layer can do without
    model = trace(source_of(network))
    found = {
        scope: widths_of(model, plan(
            model, costs_of(model), Ratio(0.25),
            criterion=L2Norm(), allocation=Allocation(scope, cap=10),
        ).allocated)
        for scope in SCOPES
    }  # fmt: skip
    assert found["local"] == [48, 48, 48]
    assert found["marginal"] == found["global"]  # every channel counts as one
    assert found["global"][1] < found["global"][0] == found["global"][2] == 64


@pytest.mark.parametrize("cap", [1.0, 1.5, 2.0])
def test_global_takes_no_more_than_the_cap_from_any_group(cap):
    network = deep(64, 3)
    with torch.no_grad():
        network[1][0].weight[8:] *= 1e-3
    model = trace(source_of(network))
    planned = plan(model, costs_of(model), Ratio(0.25), allocation=Allocation("global", cap=cap))
    widths = widths_of(model, planned.allocated)
    lost = [64 - width for width in widths]
    assert max(lost) <= cap * sum(lost) / len(lost) + 8  # one rung


def test_the_nearest_multiple_is_chosen_and_not_the_one_below():
    model = trace(source_of(deep(24, 1)))
    for removed, width in ((0.15, 20), (0.3, 16), (0.45, 12)):
        allocated = plan(model, costs_of(model), Ratio(removed)).allocated
        assert widths_of(model, allocated) == [width]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scope": "both"}, "--scope both: choose local, global, marginal, sensitivity"),
        ({"unit": -8}, "--unit -8"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(options, words):
    with pytest.raises(UsageError, match=words):
        Allocation(**options)


def test_a_plan_knows_what_it_was_made_for():
    model = traced("chain")
    made = plan(model, costs_of(model), Macs(0.5)).plan
    assert made.model_sha256 == model.source.sha256
    assert set(made.versions) == {"edgeprune", "torch"}
    assert made == plan(model, costs_of(model), Macs(0.5)).plan
