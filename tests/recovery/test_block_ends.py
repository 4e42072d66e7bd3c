"""Block ends: where features are compared, read off the graph of any network."""

import copy
from pathlib import Path

import pytest
import torch
import zoo
from torch import nn
from traced_zoo import outputs, plan_without, random_plan, traced, traced_network, unchanged

from edgeprune.artifacts import PruningPlan
from edgeprune.graph import recording
from edgeprune.pruning import prune
from edgeprune.recovery import block_ends as block_ends_file
from edgeprune.recovery.block_ends import block_ends
from edgeprune.recovery.training.task import FeatureRecorder

IMAGES = torch.randn(4, 3, 16, 16, generator=torch.Generator().manual_seed(1))
WHOLE = PruningPlan((), "0" * 64, {})
EITHER = pytest.mark.parametrize("normed", [True, False])


def norms_of(module):
    """BatchNorms, in the order of execution."""
    seen = []
    hooks = [
        part.register_forward_hook(lambda *_, name=name: seen.append(name))
        for name, part in module.named_modules()
        if isinstance(part, nn.BatchNorm2d)
    ]
    outputs(module, IMAGES)
    for hook in hooks:
        hook.remove()
    return seen


def inner_and_stream(network):
    """A residual network's channels inside of its blocks, and those that are added."""
    added = {"residual": {"0.0", "2.branch.1"}, "inverted-residual": {"0.0"}}[network]
    names = [group.name for group in traced(network).prunable]
    assert added <= set(names)
    return [name for name in names if name not in added], sorted(added)


def cut_by(model, names, share=2):
    entries = []
    for group in (g for g in model.prunable if g.name in names):
        gone = {index for index in range(group.width) if index % share == 0}
        entries += plan_without(model, group.name, gone).groups
    return prune(model, PruningPlan(tuple(entries), "0" * 64, {}))


@EITHER
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_both_networks_have_the_same_channels_at_every_end(name, normed):
    model = traced(name)
    pruned = prune(model, random_plan(model, 6, most=0.8))
    with unchanged(model.source.module), unchanged(pruned.module):
        ends = block_ends(model, pruned, normed=normed)
    teacher = FeatureRecorder(copy.deepcopy(model.source.module), ends, only_kept=True)
    student = FeatureRecorder(copy.deepcopy(pruned.module), ends, only_kept=False)
    pairs = zip(teacher([IMAGES]).features, student([IMAGES]).features, strict=True)
    assert all(wanted.shape == given.shape for wanted, given in pairs)


@EITHER
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_ends_come_in_the_order_of_execution(name, normed):
    model = traced(name)
    ends = block_ends(model, prune(model, random_plan(model, 6, most=0.8)), normed=normed)
    record = recording.trace_operators(model.source.module, [zoo.INPUT_SHAPE])
    order = list(dict.fromkeys(operation.layer for operation in record.operations))
    places = [order.index(end.layer) for end in ends]
    assert places == sorted(places)
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_where_nothing_was_removed_all_batch_norms_are_ends(name):
    model = traced(name)
    ends = block_ends(model, prune(model, WHOLE), normed=True)
    assert [end.layer for end in ends] == norms_of(model.source.module)
    assert all(end.kept is None for end in ends)


@EITHER
@pytest.mark.parametrize("name", ["residual", "inverted-residual", "chain", "grouped", "concat"])
def test_kept_channels_are_those_of_the_plan(name, normed):
    model = traced(name)
    plan = random_plan(model, 6, most=0.8)
    by_name = {entry.group: entry.kept for entry in plan.groups}
    expected = {}
    for group in model.prunable:
        for member in group.having("producer", "norm", "depthwise"):
            if group.name in by_name and all(len(each) == 1 for each in member.channels):
                kept = [member.channels[place][0] for place in by_name[group.name]]
                expected.setdefault(member.layer, []).extend(kept)
    for end in block_ends(model, prune(model, plan), normed=normed):
        if end.layer in expected:
            assert end.kept.tolist() == sorted(expected[end.layer])
        else:
            assert end.kept is None


@EITHER
@pytest.mark.parametrize("which", ["inner", "stream"])
@pytest.mark.parametrize("name", ["residual", "inverted-residual"])
def test_summands_of_a_residual_stream_are_ends(name, which, normed):
    inner, stream = inner_and_stream(name)
    model = traced(name)
    cut = inner if which == "inner" else stream
    ends = {e.layer: e.kept for e in block_ends(model, cut_by(model, cut), normed=normed)}
    summands = {"residual": ["0.1", "1.branch.2", "2.branch.2"],
                "inverted-residual": ["0.1", "1.branch.3"]}[name]  # fmt: skip
    if name == "residual" and not normed:
        summands = [*summands, "2.shortcut"]  # no BatchNorm behind it: for real images alone
    assert set(summands) <= set(ends)
    for layer in summands:
        assert (ends[layer] is None) == (which == "inner")
    # Inside of a block the pruned network is free, once it has lost something there.
    inside = {"residual": "1.branch.0.1", "inverted-residual": "1.branch.0.1"}[name]
    assert (inside in ends) == (which == "stream")


def test_a_chain_with_everything_cut_keeps_the_last_at_each_resolution():
    layers = [zoo.conv_bn(3, 8), zoo.conv_bn(8, 8), zoo.conv_bn(8, 8, stride=2)]
    layers += [zoo.conv_bn(8, 8), zoo.conv_bn(8, 8, stride=2), zoo.head(8)]
    model = traced_network(nn.Sequential(*layers))
    pruned = cut_by(model, [group.name for group in model.prunable])
    assert [e.layer for e in block_ends(model, pruned, normed=True)] == ["1.1", "3.1", "4.1"]
    assert [e.layer for e in block_ends(model, pruned, normed=False)][:3] == ["1.1", "3.1", "4.1"]


def test_layers_in_front_of_a_batch_norm_and_other_norms_are_known_by_kind():
    network = nn.Sequential(
        nn.Conv2d(3, 16, 3, padding=1), nn.GroupNorm(4, 16), nn.ReLU(),
        zoo.Sum(nn.Sequential(zoo.conv_bn(16, 24), nn.Conv2d(24, 16, 3, padding=1),
                              nn.GroupNorm(4, 16))),
        zoo.head(16),
    )  # fmt: skip
    model = traced_network(network)
    pruned = cut_by(model, ["3.branch.0.0"])
    synthetic = [end.layer for end in block_ends(model, pruned, normed=True)]
    real = [end.layer for end in block_ends(model, pruned, normed=False)]
    assert synthetic == ["3.branch.0.1"]  # the last that BatchNorm brings to its level
    assert "3.branch.1" not in synthetic
    assert real[-1] == "4.2"


def test_without_batch_norm_no_synthetic_images_can_be_compared():
    model = traced("no-norm")
    pruned = prune(model, random_plan(model, 6, most=0.8))
    assert block_ends(model, pruned, normed=True) == ()
    assert [end.layer for end in block_ends(model, pruned, normed=False)][-1] == "4.2"


def test_no_architecture_is_known_by_name():
    source = Path(block_ends_file.__file__).read_text(encoding="utf-8").lower()
    names = ("resnet", "mobilenet", "vgg", "densenet", "efficientnet", "convnext", "yolo")
    assert not [name for name in names if name in source]
