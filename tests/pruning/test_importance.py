"""Importance: every criterion against loops over filters, and the laws of a group's score."""

import math

import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from traced_zoo import source_of, traced

from edgeprune.graph.layers import filter_rows
from edgeprune.pruning.importance import CRITERIA, importance
from edgeprune.pruning.importance.norms import (
    BatchNormScale,
    GeometricMedian,
    L1Norm,
    L2Norm,
    Random,
)
from edgeprune.tracing import trace


def filters_of(conv):
    """The numbers of every filter, one list for each output channel."""
    return [conv.weight[row].flatten().tolist() for row in range(conv.out_channels)]


def l1(conv, norm):
    return [sum(abs(w) for w in filter_) for filter_ in filters_of(conv)]


def l2(conv, norm):
    return [math.sqrt(sum(w * w for w in filter_)) for filter_ in filters_of(conv)]


def bn(conv, norm):
    return [abs(scale) for scale in norm.weight.tolist()]


def geometric_median(conv, norm):
    rows = filters_of(conv)
    return [sum(math.dist(row, other) for other in rows) for row in rows]


ORACLES = {
    "l1": (L1Norm(), l1),
    "l2": (L2Norm(), l2),
    "bn": (BatchNormScale(), bn),
    "geometric-median": (GeometricMedian(), geometric_median),
}


def unit_mean(values):
    return [value / (sum(values) / len(values)) for value in values]


@pytest.mark.parametrize(("criterion", "oracle"), ORACLES.values(), ids=ORACLES)
def test_scores_of_one_producer_are_the_papers(criterion, oracle):
    network = zoo.build("chain")
    scores = importance(trace(source_of(network)), criterion)["1.0"]
    assert scores.tolist() == pytest.approx(unit_mean(oracle(network[1][0], network[1][1])))


@pytest.mark.parametrize(("criterion", "oracle"), ORACLES.values(), ids=ORACLES)
def test_every_layer_of_a_group_has_the_same_say(criterion, oracle):
    network = zoo.build("residual")
    first, norm = network[0][0], network[0][1]
    branch, branch_norm = network[1].branch[1], network[1].branch[2]
    parts = zip(unit_mean(oracle(first, norm)), unit_mean(oracle(branch, branch_norm)), strict=True)
    scores = importance(trace(source_of(network)), criterion)["0.0"]
    assert scores.tolist() == pytest.approx([sum(pair) / 2 for pair in parts])


def test_depthwise_filters_count():
    network = zoo.build("depthwise")
    before = importance(traced("depthwise"), L2Norm())["0.0"]
    with torch.no_grad():
        network[1][0].weight[3] *= 100
    after = importance(trace(source_of(network)), L2Norm())["0.0"]
    assert after.argmax() == 3
    assert after[3] > 3 * before[3]


def test_without_norms_the_bn_criterion_is_the_l2_norm():
    model = traced("no-norm")
    for name, score in importance(model, BatchNormScale()).items():
        assert torch.equal(score, importance(model, L2Norm())[name])


@pytest.mark.parametrize("criterion", CRITERIA)
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_group_has_scores_that_are_alike_in_every_block(name, criterion):
    model = traced(name)
    scores = importance(model, CRITERIA[criterion]())
    assert list(scores) == [group.name for group in model.prunable]
    for group in model.prunable:
        score = scores[group.name]
        assert score.shape == (group.width,)
        assert score.dtype == torch.float64
        assert float(score.min()) >= 0
        assert float(score.mean()) == pytest.approx(1) or criterion in ("rebuild", "auto")
        blocks = score.reshape(group.partitions, -1)
        assert torch.equal(blocks, blocks[:1].expand_as(blocks))


@pytest.mark.parametrize(("criterion", "oracle"), ORACLES.values(), ids=ORACLES)
def test_permuted_channels_have_permuted_scores(criterion, oracle):
    network, order = zoo.build("chain"), torch.randperm(32)
    before = importance(trace(source_of(network)), criterion)["1.0"]
    permuted = zoo.build("chain")
    with torch.no_grad():
        permuted[1][0].weight.copy_(network[1][0].weight[order])
        permuted[1][1].weight.copy_(network[1][1].weight[order])
    after = importance(trace(source_of(permuted)), criterion)["1.0"]
    torch.testing.assert_close(after, before[order])


@pytest.mark.parametrize("criterion", ["l1", "l2", "bn", "geometric-median"])
def test_the_scale_of_a_layer_does_not_matter(criterion):
    network = zoo.build("residual")
    before = importance(trace(source_of(network)), CRITERIA[criterion]())
    with torch.no_grad():
        network[0][0].weight *= 1000
        network[0][1].weight *= 1000
    after = importance(trace(source_of(network)), CRITERIA[criterion]())
    torch.testing.assert_close(after["0.0"], before["0.0"], rtol=1e-5, atol=0)


def test_random_scores_follow_the_seed():
    model = traced("residual")
    first, again, other = (importance(model, Random(), seed=seed) for seed in (3, 3, 4))
    for name in first:
        assert torch.equal(first[name], again[name])
        assert not torch.equal(first[name], other[name])


def test_dead_layers_score_alike_and_not_nan():
    network = zoo.build("chain")
    with torch.no_grad():
        network[1][0].weight.zero_()
    for criterion in (L1Norm(), L2Norm(), GeometricMedian()):
        assert importance(trace(source_of(network)), criterion)["1.0"].tolist() == [1.0] * 32


@settings(max_examples=25, deadline=None)
@given(
    groups=st.integers(1, 4), each_in=st.integers(1, 3), each_out=st.integers(1, 3),
    kernel=st.sampled_from([1, 2]), transposed=st.booleans(),
)  # fmt: skip
def test_filter_rows_are_what_makes_each_output(groups, each_in, each_out, kernel, transposed):
    """An output channel answers to a unit impulse with the taps of its row, and no others."""
    kind = nn.ConvTranspose2d if transposed else nn.Conv2d
    layer = kind(groups * each_in, groups * each_out, kernel, groups=groups, bias=False).double()
    rows = filter_rows(layer)
    for source in range(groups * each_in):
        impulse = torch.zeros(1, groups * each_in, 2 * kernel - 1, 2 * kernel - 1).double()
        impulse[0, source, kernel - 1, kernel - 1] = 1
        answer = layer(impulse)[0].detach()
        for made in range(groups * each_out):
            taps = rows[made].reshape(each_in, -1)[source % each_in]
            if source // each_in != made // each_out:
                taps = torch.zeros_like(taps)
            assert float(answer[made].square().sum()) == pytest.approx(float(taps.square().sum()))
