"""Sensitivity: what a network loses with a group is what surgery and closed-form recovery lose."""

import copy
from dataclasses import replace

import pytest
import torch
import zoo
from torch import nn
from traced_zoo import Calls, plan_without, random_plan, traced, traced_network

from edgeprune import costs
from edgeprune.artifacts import ImageKind
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves
from edgeprune.pruning import (
    Allocation,
    Contenders,
    L2Norm,
    Macs,
    Params,
    Ratio,
    Rebuild,
    Watched,
    plan,
    prune,
)
from edgeprune.pruning.importance import importance
from edgeprune.pruning.sensitivity import Ranking, images_for, prepared
from edgeprune.pruning.sensitivity.curves import points
from edgeprune.pruning.sensitivity.repaired_network import RepairedNetwork
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.training import normalise_by_batch

IMAGES = torch.randn(6, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(2))
MEASURED = {"criterion": Contenders(), "allocation": Allocation("sensitivity")}
NORMED = ("chain", "residual", "inverted-residual", "concat", "grouped", "flatten")


def costs_of(model):
    return costs.count(model.source.module, model.source.input, model.record)


def consumers(lost):
    return sorted({layer for layer, side in lost if side == "in"})


def curves_of(model, seed=0):
    return prepared(model, 8, Allocation().widths, DeadLeaves(), seed)


