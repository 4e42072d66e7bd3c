"""Torch-Pruning's dependency graph as a second opinion on groups, for networks it gets right."""

import warnings

import pytest
import torch
import torch_pruning
import torchvision
import zoo
from torch_pruning.ops import OPTYPE
from traced_zoo import source_of

from edgeprune.tracing import trace

NOT_ITS_OWN = ("padded-shortcut", "channel-shuffle", "functional")
"""Networks of the zoo that it crashes on or gets wrong."""

LAYERS = (
    *(OPTYPE.CONV, OPTYPE.DEPTHWISE_CONV, OPTYPE.LINEAR, OPTYPE.PRELU),
    *(OPTYPE.BN, OPTYPE.LN, OPTYPE.GN, OPTYPE.IN),
)


def torchvision_network(name):
    options = {"init_weights": False} if name == "googlenet" else {}
    return lambda: torchvision.models.get_model(name, weights=None, **options)


NETWORKS = {
    **{name: lambda name=name: zoo.build(name) for name in zoo.NETWORKS if name not in NOT_ITS_OWN},
    **{
        name: torchvision_network(name)
        for name in ("resnet18", "mobilenet_v3_small", "squeezenet1_1", "mnasnet0_5", "googlenet")
    },
}


def graph_of(module, shape):
    for parameter in module.parameters():
        parameter.requires_grad_(True)
    graph = torch_pruning.DependencyGraph()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        graph.build_dependency(
            module, (torch.randn(2, *shape[1:]),), output_transform=flat, verbose=False
        )
    return graph


def flat(output):
    return list(output.values()) if isinstance(output, dict) else output


def theirs(graph, module, layer, indices):
    """What goes with some output channels of a layer: layer, side and index."""
    root = module.get_submodule(layer)
    prune = graph.get_pruner_of_module(root).prune_out_channels
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        group = graph.get_pruning_group(root, prune, indices)
    names = {each: name for name, each in module.named_modules()}
    return {
        (names[dep.target.module], side_of(graph, dep), index)
        for dep, indices in group
        if dep.target.type in LAYERS and getattr(dep.target.module, "num_parameters", 2) > 1
        for index in indices
    }


def side_of(graph, dep):
    """A depthwise convolution counts on its output side alone, whichever way it was reached."""
    is_out = graph.is_out_channel_pruning_fn(dep.handler)
    return "out" if is_out or dep.target.type == OPTYPE.DEPTHWISE_CONV else "in"


@pytest.mark.parametrize("factory", NETWORKS.values(), ids=NETWORKS)
def test_torch_pruning_removes_the_same(factory):
    torch.manual_seed(0)
    module = factory().eval()
    shape = zoo.INPUT_SHAPE if len(list(module.modules())) < 40 else (1, 3, 64, 64)
    model = trace(source_of(module, shape))
    graph = graph_of(module, shape)
    assert model.prunable
    for group in model.prunable:
        block = group.width // group.partitions
        place = block // 2
        ours = {
            (member.layer, member.side, index)
            for member in group.members
            for channel in range(place, group.width, block)
            for index in member.channels[channel]
        }
        bare = {name for name, _ in module.named_parameters()}
        roots = [index for layer, side, index in ours if (layer, side) == (group.name, "out")]
        assert {each for each in ours if each[0] not in bare} == theirs(
            graph, module, group.name, sorted(roots)
        )
