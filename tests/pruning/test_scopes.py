"""Scopes: what a channel saves is what a network without it costs less; the best buys stay."""

import numpy as np
import pytest
import torch
import zoo
from traced_zoo import plan_without, source_of, traced

from edgeprune.costs import count
from edgeprune.pruning import Allocation, Macs, Params, Ratio, Rebuild, cost_model, plan, prune
from edgeprune.pruning.scopes import SCOPES, savings
from edgeprune.tracing import trace


def costs_of(model):
    return count(model.source.module, model.source.input)


@pytest.mark.parametrize("name", ["chain", "residual", "inverted-residual", "concat", "flatten"])
def test_savings_are_what_a_network_without_one_channel_costs_less(name):
    model = traced(name)
    original = costs_of(model)
    costs = cost_model(model, original)
    for place, group in enumerate(model.prunable):
        small = prune(model, plan_without(model, group.name, {1})).module
        left = count(small, model.source.input)
        macs, params = savings(costs, Macs(0.5))[place], savings(costs, Params(0.5))[place]
        assert macs == pytest.approx(1 - left.macs / original.macs)
        assert params == pytest.approx(1 - left.params / original.params)


def test_where_channels_are_counted_all_save_the_same():
    costs = cost_model(traced("residual"), costs_of(traced("residual")))
    assert savings(costs, Ratio(0.5)) == pytest.approx(1 / costs.full.sum())


def two_layers():
    """A layer that runs at full resolution, and one as wide behind a stride of 4."""
    blocks = zoo.conv_bn(3, 64), zoo.conv_bn(64, 64, stride=4), zoo.conv_bn(64, 64, 1)
    return trace(source_of(torch.nn.Sequential(*blocks, zoo.head(64))))


def test_of_equal_channels_those_that_save_more_go():
    model = two_layers()
    costs = cost_model(model, costs_of(model))
    alike = {group.name: torch.linspace(1, 2, group.width).double() for group in model.prunable}
    dear, cheap = savings(costs, Macs(0.7)).argmax(), savings(costs, Macs(0.7)).argmin()
    for share in (0.6, 0.8):
        even, priced = (
            SCOPES[scope](costs, alike, Macs(0.7), 10.0)(share) for scope in ("global", "marginal")
        )
        assert even[dear] == pytest.approx(even[cheap], abs=1)
        assert priced[dear] < even[dear]
        assert priced[cheap] > even[cheap]


def test_a_channel_stays_when_it_matters_as_much_more_as_it_costs_more():
    model = two_layers()
    costs = cost_model(model, costs_of(model))
    saved = savings(costs, Macs(0.5))
    scores = {
        group.name: torch.linspace(1, 2, group.width).double() * each
        for group, each in zip(model.prunable, saved, strict=True)
    }
    for share in (0.3, 0.5, 0.8):
        widths = SCOPES["marginal"](costs, scores, Macs(0.5), 10.0)(share)
        assert np.ptp(widths) <= 1


@pytest.mark.parametrize("scope", SCOPES)
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_rebuild_plans_every_network_in_every_scope(name, scope):
    model = traced(name)
    planned = plan(
        model, costs_of(model), Ratio(0.2), criterion=Rebuild(),
        allocation=Allocation(scope, unit=1),
    )  # fmt: skip
    assert planned.allocated.reached == pytest.approx(0.2, abs=0.02)
    prune(model, planned.plan)