@pytest.mark.parametrize("name", NORMED)
def test_a_repaired_network_computes_what_surgery_and_closed_form_recovery_give(name):
    model = traced(name)
    cut = random_plan(model, seed=1)
    lost = model.removed(cut)
    network = RepairedNetwork(model, (IMAGES,))
    network.repair(consumers(lost), lost)
    recovered = copy.deepcopy(Analytic()(model, prune(model, cut)).module)
    normalise_by_batch(recovered, batch_norms(recovered))
    with torch.no_grad():
        expected = recovered(IMAGES)
    torch.testing.assert_close(network._run()[1][0], expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", NORMED)
def test_where_nothing_is_lost_nothing_is_missed_also_after_repairs(name):
    model = traced(name)
    network = RepairedNetwork(model, (IMAGES,))
    lost = model.removed(random_plan(model, seed=1))
    network.repair(consumers(lost), lost)
    assert network.error(lost) > 1e-4
    network.repair(consumers(lost), {})
    assert network.error({}) < 1e-8


def test_the_original_stays_as_it_is():
    model = traced_network(zoo.build("residual"))
    before = copy.deepcopy(model.source.module.state_dict())
    plan(model, costs_of(model), Macs(0.6), **MEASURED)
    for name, value in model.source.module.state_dict().items():
        assert torch.equal(value, before[name])
    assert not model.source.module.training


def with_an_idle_group():
    """A network one of whose groups nothing of the output depends on."""
    network = zoo.build("residual")
    model = traced_network(network)
    idle = model.prunable[0]
    with torch.no_grad():
        for member in idle.having("consumer"):
            network.get_submodule(member.layer).weight[:, ::2] = 0
    return traced_network(network), idle.name


def test_channels_that_nobody_reads_cost_nothing():
    model, idle = with_an_idle_group()
    ranking = Ranking("rebuild", importance(model, Rebuild()))
    found = curves_of(model).measured({g.name: [ranking] for g in model.prunable}, {})
    curve = found[idle]
    group = next(g for g in model.prunable if g.name == idle)
    halves = [e for w, e in zip(curve.widths, curve.errors, strict=True) if 2 * w >= group.width]
    assert max(halves) < 1e-8
    assert all(max(c.errors) > 1e-6 for name, c in found.items() if name != idle)


def test_of_several_rankings_the_one_counts_that_loses_less():
    model = traced("residual")
    good = importance(model, Rebuild())
    upside_down = {name: -score for name, score in good.items()}
    for rankings in (
        [Ranking("good", good), Ranking("bad", upside_down)],
        [Ranking("bad", upside_down), Ranking("good", good)],
    ):
        found = curves_of(model).measured({g.name: rankings for g in model.prunable}, {})
        assert sum(curve.criterion == "good" for curve in found.values()) > len(found) / 2


def test_curves_begin_with_the_width_that_is_and_descend():
    model = traced("residual")
    ranking = Ranking("l2", importance(model, L2Norm()))
    for group in model.prunable:
        curve = curves_of(model).measured({g.name: [ranking] for g in model.prunable}, {})[
            group.name
        ]
        assert curve.widths[0] == group.width
        assert list(curve.widths) == sorted(set(curve.widths), reverse=True)
        assert curve.errors[0] == 0
        assert len(curve.errors) == len(curve.widths)


def test_points_are_a_mild_cut_half_and_the_narrowest():
    assert points(torch.arange(8, 65, 8).double().numpy(), 64) == [56, 32, 8]
    assert points(torch.arange(8, 65, 8).double().numpy(), 8) == []


@pytest.mark.parametrize("budget", [Macs(0.6), Params(0.6), Ratio(0.5)], ids=lambda b: b.kind)
def test_every_budget_is_met_by_curves_and_two_plans_are_equal(budget):
    model = traced("residual")
    one, other = (plan(model, costs_of(model), budget, **MEASURED) for _ in range(2))
    assert one == other
    assert one.allocated.on_target
    assert [c.group for c in one.allocated.sensitivity.curves] == [g.name for g in model.prunable]
    assert one.allocated.sensitivity.origin == DeadLeaves().origin


def test_by_its_own_measure_no_plan_is_worse_than_that_of_marginal_scope():
    model = traced("inverted-residual")
    for share in (0.5, 0.75):
        choices = [
            plan(model, costs_of(model), Macs(share), **MEASURED),
            plan(
                model,
                costs_of(model),
                Macs(share),
                criterion=Rebuild(),
                allocation=Allocation("marginal"),
            ),
        ]
        curves = prepared(
            model, images_for(model, costs_of(model)), Allocation().widths, DeadLeaves(), 0
        )
        errors = [curves.error_of({e.group: e for e in c.plan.groups}) for c in choices]
        assert errors[0] <= errors[1] or not choices[1].allocated.on_target


def without_norms():
    return nn.Sequential(
        nn.Conv2d(3, 32, 3, padding=1), nn.ReLU(), nn.Conv2d(32, 32, 3), nn.ReLU(), zoo.head(32)
    )


def test_without_batch_norms_scope_is_marginal_and_images_of_ones_own_help():
    model = traced_network(without_norms())
    blind = plan(model, costs_of(model), Macs(0.6), **MEASURED)
    marginal = {"criterion": Rebuild(), "allocation": Allocation("marginal")}
    assert blind.allocated.sensitivity is None
    assert blind.plan == plan(model, costs_of(model), Macs(0.6), **marginal).plan
    own = Given((IMAGES,), "(own)", ImageKind.REAL)
    seen = plan(model, costs_of(model), Macs(0.6), watched=Watched(own), **MEASURED)
    assert seen.allocated.sensitivity.origin == "(own)"
    assert seen.allocated.sensitivity.images == len(IMAGES)


def test_a_network_that_takes_one_input_at_a_time_is_planned_without_curves():
    def forward(self, x):
        return self.head(self.body(x).reshape(1, 32, *x.shape[2:]))

    body = nn.Sequential(zoo.conv_bn(3, 32), zoo.conv_bn(32, 32))
    model = traced_network(Calls(forward, body=body, head=zoo.head(32)))
    if model.prunable:
        assert plan(model, costs_of(model), Macs(0.7), **MEASURED).allocated.sensitivity is None


def test_fewer_images_where_networks_are_large_and_none_where_they_are_huge():
    model = traced("residual")
    small = costs_of(model)
    assert images_for(model, small) == 64
    large = replace(small, macs=int(4e12 / 8 / len(model.prunable) / 10))
    assert images_for(model, large) == 10
    assert images_for(model, replace(small, macs=10**12)) == 0


def test_progress_rises_to_the_whole():
    model, seen = traced("residual"), []
    plan(
        model,
        costs_of(model),
        Macs(0.6),
        watched=Watched(progress=lambda share, _: seen.append(share)),
        **MEASURED,
    )
    assert seen == sorted(seen)
    assert seen[-1] == 1


def test_contenders_score_as_the_first_where_nothing_is_measured():
    model = traced("chain")
    for name, score in importance(model, Contenders()).items():
        assert torch.equal(score, importance(model, Rebuild())[name])


def test_the_kept_channels_of_one_group_are_exact_where_features_are_compared():
    model = traced("chain")
    group = model.prunable[0]
    cut = plan_without(model, group.name, set(range(0, group.width, 2)))
    lost = model.removed(cut)
    network = RepairedNetwork(model, (IMAGES,))
    network.repair(consumers(lost), lost)
    assert 0 < network.error(lost) < 10
