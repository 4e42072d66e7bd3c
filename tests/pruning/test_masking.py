"""The oracle: it passes right surgery and catches every wrong one."""

import copy

import pytest
import torch
import zoo
from torch import nn
from traced_zoo import Calls, random_plan, source_of, traced, traced_network, unchanged

from edgeprune.errors import VerificationFailed
from edgeprune.pruning import prune
from edgeprune.pruning.masking import compare_with_masked
from edgeprune.pruning.surgery import remove_channels, trial_plan

LAYERS = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.BatchNorm2d, nn.GroupNorm, nn.LayerNorm)


def proof_of(model, plan, module, tolerance=1e-5):
    return compare_with_masked(model, plan, module, tolerance=tolerance)


def cut(name):
    model = traced(name)
    plan = trial_plan(model)
    return model, plan, remove_channels(model, plan)


@torch.no_grad()
def spoil(layer):
    """Change one filter and its bias by a hundredth."""
    rows = layer.weight.transpose(0, 1) if isinstance(layer, nn.ConvTranspose2d) else layer.weight
    rows[0] *= 1.01
    if layer.bias is not None:
        layer.bias[0] *= 1.01


# --- wrong surgery is caught ----------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_one_wrong_filter_in_any_layer_is_detected(name):
    model, plan, module = cut(name)
    for layer in [part for part in module.modules() if isinstance(part, LAYERS)]:
        before = copy.deepcopy(layer.state_dict())
        spoil(layer)
        with pytest.raises(VerificationFailed, match="differs from the masked original"):
            proof_of(model, plan, module)
        layer.load_state_dict(before)
    assert proof_of(model, plan, module).max_rel_diff <= 1e-12


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_two_swapped_channels_are_detected(name):
    model, plan, module = cut(name)
    producer = next(part for part in module.modules() if isinstance(part, nn.Conv2d))
    with torch.no_grad():
        producer.weight[[0, 1]] = producer.weight[[1, 0]]
    with pytest.raises(VerificationFailed):
        proof_of(model, plan, module)


@pytest.mark.parametrize("name", ["chain", "residual", "grouped"])
def test_other_channels_than_planned_are_detected(name):
    model, plan, _ = cut(name)
    other = random_plan(model, 7)
    with pytest.raises(VerificationFailed):
        proof_of(model, plan, remove_channels(model, other))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("layer", ["0.0", "1.1", "3.2"])
def test_what_is_not_finite_is_detected(layer, value):
    model, plan, module = cut("chain")
    with torch.no_grad():
        module.get_submodule(layer).weight.view(-1)[-1] = value
    with pytest.raises(VerificationFailed):
        proof_of(model, plan, module)


def test_a_network_that_does_not_run_is_detected():
    model, plan, module = cut("chain")
    module[1] = nn.Identity()
    with pytest.raises(VerificationFailed, match="the pruned network does not run: "):
        proof_of(model, plan, module)


def test_a_layer_that_no_longer_runs_is_detected():
    model, plan, module = cut("chain")
    module[1][1] = nn.Identity()
    with pytest.raises(VerificationFailed, match=r"'1.1' differs .* by inf"):
        proof_of(model, plan, module)


def test_a_tiny_error_deep_in_a_quiet_network_is_detected():
    """Activations that fade must not pass as equal because they are all nearly zero."""
    network = zoo.build("chain")
    with torch.no_grad():
        for norm in (part for part in network.modules() if isinstance(part, nn.BatchNorm2d)):
            norm.weight.mul_(1e-4)
            norm.bias.mul_(1e-4)
    model = traced_network(network)
    plan = trial_plan(model)
    module = remove_channels(model, plan)
    assert proof_of(model, plan, module).max_rel_diff <= 1e-12
    spoil(module[2][0])
    with pytest.raises(VerificationFailed, match=r"'2\.0'"):
        proof_of(model, plan, module)


