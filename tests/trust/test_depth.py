"""Depth alone changes nothing: several hundred layers go through as a few do."""

import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from traced_zoo import source_of

from edgeprune import costs
from edgeprune.artifacts import Sum
from edgeprune.pruning import Macs, lock_failing, prune_to_budget
from edgeprune.recovery import recover
from edgeprune.recovery.block_ends import block_ends
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.tracing import trace

BLOCKS = 200
WIDTH = 4
SHAPE = (1, 3, 6, 6)


class Block(nn.Module):
    """Two convolutions and a shortcut around them."""

    def __init__(self):
        super().__init__()
        self.inner = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)
        self.outer = nn.Conv2d(WIDTH, WIDTH, 3, padding=1)

    def forward(self, x):
        return F.relu(x + self.outer(F.relu(self.inner(x))))


@pytest.fixture(scope="module")
def deep():
    """A traced residual network of 400 convolutions and a head."""
    torch.manual_seed(0)
    stem, head = nn.Conv2d(3, WIDTH, 3, padding=1), nn.Conv2d(WIDTH, 2, 1)
    network = nn.Sequential(stem, *(Block() for _ in range(BLOCKS)), head).eval()
    return lock_failing(trace(source_of(network, SHAPE)))


def terms(path):
    """The layers that a path's sums add, innermost first; by a stack of the test's own."""
    found = []
    while isinstance(path, Sum):
        before, last = path.terms
        found.append(last.layer)
        path = before
    return [path.layer, *found[::-1]]


def test_every_block_is_a_group_and_the_stream_is_one(deep):
    assert sys.getrecursionlimit() < 2 * BLOCKS * 3
    inner = {f"{block}.inner" for block in range(1, BLOCKS + 1)}
    assert {group.name for group in deep.groups} == inner | {"0", str(BLOCKS + 1)}
    stream = next(group for group in deep.groups if group.name == "0")
    outer = {f"{block}.outer" for block in range(1, BLOCKS + 1)}
    assert {member.layer for member in stream.having("producer")} == outer | {"0"}
    assert {member.layer for member in stream.having("consumer")} == inner | {str(BLOCKS + 1)}


def test_the_last_layer_reads_the_sum_of_all_blocks(deep):
    stream = next(group for group in deep.groups if group.name == "0")
    reads = {member.layer: member.reads for member in stream.having("consumer")}
    for block in (1, 2, BLOCKS + 1):
        before = [f"{each}.outer" for each in range(1, block)]
        layer = str(block) if block > BLOCKS else f"{block}.inner"
        assert terms(reads[layer]) == ["0", *before]


@pytest.fixture(scope="module")
def halved(deep):
    """The network at half of its MACs."""
    counted = costs.count(deep.source.module, deep.source.input, deep.record)
    _, pruned, allocated = prune_to_budget(deep, counted, Macs(0.5))
    assert allocated.on_target
    return pruned


def test_all_but_the_output_is_cut_and_proved(deep, halved):
    assert {g.name for g in deep.groups} - {g.name for g in deep.prunable} == {str(BLOCKS + 1)}
    assert halved.surgery.max_rel_diff < 1e-9
    assert halved.surgery.layers == 2 * BLOCKS + 3


@pytest.mark.parametrize("method", [Analytic(), Lbyl(), NeuronMerging()], ids=repr)
def test_closed_forms_recover_it(deep, halved, method):
    recovered = recover(deep, halved, [method])
    assert recovered.module(torch.randn(SHAPE)).isfinite().all()


def test_the_ends_of_its_blocks_are_found(deep, halved):
    ends = {end.layer for end in block_ends(deep, halved, normed=False)}
    assert {f"{block}.outer" for block in range(1, BLOCKS + 1)} <= ends
