"""Coverage: what can shrink, against the price of widths, a count by hand, and surgery itself."""

import numpy as np
import pytest
import torch
import zoo
from torch import nn
from traced_zoo import plan_without, traced, traced_network

from edgeprune.costs import count
from edgeprune.pruning import cost_model, prune
from edgeprune.report import sentences
from edgeprune.report.coverage import coverage
from edgeprune.report.document import Coverage


def covered(model):
    return coverage(model, count(model.source.module, model.source.input, model.record))


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_what_goes_is_what_widths_cost(name):
    model = traced(name)
    found = covered(model)
    prices = cost_model(model, count(model.source.module, model.source.input, model.record))
    whole, nothing = prices.original("macs"), np.zeros(len(prices.groups))
    assert found.prunable_macs_share == pytest.approx(1 - prices.at("macs", nothing) / whole)
    for place, (group, shrinking) in enumerate(zip(prices.groups, found.groups, strict=True)):
        widths = prices.full
        widths[place] = 0
        assert (shrinking.name, shrinking.width) == (group.name, group.width)
        assert shrinking.macs_share == pytest.approx(1 - prices.at("macs", widths) / whole)


def test_a_locked_stream_is_told_though_all_macs_can_shrink():
    """Counted by hand: 16 x 16 pixels, a stream of 8 channels, branches of 4."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.into, self.out = nn.Conv2d(8, 4, 1, bias=False), nn.Conv2d(4, 8, 1, bias=False)

        def forward(self, x):
            return x + self.out(self.into(x).relu()).softmax(1)

    model = traced_network(nn.Sequential(nn.Conv2d(3, 8, 1, bias=False), Block(), Block()))
    found = covered(model)
    stem, layer = 3 * 8, 4 * 8
    whole = stem + 4 * layer
    assert {group.name for group in found.groups} == {"1.into", "2.into"}
    assert [group.macs_share for group in found.groups] == pytest.approx([2 * layer / whole] * 2)
    assert found.prunable_macs_share == pytest.approx(4 * layer / whole)
    assert found.fixed_width_macs_share == pytest.approx((stem + 2 * layer) / whole)
    assert sentences.coverage(found) == (
        "84.2% of the MACs can shrink, 57.9% keep their output channels; 3 groups locked"
    )


def test_what_is_said_to_go_goes():
    """A group that each layer meets on one side shrinks in proportion."""
    model = traced("chain")
    before = count(model.source.module, model.source.input).macs
    for group in covered(model).groups:
        plan = plan_without(model, group.name, set(range(group.width // 2)))
        after = count(prune(model, plan).module, model.source.input).macs
        assert 1 - after / before == pytest.approx(group.macs_share / 2)


def test_a_concatenation_goes_in_part():
    """Of what a layer reads, only what belongs to a group that is not locked."""

    def forward_cat(net, x):
        return net[2](torch.cat([net[0](x).softmax(1), net[1](x)], 1))

    class Net(nn.ModuleList):
        forward = forward_cat

    model = traced_network(Net([nn.Conv2d(3, 6, 1), nn.Conv2d(3, 2, 1), nn.Conv2d(8, 4, 1)]))
    found = covered(model)
    assert {group.name for group in found.groups} == {"1"}
    assert found.prunable_macs_share == pytest.approx((3 * 2 + 2 * 4) / (3 * 6 + 3 * 2 + 8 * 4))


def test_reports_that_are_older_say_less():
    assert sentences.coverage(Coverage(1.0, ())) == "100.0% of the MACs can shrink; 0 groups locked"