# --- right surgery passes -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "exempt"),
    [("layer-scale", ("1.norm",)), ("group-norm", ("1",)), ("chain", ()), ("residual", ())],
)
def test_norms_over_channels_are_proved_by_type_and_listed(name, exempt):
    proof = prune(traced(name), trial_plan(traced(name))).surgery
    assert proof.exempt == exempt
    assert proof.max_rel_diff <= 1e-12


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("seed", range(3))
def test_layer_norm_masked_is_layer_norm_of_what_stays(affine, seed):
    """Against layers built small by hand, not through surgery."""
    network = Calls(
        lambda net, x: net.last(net.norm(net.first(x).flatten(2).mean(2))),
        first=nn.Conv2d(3, 12, 3), norm=nn.LayerNorm(12, elementwise_affine=affine),
        last=nn.Linear(12, 4),
    )  # fmt: skip
    if affine:
        nn.init.normal_(network.norm.weight)
        nn.init.normal_(network.norm.bias)
    model = traced_network(network)
    plan = random_plan(model, seed, most=0.8)
    kept = list(plan.groups[0].kept)
    small = Calls(
        network.function, first=nn.Conv2d(3, len(kept), 3),
        norm=nn.LayerNorm(len(kept), elementwise_affine=affine), last=nn.Linear(len(kept), 4),
    )  # fmt: skip
    with torch.no_grad():
        small.first.weight.copy_(network.first.weight[kept])
        small.first.bias.copy_(network.first.bias[kept])
        small.last.weight.copy_(network.last.weight[:, kept])
        small.last.bias.copy_(network.last.bias)
        if affine:
            small.norm.weight.copy_(network.norm.weight[kept])
            small.norm.bias.copy_(network.norm.bias[kept])
    assert proof_of(model, plan, small).max_rel_diff <= 1e-12


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_the_proof_changes_neither_network(name):
    model, plan, module = cut(name)
    with unchanged(model.source.module), unchanged(module):
        proof_of(model, plan, module)
    for part in (*module.modules(), *model.source.module.modules()):
        assert not part._forward_hooks
        assert not part._forward_pre_hooks


def test_a_forward_that_insists_on_single_precision_is_proved_in_it():
    def insist(net, x):
        assert x.dtype == torch.float32
        return net.head(net.body(x))

    model = traced_network(Calls(insist, body=zoo.conv_bn(3, 16), head=zoo.head(16)))
    assert model.prunable
    proof = prune(model, trial_plan(model)).surgery
    assert proof.max_rel_diff <= 1e-5
    assert proof.dtype == "float32"
    usual = traced("chain")
    assert prune(usual, trial_plan(usual)).surgery.dtype == "float64"


def test_a_silent_layer_is_equal_only_to_a_silent_layer():
    network = nn.Sequential(zoo.conv_bn(3, 8), nn.Conv2d(8, 4, 1))
    with torch.no_grad():
        network[1].weight.zero_()
        network[1].bias.zero_()
    model = traced_network(network)
    plan = trial_plan(model)
    module = remove_channels(model, plan)
    assert proof_of(model, plan, module).max_rel_diff <= 1e-12
    with torch.no_grad():
        module[1].bias[0] = 1e-30
    with pytest.raises(VerificationFailed, match="by inf"):
        proof_of(model, plan, module)


def test_every_call_of_a_layer_is_compared():
    model = traced("shared")
    plan = trial_plan(model)
    proof_of(model, plan, remove_channels(model, plan))
    once = Calls(lambda net, x: net.head(net.body(x)), body=zoo.conv_bn(3, 8), head=zoo.head(8))
    single = traced_network(once)
    twice = Calls(
        lambda net, x: net.head(net.body(x) + 0 * net.body(x)), body=once.body, head=once.head
    )
    with pytest.raises(VerificationFailed, match="by inf"):
        proof_of(single, trial_plan(single).of(()), source_of(twice).module)
