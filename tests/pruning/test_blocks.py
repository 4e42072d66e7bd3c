"""Widths in the blocks of channels that kernels compute at once, unless the budget is missed."""

import pytest
from torch import nn
from traced_zoo import source_of

import edgeprune as ep
from edgeprune.costs import count
from edgeprune.errors import BudgetUnreachable, UsageError
from edgeprune.pruning import Allocation, L2Norm, Macs, plan
from edgeprune.tracing import trace


def allocated(widths, share, **options):
    """Widths that a chain of 1×1 convolutions is left with, and what that reaches."""
    layers = [nn.Conv2d(a, b, 1) for a, b in zip((3, *widths), (*widths, 4), strict=True)]
    model = trace(source_of(nn.Sequential(*layers)))
    costs = count(model.source.module, model.source.input)
    allocation = Allocation(**options)
    found = plan(model, costs, Macs(share), criterion=L2Norm(), allocation=allocation).allocated
    kept = {entry.group: len(entry.kept) for entry in found.groups}
    return [kept.get(group.name, group.width) for group in model.prunable], found


@pytest.mark.parametrize("share", [0.4, 0.5, 0.6, 0.8])
def test_widths_are_whole_blocks_and_the_budget_is_met(share):
    widths, found = allocated((64, 96, 128, 96, 160, 128, 24), share, block=16)
    assert all(width % 16 == 0 for width in widths[:-1])
    assert widths[-1] in (16, 24)
    assert found.on_target


def test_no_blocks_where_whole_ones_miss_the_budget():
    """One group of 32 channels: 24 of them are three quarters of its MACs, blocks of 16 half."""
    widths, found = allocated((32,), 0.75, block=16)
    assert widths == [24]
    assert found.on_target


def test_no_blocks_where_whole_ones_are_out_of_reach():
    widths, found = allocated((32,), 0.25, block=16)
    assert widths == [8]
    assert found.on_target
    with pytest.raises(BudgetUnreachable):
        allocated((32,), 0.1, block=16)


def test_narrow_groups_take_half_a_block_before_wide_ones_do():
    widths, found = allocated((16, 16, 16, 64), 0.3, block=16)
    assert 8 in widths[:3]
    assert all(width % 16 == 0 for width in widths[3:])
    assert found.on_target


def test_a_unit_is_taken_as_it_is():
    widths, found = allocated((32,), 0.375, block=16, unit=4)
    assert widths == [12]
    assert found.on_target


def test_no_block_is_refused():
    with pytest.raises(UsageError, match="block=-1"):
        Allocation(block=-1)


@pytest.mark.parametrize(("precision", "block"), [("fp32", 0), ("int8", 16), ("auto", 16)])
def test_a_run_that_may_deliver_8_bits_plans_in_blocks_of_16(precision, block):
    assert ep.CompressConfig(precision=precision).choosing["allocation"].block == block


def test_a_larger_block_that_was_asked_for_stays():
    config = ep.CompressConfig(precision="int8", allocation=Allocation(block=32))
    assert config.choosing["allocation"].block == 32
