"""Surgery: what is cut is what the plan says, and nothing that was given is changed."""

import copy
import random

import pytest
import torch
import zoo
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

from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.costs import count
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.pruning import masking, plan, prune, prune_to_budget, surgery
from edgeprune.pruning.budgets import Macs
from edgeprune.pruning.surgery import failing_groups, remove_channels, trial_plan
from edgeprune.tracing import trace

NOTHING = PruningPlan((), "0" * 64, {})
IMAGES = torch.randn(2, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(3))


def sliced(layer, lost_in, lost_out):
    """A layer's weight and bias without the channels lost, cut out row by row."""
    weight, bias = layer.weight.detach(), layer.bias
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    rows = [row for row in range(len(weight)) if row not in lost_out]
    groups = getattr(layer, "groups", 1)
    width = weight.shape[1]
    result = []
    for row in rows:
        start = row // (len(weight) // groups) * width  # of the inputs that this row reads
        columns = [c for c in range(width) if groups == len(weight) or start + c not in lost_in]
        result.append(weight[row, columns])
    cut = torch.stack(result)
    if isinstance(layer, nn.ConvTranspose2d):
        cut = cut.transpose(0, 1)
    return cut, None if bias is None else bias.detach()[rows]


# --- what is cut ----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_cut_weights_are_the_originals_on_the_channels_that_stay(name, seed):
    model = traced(name)
    drawn = random_plan(model, seed)
    lost = model.removed(drawn)
    pruned = dict(remove_channels(model, drawn).named_modules())
    for layer, original in model.source.module.named_modules():
        gone_in, gone_out = lost.get((layer, "in"), set()), lost.get((layer, "out"), set())
        if isinstance(original, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            weight, bias = sliced(original, gone_in, gone_out)
            assert torch.equal(pruned[layer].weight, weight)
            assert bias is None or torch.equal(pruned[layer].bias, bias)
        elif isinstance(original, nn.BatchNorm2d):
            stay = [i for i in range(original.num_features) if i not in gone_out]
            for value in ("weight", "bias", "running_mean", "running_var"):
                assert torch.equal(getattr(pruned[layer], value), getattr(original, value)[stay])


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_surgery_equals_masking(name, seed):
    proof = prune(traced(name), random_plan(traced(name), seed)).surgery
    assert proof.max_rel_diff <= 1e-12
    assert proof.layers >= 2


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_the_trial_takes_half_of_every_prunable_group(name):
    model = traced(name)
    trial = trial_plan(model)
    assert {entry.group for entry in trial.groups} == {
        group.name for group in model.prunable if group.width > group.partitions
    }
    for entry in trial.groups:
        blocks = next(group.partitions for group in model.groups if group.name == entry.group)
        block = entry.width // blocks
        assert len(entry.kept) == blocks * ((block + 1) // 2)
        assert {i % block for i in entry.kept[: len(entry.kept) // blocks]} == {
            i % block for i in entry.kept
        }
    assert prune(model, trial).surgery.max_rel_diff <= 1e-12


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_plan_that_removes_nothing_changes_no_bit(name):
    model = traced(name)
    pruned = prune(model, NOTHING)
    assert pruned.surgery.max_rel_diff == 0
    for ours, theirs in zip(
        outputs(pruned.module, IMAGES), outputs(model.source.module, IMAGES), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_plan_replays_on_another_copy(name):
    drawn = random_plan(traced(name), 5)
    first = prune(traced(name), drawn)
    again = prune(trace(source_of(copy.deepcopy(traced(name).source.module))), drawn)
    for one, other in zip(
        outputs(first.module, IMAGES), outputs(again.module, IMAGES), strict=True
    ):
        assert torch.equal(one, other)


# --- what is left alone ---------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_surgery_leaves_the_original_alone(name):
    network = zoo.build(name)
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    model = traced_network(network)
    with unchanged(network):
        pruned = prune(model, trial_plan(model)).module
    expected = {key: value.requires_grad for key, value in network.named_parameters()}
    assert {key: value.requires_grad for key, value in pruned.named_parameters()} == expected
    assert all(value.grad is None for value in pruned.parameters())
    assert not any(part.training for part in pruned.modules())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in pruned.modules())


def test_layers_that_inference_never_runs_become_identities():
    network = Calls(
        lambda net, x: (
            (net.head(net.body(x)), net.aux(net.body(x))) if net.training
            else net.head(net.body(x))
        ),
        body=zoo.conv_bn(3, 16), head=zoo.head(16),
        aux=nn.Sequential(zoo.conv_bn(16, 8), zoo.head(8)),
    ).eval()  # fmt: skip
    expected = network(IMAGES)
    model = traced_network(network)
    whole = prune(model, NOTHING).module
    assert isinstance(whole.aux, nn.Identity)
    assert torch.equal(whole(IMAGES), expected)
    assert prune(model, trial_plan(model)).surgery.max_rel_diff <= 1e-12
    assert isinstance(network.aux, nn.Sequential)


def test_a_module_that_runs_without_its_parameters_stays():
    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            self.unread = nn.Parameter(torch.ones(3))

        def forward(self, x):
            return 2 * x

    network = nn.Sequential(zoo.conv_bn(3, 16), Doubled(), zoo.head(16)).eval()
    model = traced_network(network)
    assert torch.equal(prune(model, NOTHING).module(IMAGES), network(IMAGES))
    assert prune(model, trial_plan(model)).surgery.max_rel_diff <= 1e-12


def tied_autoencoder():
    """A convolution and the transposed one that undoes it, with one weight for both."""
    up = nn.ConvTranspose2d(24, 16, 3, padding=1, bias=False)
    down = nn.Conv2d(16, 24, 3, padding=1)
    up.weight = down.weight
    return nn.Sequential(
        zoo.conv_bn(3, 12), zoo.conv_bn(12, 16), down, nn.ReLU(), up, zoo.conv_bn(16, 20),
        zoo.head(20),
    )  # fmt: skip


def test_a_weight_of_two_layers_locks_these_alone():
    model = traced_network(tied_autoencoder())
    locked = {group.name: group.locked_because for group in model.groups if group.locked_because}
    assert {group.name for group in model.prunable} == {"0.0", "5.0"}
    assert "'2' and '4' share a parameter" in locked["2"]
    proof = prune(model, trial_plan(model))
    assert proof.surgery.max_rel_diff <= 1e-12
    assert proof.module[2].weight is proof.module[4].weight


def leaves_where(condition):
    """A network whose forward ends the process, as a script's does that is done."""

    def forward(net, x):
        if condition(x):
            raise SystemExit(0)
        return net.head(net.body(x))

    return Calls(forward, body=zoo.conv_bn(3, 16), head=zoo.head(16))


@pytest.mark.parametrize("condition", [lambda x: x.is_meta, lambda x: x.dtype == torch.float64])
def test_a_forward_that_ends_the_process_is_tried_otherwise(condition):
    model = traced_network(leaves_where(condition))
    assert {group.name for group in model.prunable} == {"body.0"}
    assert prune(model, trial_plan(model)).surgery.max_rel_diff <= 1e-5


# --- what fails -----------------------------------------------------------------------------------


def forced_open(model):
    """The network with every lock removed that is not on its outputs."""
    groups = tuple(
        group if group.locked_because is None or "output" in group.locked_because
        else group.locked(None)
        for group in model.groups
    )  # fmt: skip
    return type(model)(model.source, groups)


@pytest.mark.parametrize(("name", "group"), [("channel-shuffle", "1.0"), ("functional", "first.0")])
def test_removing_a_lock_by_force_is_detected(name, group):
    model = forced_open(traced(name))
    with pytest.raises(VerificationFailed):
        prune(model, plan_without(model, group, {0, 1, 2}))


@pytest.mark.parametrize(
    ("name", "group", "removed"),
    [("grouped", "0.0", {0}), ("grouped", "1.0", {0, 17}), ("chunk", "0.0", {1, 18})],
)
def test_different_positions_in_the_blocks_are_detected(name, group, removed):
    model = traced(name)
    with pytest.raises(VerificationFailed):
        prune(model, plan_without(model, group, removed))


@pytest.mark.parametrize("name", ["channel-shuffle", "functional"])
def test_exactly_the_bad_group_is_found(name):
    model = forced_open(traced(name))
    bad = set(failing_groups(model, trial_plan(model)))
    assert bad == {g.name for g in traced(name).groups if g.locked_because} - {
        g.name for g in model.groups if g.locked_because
    }
    good = trial_plan(model.with_locks(dict.fromkeys(bad, "found")))
    assert len(good.groups) == len(trial_plan(model).groups) - len(bad) > 0
    assert prune(model, good).surgery.max_rel_diff <= 1e-12


def test_a_bad_group_is_rolled_back_and_planned_around():
    network = Calls(
        lambda net, x: net.head(net.last(net.body(net.first(x)).softmax(1))),
        first=zoo.conv_bn(3, 48), body=zoo.conv_bn(48, 24), last=zoo.conv_bn(24, 16),
        head=zoo.head(16),
    )  # fmt: skip
    model = forced_open(trace(source_of(network)))
    costs = count(model.source.module, model.source.input)
    after, pruned, allocated = prune_to_budget(model, costs, Macs(0.3))
    assert set(pruned.surgery.rolled_back) == {"body.0"}
    assert "body.0" not in {entry.group for entry in pruned.plan.groups}
    assert pruned.plan == plan(after, costs, Macs(0.3)).plan
    assert pruned.surgery.max_rel_diff <= 1e-12
    assert allocated.on_target


def test_groups_that_fail_only_together_are_not_all_blamed(monkeypatch):
    def together(traced, plan, tolerance):
        return "too many" if len(plan.groups) == 3 else None

    monkeypatch.setattr(surgery, "_failure", together)
    trial = trial_plan(traced("chain"))
    assert len(trial.groups) == 3
    assert set(failing_groups(traced("chain"), trial)) == {e.group for e in trial.groups[1:]}


def test_a_network_that_answers_differently_every_time_has_no_group_to_blame():
    model = trace(source_of(Calls(
        lambda net, x: net.conv(x * random.random()), conv=nn.Conv2d(3, 8, 3),
    )))  # fmt: skip
    assert failing_groups(model, NOTHING) == {}
    with pytest.raises(VerificationFailed):
        prune(model, NOTHING)


def test_the_tolerance_decides(monkeypatch):
    monkeypatch.setattr(masking, "_relative_difference", lambda expected, actual: 1e-6)
    model = traced("chain")
    assert prune(model, trial_plan(model)).surgery.max_rel_diff == 1e-6
    with pytest.raises(VerificationFailed, match=r"differs .* by 1.0e-06 .*\(1e-07 is allowed\)"):
        prune(model, trial_plan(model), tolerance=1e-7)


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        (KeptChannels("9.9", 16, (0,)), "prunes '9.9', which this network does not have"),
        (KeptChannels("0.0", 32, (0,)), "expects 32 channels in '0.0', this network has 16"),
        (KeptChannels("3.2", 5, (0,)), "cannot prune '3.2': its channels are the network's output"),
        (KeptChannels("0.0", 16, ()), "keeps channels of '0.0' that do not exist"),
        (KeptChannels("0.0", 16, (0, 16)), "keeps channels of '0.0' that do not exist"),
        (KeptChannels("0.0", 16, (-1, 3)), "keeps channels of '0.0' that do not exist"),
        (KeptChannels("0.0", 16, (3, 3)), "keeps channels of '0.0' that do not exist"),
    ],
)
def test_a_plan_that_does_not_fit_is_refused(entry, words):
    with pytest.raises(UsageError, match=words):
        prune(traced("chain"), NOTHING.of((entry,)))


def test_a_plan_that_names_a_group_twice_is_refused():
    entry = KeptChannels("0.0", 16, tuple(range(12)))
    with pytest.raises(UsageError, match=r"'0\.0' twice"):
        prune(traced("chain"), NOTHING.of((entry, entry)))
