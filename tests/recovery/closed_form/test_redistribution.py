"""Redistribution: the consumers that stay carry what the removed channels redistributed."""

import copy

import pytest
import torch
import zoo
from composed_filters import composed
from doubled_channels import IMAGES, distance, doubles, give_doubles
from torch import nn
from traced_zoo import (
    Calls,
    plan_without,
    random_plan,
    source_of,
    traced,
    traced_network,
    unchanged,
)

from edgeprune.artifacts import PruningPlan
from edgeprune.pruning import prune
from edgeprune.recovery import METHODS, NoRecovery, recover
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.closed_form.redistribution import recovered, redistribute
from edgeprune.recovery.context import RecoveryContext
from edgeprune.tracing import trace

EXACT = {"lbyl": Lbyl(1e-6, 1e-12), "nm": NeuronMerging()}


def any_mixing(filters, kept, removed):
    """Coefficients that mean nothing, but depend on the channel only."""
    return torch.sin(3.0 * removed[:, None] + 7.0 * kept[None, :] + 1).double() / 2


# --- the folding ----------------------------------------------------------------------------------


def filled_in(model, plan, layer, given):
    """What the original layer would read if removed channels were mixtures of kept ones."""
    module = model.source.module.get_submodule(layer)
    width = given.shape[1] // getattr(module, "groups", 1)
    groups = {group.name: group for group in model.groups}
    full = given.clone()
    for entry in plan.groups:
        for member in groups[entry.group].having("consumer"):
            if member.layer == layer:
                fill_in_one_group(full, given, member, entry, width)
    return full


def fill_in_one_group(full, given, member, entry, width):
    """A convolution group of ``width`` channels mixes only its own."""
    for r in entry.removed:
        for tap, index in enumerate(member.channels[r]):
            full[:, index] = 0
            for k in entry.kept if member.reads is not None else ():
                other = member.channels[k][tap]
                if other // width == index // width:
                    share = any_mixing(None, torch.tensor([k]), torch.tensor([r]))
                    full[:, index] += share.item() * given[:, other]


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_each_consumer_gives_what_the_original_gives_on_mixtures(name):
    model = traced(name)
    plan = random_plan(model, 11, most=0.7)
    pruned = prune(model, plan)
    redistributed = redistribute(model, pruned, any_mixing)
    lost = model.removed(plan)
    for layer in {m.layer for g in model.prunable for m in g.having("consumer")}:
        old = copy.deepcopy(model.source.module.get_submodule(layer)).double()
        new = copy.deepcopy(redistributed.module.get_submodule(layer)).double()
        width = old.in_features if isinstance(old, nn.Linear) else old.in_channels
        given = torch.randn(2, width, *(() if isinstance(old, nn.Linear) else (5, 5))).double()
        stay = [i for i in range(width) if i not in lost.get((layer, "in"), ())]
        expected = old(filled_in(model, plan, layer, given))
        rows = [o for o in range(expected.shape[1]) if o not in lost.get((layer, "out"), ())]
        torch.testing.assert_close(new(given[:, stay]), expected[:, rows], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_only_weights_of_consumers_change(name):
    model = traced(name)
    pruned = prune(model, random_plan(model, 2, most=0.7))
    redistributed = redistribute(model, pruned, any_mixing)
    consumers = {
        f"{member.layer}.weight"
        for group in model.prunable
        for member in group.having("consumer")
        if member.reads is not None
    }
    before, after = pruned.module.state_dict(), redistributed.module.state_dict()
    changed = {key for key in before if not torch.equal(before[key], after[key])}
    assert changed <= consumers
    assert changed


def test_consumers_without_a_linear_path_are_named():
    model = traced("layer-scale")
    pruned = prune(model, random_plan(model, 0, most=0.7))
    redistributed = redistribute(model, pruned, any_mixing)
    assert redistributed.left_out == ("1.expand",)
    (note,) = recovered("any", any_mixing, model, pruned).recovered_by[-1].notes
    assert note.kind == "compensated"
    assert note.values["layers"] == redistributed.layers
    assert note.values["left_out"] == ("1.expand",)
    assert note.values["because"] == "no linear path to them"


# --- a removed channel that has a double ----------------------------------------------------------


def independent(model, group):
    """Whether the channels that stay are linearly independent in what every consumer reads."""
    gone = {removed for _, removed in doubles(group)}
    stay = [channel for channel in range(group.width) if channel not in gone]
    for member in group.having("consumer"):
        filters, constants, _ = composed(model.source.module, group, member.reads)
        rows = torch.cat([filters, constants[:, None]], 1)[stay]
        if torch.linalg.matrix_rank(rows, rtol=1e-4) < len(stay):
            return False
    return True


READ = [
    (name, group.name)
    for name in zoo.NETWORKS
    for group in traced(name).prunable
    if all(member.reads is not None for member in group.having("consumer"))
]


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize(("name", "group_name"), READ)
def test_a_channel_with_a_double_is_recovered_exactly(name, group_name, method):
    network = zoo.build(name)
    group = next(g for g in traced(name).groups if g.name == group_name)
    give_doubles(network, group)
    model = trace(source_of(network))
    if method == "lbyl" and not independent(model, group):
        method = "nm"  # several combinations are equally good to a regression on weights
    gone = {removed for _, removed in doubles(group)}
    pruned = prune(model, plan_without(model, group_name, gone))
    recovered = EXACT[method](model, pruned)
    assert distance(recovered.module, network) < 1e-4
    assert distance(recovered.module, network) < distance(pruned.module, network) / 10


def test_regression_is_tried_on_every_kind_of_coupling():
    """That the law above is not empty for LBYL."""
    groups = {name: [g for n, g in READ if n == name] for name, _ in READ}
    tried = {
        name
        for name, named in groups.items()
        for group in traced(name).groups
        if group.name in named and independent(traced(name), group)
    }
    assert tried >= {
        "chain", "residual", "depthwise", "inverted-residual", "grouped", "concat",
        "squeeze-excite", "flatten", "transposed", "no-norm", "two-outputs",
    }  # fmt: skip


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize(("filter_factor", "output_factor"), [(2.0, 1.0), (2.0, 3.0), (0.1, 0.5)])
def test_a_multiple_is_recovered_exactly(method, filter_factor, output_factor):
    network = zoo.build("chain")
    conv, norm = network[1][0], network[1][1]
    with torch.no_grad():
        conv.weight[7] = filter_factor * conv.weight[4]
        norm.running_mean[7] = filter_factor * norm.running_mean[4]
        norm.running_var[7] = filter_factor**2 * (norm.running_var[4] + norm.eps) - norm.eps
        norm.weight[7] = output_factor * norm.weight[4]
        norm.bias[7] = output_factor * norm.bias[4]
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "1.0", {7}))
    assert distance(EXACT[method](model, pruned).module, network) < 1e-4


