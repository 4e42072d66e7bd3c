"""What runs in double precision computes what a network converted to it computes."""

from __future__ import annotations

import copy

import pytest
import torch
import zoo
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.pruning import double_precision
from edgeprune.pruning.double_precision import DoublePrecision


class Everything(nn.Module):
    """Layers and functions that meet their weights in other ways."""

    def __init__(self) -> None:
        super().__init__()
        self.recurrent = nn.LSTM(6, 6, batch_first=True)
        self.attention = nn.MultiheadAttention(6, 2, batch_first=True)
        self.scale = nn.Parameter(torch.rand(6))
        self.register_buffer("shift", torch.rand(6))
        self.large = nn.Linear(6, 6)

    def forward(self, x: Tensor) -> Tensor:
        x = self.recurrent(x)[0]
        x = self.attention(x, x, x)[0] * self.scale
        x += self.shift
        kept = torch.zeros_like(x)
        kept[:, 1:] = x[:, 1:] @ self.large.weight.t()
        return self.large(kept).clamp_(-1, self.scale.max().item())


@torch.no_grad()
def both(network: nn.Module, x: Tensor) -> tuple[list[Tensor], list[Tensor]]:
    with DoublePrecision():
        ours = network(x.double())
    theirs = copy.deepcopy(network).double()(x.double())
    return pytree.tree_leaves(ours), pytree.tree_leaves(theirs)


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_every_operator_gets_doubles(name: str) -> None:
    network = zoo.build(name)
    before = {key: value.clone() for key, value in network.state_dict().items()}
    for ours, theirs in zip(*both(network, torch.randn(zoo.INPUT_SHAPE)), strict=True):
        assert ours.dtype == torch.float64
        assert torch.equal(ours, theirs)
    for key, value in network.state_dict().items():
        assert value.dtype == before[key].dtype
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("large", [double_precision.LARGE, 13])
def test_weights_are_converted_wherever_they_are_used(
    large: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(double_precision, "LARGE", large)
    network = Everything().eval()
    ((ours,), (theirs,)) = both(network, torch.randn(2, 5, 6))
    assert ours.dtype == torch.float64
    assert torch.allclose(ours, theirs, rtol=1e-14, atol=1e-14)
