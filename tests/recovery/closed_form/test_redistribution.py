"""Redistribution: the consumers that stay carry the removed channels."""

import copy

import pytest
import torch
import zoo
from doubled_channels import IMAGES, distance
from torch import nn
from traced_zoo import (
    Calls,
    plan_without,
    random_plan,
    source_of,
    traced,
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


@pytest.mark.parametrize("method", ["lbyl", "nm"])
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
