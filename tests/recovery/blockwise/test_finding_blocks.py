"""Blocks: every step in one of them, and no end inside of a residual branch."""

import pytest
import torch
import zoo
from torch import nn
from traced_zoo import plan_without, random_plan, traced, traced_network

from edgeprune.artifacts import PruningPlan
from edgeprune.program.form import LayerCall
from edgeprune.pruning import prune
from edgeprune.recovery.blockwise.paired_blocks import PairedBlocks

CPU = torch.device("cpu")
SAME_STEPS = sorted(set(zoo.NETWORKS) - {"channel-shuffle"})


def pairs(name, convolutions=1, seed=6):
    model = traced(name)
    return PairedBlocks(model, prune(model, random_plan(model, seed, most=0.8)), convolutions, CPU)


def layers(network, *, convolutions):
    """The layers of each block, by dotted name."""
    model = traced_network(network)
    paired = PairedBlocks(model, prune(model, PruningPlan((), "0" * 64, {})), convolutions, CPU)
    return [block.layers for block in paired.blocks]


@pytest.mark.parametrize("convolutions", [1, 2, 4, 100])
@pytest.mark.parametrize("name", SAME_STEPS)
def test_blocks_have_every_step_once_and_pass_on_what_is_read(name, convolutions):
    paired = pairs(name, convolutions)
    steps = paired.student.program.steps
    bounds = [(block.steps.start, block.steps.stop) for block in paired.blocks]
    assert [place for bound in bounds for place in range(*bound)] == list(range(len(steps)))
    known = set(range(paired.student.program.inputs))
    for block in paired.blocks:
        assert block.reads <= known
        known |= set(block.gives)


def test_a_residual_block_is_not_divided():
    network = nn.Sequential(
        *zoo.conv_bn(3, 8),
        zoo.Sum(nn.Sequential(*zoo.conv_bn(8, 8), nn.Conv2d(8, 8, 1))),
        zoo.Sum(nn.Sequential(*zoo.conv_bn(8, 8), nn.Conv2d(8, 8, 1)), nn.Conv2d(8, 8, 1)),
        zoo.head(8),
    )  # fmt: skip
    found = layers(network, convolutions=1)
    assert [[each for each in block if each[0] in "0345"] for block in found] == [
        ["0"],
        ["3.branch.0", "3.branch.1", "3.branch.2", "3.branch.3", "3.shortcut"],
        ["4.branch.0", "4.branch.1", "4.branch.2", "4.branch.3", "4.shortcut"],
        ["5.0", "5.1", "5.2"],
    ]


def test_a_block_of_separable_convolutions_has_two_pointwise_ones():
    kinds = [{"kernel": 3, "groups": 8}, {"kernel": 1}] * 4
    network = nn.Sequential(zoo.conv_bn(3, 8), *(zoo.conv_bn(8, 8, **kind) for kind in kinds))
    found = layers(network, convolutions=2)
    assert [sum(each.endswith(".0") for each in block) for block in found] == [3, 4, 2]


def test_what_travels_far_does_not_hold_blocks_together():
    class Pyramid(nn.Module):
        def __init__(self):
            super().__init__()
            self.early = zoo.conv_bn(3, 8)
            self.late = nn.ModuleList(zoo.conv_bn(8, 8) for _ in range(9))
            self.out = nn.Conv2d(16, 4, 1)

        def forward(self, x):
            early = late = self.early(x)
            for each in self.late:
                late = each(late)
            return self.out(torch.cat([early, late], 1))

    assert len(layers(Pyramid(), convolutions=2)) == 6


def test_a_network_ends_with_its_outputs():
    for name in SAME_STEPS:
        paired = pairs(name)
        part = paired.blocks[-1]
        assert part.steps.stop == len(paired.student.program.steps)
        assert part.gives


@pytest.mark.parametrize("name", ["chain", "residual", "inverted-residual", "depthwise", "concat"])
def test_what_a_block_should_give_is_what_the_original_has_in_the_channels_that_stay(name):
    """Only one group is cut, and nothing reads it within the block: both must agree exactly."""
    model = traced(name)
    group = model.prunable[-1]
    pruned = prune(model, plan_without(model, group.name, {0, 2}))
    paired = PairedBlocks(model, pruned, 1, CPU)
    images = torch.randn(6, *zoo.INPUT_SHAPE[1:])
    paired.show([(images,)])
    first_reader = min(
        place
        for place, step in enumerate(paired.student.program.steps)
        if isinstance(step, LayerCall)
        and step.layer in {member.layer for member in group.having("consumer")}
    )
    compared = 0
    for block in paired.blocks:
        (chunk,) = paired.lead(block)
        if block.steps.stop > first_reader:
            break
        found = paired.student.run_part(block.steps, chunk.given, chunk.inputs)
        for value, wanted in chunk.wanted.items():
            torch.testing.assert_close(found[value], wanted, rtol=1e-4, atol=1e-5)
            compared += 1
        paired.follow(block)
    assert compared


def test_channels_that_were_shuffled_are_not_compared_in_the_wrong_order():
    class Shuffled(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.two, self.head = zoo.conv_bn(3, 8), zoo.conv_bn(8, 8), zoo.head(8)

        def forward(self, x):
            x = self.one(x)
            n, c, h, w = x.shape
            x = x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)
            return self.head(self.two(x))

    model = traced_network(zoo.calibrated(Shuffled(), torch.randn(8, *zoo.INPUT_SHAPE[1:])))
    paired = PairedBlocks(model, prune(model, plan_without(model, "one.0", {0, 4})), 1, CPU)
    shuffled = [
        value
        for step in paired.student.program.steps
        if not isinstance(step, LayerCall)
        for value in step.makes
    ]
    assert not any(value in paired.kept for value in shuffled)
