"""Analytic: what moments determine is rebuilt exactly, and the rest is what the formulas say."""

import copy

import pytest
import torch
import zoo
from doubled_channels import IMAGES, distance, doubles, give_doubles
from torch import nn
from traced_zoo import (
    Calls,
    outputs,
    plan_without,
    random_plan,
    source_of,
    traced,
    traced_network,
    unchanged,
)

from edgeprune.artifacts import PruningPlan
from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.analytic import Analytic, Statistics
from edgeprune.recovery.context import RecoveryContext
from edgeprune.tracing import trace

EXACT = Analytic(ridge=1e-10)


# --- a removed channel that has a double ----------------------------------------------------------

MIXED = {"layer-scale": {"0.0"}, "group-norm": {"0"}}
"""Groups whose channels are normalised together: what stays changes when one is gone."""

FIRST = {
    name: next(g for g in traced(name).prunable if g.name not in MIXED.get(name, ()))
    for name in zoo.NETWORKS
}


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_channel_with_a_double_is_rebuilt(name):
    network, group = zoo.build(name), FIRST[name]
    give_doubles(network, group)
    model = trace(source_of(network))
    gone = {removed for _, removed in doubles(group)}
    pruned = prune(model, plan_without(model, group.name, gone))
    rebuilt = EXACT(model, pruned)
    assert distance(rebuilt.module, network) < distance(pruned.module, network) / 15
    assert distance(rebuilt.module, network) < 0.02


def pair(*, affine=True, bias=False, behind=True, activation=nn.ReLU):
    """A convolution whose channels 4 and 7 will be alike, and one that reads it."""
    consumer = [nn.Conv2d(12, 6, 3, bias=not behind), *([nn.BatchNorm2d(6)] if behind else [])]
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3, bias=bias), nn.BatchNorm2d(12, 1e-12, affine=affine), activation(),
        *consumer, nn.ReLU(), nn.Conv2d(6, 4, 1),
    )  # fmt: skip
    return zoo.calibrated(network, IMAGES)


@torch.no_grad()
def make_multiple(network, filter_factor, output_factor):
    conv, norm = network[0], network[1]
    conv.weight[7] = filter_factor * conv.weight[4]
    norm.running_mean[7] = filter_factor * norm.running_mean[4]
    norm.running_var[7] = filter_factor**2 * (norm.running_var[4] + norm.eps) - norm.eps
    if conv.bias is not None:
        conv.bias[7] = filter_factor * conv.bias[4]
    if norm.affine:
        norm.weight[7] = output_factor * norm.weight[4]
        norm.bias[7] = output_factor * norm.bias[4]


@pytest.mark.parametrize(("filter_factor", "output_factor"), [(2.0, 1.0), (2.0, 3.0), (0.1, 0.5)])
@pytest.mark.parametrize(
    ("options", "slack"),
    [
        ({}, 1e-4),
        ({"bias": True}, 1e-4),
        ({"affine": False}, 1e-4),
        ({"behind": False}, 1e-4),
        # behind an activation no two channels are taken as quite alike
        ({"activation": nn.ReLU}, 0.02),
    ],
)
def test_a_multiple_is_rebuilt_exactly(filter_factor, output_factor, options, slack):
    torch.manual_seed(0)
    network = pair(**{"activation": nn.Identity} | options)
    if network[1].affine:
        with torch.no_grad():
            network[1].weight[::3].neg_()
    make_multiple(network, filter_factor, output_factor)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "0", {7}))
    assert distance(EXACT(model, pruned).module, network) < slack
    assert distance(pruned.module, network) > slack


# --- a removed channel that is constant -----------------------------------------------------------


@torch.no_grad()
def make_constant(norm, channels, value):
    norm.weight[channels] = 0
    norm.bias[channels] = value


@pytest.mark.parametrize("method", [Analytic(), Statistics()])
@pytest.mark.parametrize("behind", [True, False])
@pytest.mark.parametrize("value", [0.7, -0.3])
def test_a_constant_channel_is_folded_exactly(method, behind, value):
    torch.manual_seed(2)
    network = pair(behind=behind)
    make_constant(network[1], [2, 5], value)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "0", {2, 5}))
    assert distance(method(model, pruned).module, network) < 1e-5
    if value > 0:
        assert distance(pruned.module, network) > 1e-3


@pytest.mark.parametrize("behind", [True, False])
def test_a_constant_channel_behind_a_flatten_is_folded_exactly(behind):
    torch.manual_seed(3)
    last = [nn.BatchNorm1d(5)] if behind else []
    network = nn.Sequential(
        *zoo.conv_bn(3, 8), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(128, 5), *last
    )
    zoo.calibrated(network, IMAGES)
    make_constant(network[1], [3], 0.7)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "0", {3}))
    assert distance(Analytic()(model, pruned).module, network) < 1e-5


