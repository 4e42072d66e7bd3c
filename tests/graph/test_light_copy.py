"""A light copy shares the weights until they are detached, and nothing else."""

from __future__ import annotations

import pytest
import torch
import zoo
from torch import nn

from edgeprune.graph.light_copy import detach_from, light_copy


def memory(network: nn.Module) -> list[int]:
    return [parameter.data_ptr() for parameter in network.parameters()]


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_light_copy_shares_parameters_alone(name: str) -> None:
    network = zoo.build(name)
    network[0].requires_grad_(False) if isinstance(network, nn.Sequential) else None
    copied = light_copy(network)
    assert memory(copied) == memory(network)
    assert not {id(p) for p in copied.parameters()} & {id(p) for p in network.parameters()}
    assert not {id(m) for m in copied.modules()} & {id(m) for m in network.modules()}
    flags = [p.requires_grad for p in network.parameters()]
    assert [p.requires_grad for p in copied.parameters()] == flags
    copied.requires_grad_(True)
    assert [p.requires_grad for p in network.parameters()] == flags
    for ours, theirs in zip(copied.buffers(), network.buffers(), strict=True):
        assert ours.data_ptr() != theirs.data_ptr()


def test_on_another_device_a_copy_shares_nothing_and_tied_tensors_stay_tied() -> None:
    first, second = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
    second.weight, second.running_mean = first.weight, first.running_mean
    network = nn.Sequential(first, second)
    first, second = copied = light_copy(network, device="meta")
    tensors = [*copied.parameters(), *copied.buffers()]
    assert all(each.is_meta for each in tensors)
    assert first.weight is second.weight
    assert first.running_mean is second.running_mean
    assert first.bias is not second.bias
    ours, theirs = (
        dict(each.named_parameters(remove_duplicate=False)) for each in (copied, network)
    )
    assert ours.keys() == theirs.keys()
    assert not any(each.is_meta for each in network.state_dict().values())


def test_what_is_detached_is_the_networks_no_more() -> None:
    network = zoo.build("shared")
    copied = light_copy(network)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    detach_from(network, copied)
    assert not set(memory(copied)) & set(memory(network))
    x = torch.randn(zoo.INPUT_SHAPE)
    assert torch.equal(copied(x), network(x))
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.zero_()
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])
