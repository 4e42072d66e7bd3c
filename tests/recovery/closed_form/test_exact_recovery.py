"""A removed channel that has a double, or is a multiple of a kept one, is recovered exactly."""

import pytest
import torch
import zoo
from composed_filters import composed
from doubled_channels import distance, doubles, give_doubles
from torch import nn
from traced_zoo import plan_without, source_of, traced, traced_network

from edgeprune.pruning import prune
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.tracing import trace

EXACT = {"lbyl": Lbyl(1e-6, 1e-12), "nm": NeuronMerging()}


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