@pytest.mark.parametrize("method", EXACT)
@pytest.mark.parametrize("affine", [True, False])
def test_a_bias_before_batchnorm_and_batchnorm_without_scale(method, affine):
    network = nn.Sequential(
        nn.Conv2d(3, 12, 3), nn.BatchNorm2d(12, affine=affine), nn.ReLU(), nn.Conv2d(12, 4, 3)
    )
    zoo.calibrated(network, torch.randn(8, *zoo.INPUT_SHAPE[1:]))
    group = trace(source_of(network)).groups[0]
    give_doubles(network, group)
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, "0", {2}))
    assert distance(EXACT[method](model, pruned).module, network) < 1e-4


@pytest.mark.parametrize("method", EXACT)
def test_several_doubles_at_once_in_a_transposed_convolution(method):
    network = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.ReLU(), nn.ConvTranspose2d(8, 8, 4, 2, groups=8), nn.ReLU(),
        nn.ConvTranspose2d(8, 4, 2, 2, bias=False), nn.ReLU(), nn.Conv2d(4, 2, 1),
    )  # fmt: skip
    group = next(g for g in traced_network(network).prunable if g.name == "0")
    with torch.no_grad():
        for layer in (network[0], network[2]):
            for kept, removed in ((0, 3), (1, 6)):
                layer.weight[removed] = layer.weight[kept]
                layer.bias[removed] = layer.bias[kept]
    model = trace(source_of(network))
    pruned = prune(model, plan_without(model, group.name, {3, 6}))
    assert distance(EXACT[method](model, pruned).module, network) < 1e-4


def test_the_memory_format_does_not_matter():
    model = traced("grouped")
    plan = random_plan(model, 3, most=0.7)
    expected = Lbyl()(model, prune(model, plan)).module
    other = source_of(copy.deepcopy(model.source.module).to(memory_format=torch.channels_last))
    found = trace(other)
    assert distance(Lbyl()(found, prune(found, plan)).module, expected) < 1e-4