SHARED = {
    "a BatchNorm that two layers use": Calls(
        lambda net, x: net.norm(net.two(net.norm(net.one(net.first(x))).relu())),
        first=zoo.conv_bn(3, 8), one=nn.Conv2d(8, 8, 1), two=nn.Conv2d(8, 8, 1),
        norm=nn.BatchNorm2d(8),
    ),
    "a layer with a BatchNorm for each call": Calls(
        lambda net, x: net.left(net.one(net.first(x))) + net.right(net.one(net.first(x[..., 1:]))
        .repeat_interleave(2, 3)[..., :16]),
        first=zoo.conv_bn(3, 8), one=nn.Conv2d(8, 6, 1),
        left=nn.BatchNorm2d(6), right=nn.BatchNorm2d(6),
    ),
    "a layer with a BatchNorm for one of its calls": Calls(
        lambda net, x: net.one(net.first(x)) + net.norm(net.one(net.first(x))),
        first=zoo.conv_bn(3, 8), one=nn.Conv2d(8, 6, 1), norm=nn.BatchNorm2d(6),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", SHARED)
def test_what_serves_two_keeps_its_statistics_and_the_bias_takes_the_mean(kind):
    torch.manual_seed(4)
    network = zoo.calibrated(copy.deepcopy(SHARED[kind]), IMAGES)
    make_constant(network.first[1], [3], 0.7)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "first.0", {3}))
    assert distance(Analytic()(model, pruned).module, network) < 1e-5


# --- the method -----------------------------------------------------------------------------------


@pytest.mark.parametrize("method", [Analytic(), Statistics()])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_only_readers_and_the_norms_behind_them_change(name, method):
    model = traced(name)
    plan = random_plan(model, 2, most=0.7)
    pruned = prune(model, plan)
    with unchanged(pruned.module), unchanged(model.source.module):
        done = method(model, pruned)
    consumers = {layer for layer, side in model.removed(plan) if side == "in"}
    before, after = pruned.module.state_dict(), done.module.state_dict()
    for key in (key for key in before if not torch.equal(before[key], after[key])):
        layer, kind = key.rsplit(".", 1)
        allowed = ("bias",) if isinstance(method, Statistics) else ("bias", "weight")
        assert (layer in consumers and kind in allowed) or kind in ("running_mean", "running_var")
    for output in outputs(done.module, IMAGES):
        assert output.isfinite().all()


@pytest.mark.parametrize("method", [Analytic(), Statistics()])
def test_a_plan_that_removes_nothing_changes_nothing(method):
    model = traced("residual")
    pruned = prune(model, PruningPlan((), "0" * 64, {}))
    after = method(model, pruned).module.state_dict()
    assert all(torch.equal(after[key], value) for key, value in pruned.module.state_dict().items())


def test_the_order_of_channels_does_not_matter():
    network, permuted = zoo.build("chain"), zoo.build("chain")
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        permuted[1][0].weight.copy_(network[1][0].weight[order])
        for name in ("weight", "bias", "running_mean", "running_var"):
            getattr(permuted[1][1], name).copy_(getattr(network[1][1], name)[order])
        permuted[2][0].weight.copy_(network[2][0].weight[:, order])
    gone = {1, 5, 8, 30, 31}
    place = order.argsort().tolist()
    made = []
    for each, removed in ((network, gone), (permuted, {place[c] for c in gone})):
        model = trace(source_of(each))
        pruned = prune(model, plan_without(model, "1.0", removed))
        made.append(Analytic()(model, pruned).module)
    stay = sorted(set(range(32)) - gone)
    moved = [sorted(place[c] for c in stay).index(place[c]) for c in stay]
    torch.testing.assert_close(
        made[0][2][0].weight, made[1][2][0].weight[:, moved], rtol=1e-4, atol=1e-6
    )
    assert distance(made[0], made[1]) < 1e-4


def test_what_could_not_be_compensated_is_named():
    network = Calls(
        lambda net, x: net.last(net.first(x).cumsum(2)),
        first=zoo.conv_bn(3, 8), last=nn.Conv2d(8, 4, 1),
    )  # fmt: skip
    model = traced_network(zoo.calibrated(network, IMAGES))
    pruned = prune(model, plan_without(model, "first.0", {1, 2}))
    done = Analytic()(model, pruned)
    (step,) = done.recovered_by
    (note,) = step.notes
    assert (note.kind, note.values["layers"]) == ("compensated", 0)
    assert list(note.values["left_out"]) == ["last"]
    assert note.values["because"] == "what they read is unknown"
    assert torch.equal(done.module.last.weight, pruned.module.last.weight)


def test_a_network_without_batch_norm_says_so():
    model = traced("no-norm")
    passed = []
    pruned = prune(model, random_plan(model, 0, most=0.7))
    context = RecoveryContext(progress=lambda *given: passed.append(given))
    done = Analytic()(model, pruned, context)
    (step,) = done.recovered_by
    assert (step.method, step.images) == ("analytic", 0)
    assert [note.kind for note in step.notes] == ["compensated", "no-batch-norm"]
    assert passed == [(0.5, "2"), (1.0, "4.2")]