# --- the stage ------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["none", "nm", "lbyl", "statistics", "analytic"])
@pytest.mark.parametrize("name", ["residual", "grouped", "layer-scale", "two-outputs"])
def test_recovery_changes_nothing_that_it_is_given(name, method):
    model = traced(name)
    pruned = prune(model, random_plan(model, 4, most=0.7))
    pruned.module.requires_grad_(False)
    with unchanged(model.source.module), unchanged(pruned.module):
        recovered = recover(model, pruned, [METHODS[method]()])
    assert recovered.plan == pruned.plan
    assert recovered.surgery == pruned.surgery
    assert not any(value.requires_grad for value in recovered.module.parameters())
    for value in recovered.module.state_dict().values():
        assert value.isfinite().all()


@pytest.mark.parametrize("method", ["nm", "lbyl", "statistics", "analytic"])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_closed_forms_give_nothing_where_nothing_was_lost(name, method):
    model = traced(name)
    pruned = prune(model, PruningPlan((), "0" * 64, {}))
    after = METHODS[method]()(model, pruned).module.state_dict()
    for key, value in pruned.module.state_dict().items():
        assert torch.equal(after[key], value)


@pytest.mark.parametrize("method", METHODS)
def test_where_nothing_was_pruned_nothing_is_recovered(method):
    model = traced("chain")
    pruned = prune(model, PruningPlan((), "0" * 64, {}))
    assert recover(model, pruned, [METHODS[method]()]) is pruned


def test_methods_run_in_order_and_are_recorded():
    model = traced("chain")
    pruned = prune(model, random_plan(model, 1, most=0.7))
    assert recover(model, pruned, []) is pruned
    assert recover(model, pruned, [NoRecovery()]) is pruned
    both = recover(model, pruned, [NeuronMerging(), Lbyl()])
    assert [step.method for step in both.recovered_by] == ["nm", "lbyl"]
    assert all(step.images == 0 and step.seconds > 0 for step in both.recovered_by)
    (note,) = both.recovered_by[0].notes
    assert (note.values["layers"], note.values["left_out"]) == (len(pruned.plan.groups), ())


def test_progress_ends_with_the_whole():
    model, passed = traced("residual"), []
    context = RecoveryContext(progress=lambda *given: passed.append(given))
    Lbyl()(model, prune(model, random_plan(model, 1, most=0.7)), context)
    shares = [share for share, _ in passed]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("method", EXACT)
def test_the_order_of_channels_does_not_matter(method):
    network, order = zoo.build("chain"), torch.randperm(32)
    permuted = zoo.build("chain")
    with torch.no_grad():
        permuted[1][0].weight.copy_(network[1][0].weight[order])
        for name in ("weight", "bias", "running_mean", "running_var"):
            value = getattr(network[1][1], name)
            getattr(permuted[1][1], name).copy_(value[order])
        permuted[2][0].weight.copy_(network[2][0].weight[:, order])
    gone = {1, 5, 8, 30, 31}
    place = order.argsort().tolist()
    results = []
    for each, removed in ((network, gone), (permuted, {place[c] for c in gone})):
        model = trace(source_of(each))
        results.append(METHODS[method]()(model, prune(model, plan_without(model, "1.0", removed))))
    assert distance(results[0].module, results[1].module) < 1e-4


def test_two_pruned_parts_of_a_concatenation_keep_apart():
    """Each part's channels are carried by channels of the same part only."""
    network = Calls(
        lambda net, x: net.last(torch.cat([net.left(x), net.right(x)], 1)),
        left=zoo.conv_bn(3, 8), right=zoo.conv_bn(3, 8), last=nn.Conv2d(16, 4, 1, bias=False),
    )  # fmt: skip
    zoo.calibrated(network, IMAGES)
    model = trace(source_of(network))
    plan = PruningPlan(
        plan_without(model, "left.0", {0}).groups + plan_without(model, "right.0", {7}).groups,
        "0" * 64, {},
    )  # fmt: skip
    pruned = prune(model, plan)
    with torch.no_grad():
        network.last.weight[:, 0] = 0  # what the left part lost is not read
    silent = trace(source_of(network))
    change = Lbyl()(silent, pruned).module.last.weight - pruned.module.last.weight
    assert change[:, :7].abs().max() == 0
    assert change[:, 7:].abs().max() > 0
