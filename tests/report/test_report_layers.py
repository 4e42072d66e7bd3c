import pytest
import torch
from torch import nn

from edgeprune import costs
from edgeprune.artifacts import InputSpec
from edgeprune.report.document import Layer, LayerCost
from edgeprune.report.layers import layers

SHAPE = InputSpec(((1, 3, 8, 8),))


class Net(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, width, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(width)
        self.scale = nn.Parameter(torch.ones(1, width, 1, 1))
        self.last = nn.Linear(width, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.last((self.norm(self.first(x)).relu() * self.scale).mean((2, 3)))


def compared(before: nn.Module, after: nn.Module) -> dict[str, Layer]:
    pair = ((each, costs.count(each, SHAPE)) for each in (before, after))
    return {layer.name: layer for layer in layers(*pair)}


def test_widths_and_costs_are_those_of_the_formulas() -> None:
    found = compared(Net(8), Net(4))
    assert found["first"] == Layer(
        "first",
        "Conv2d",
        LayerCost(8, 8 * 3 * 9 * 64, 8 * 3 * 9),
        LayerCost(4, 4 * 3 * 9 * 64, 4 * 3 * 9),
    )
    assert found["norm"] == Layer("norm", "BatchNorm2d", LayerCost(8, 0, 16), LayerCost(4, 0, 8))
    assert found["last"] == Layer("last", "Linear", LayerCost(10, 80, 90), LayerCost(10, 40, 50))


def test_layers_add_up_to_the_network() -> None:
    network = Net(8)
    found = compared(network, network).values()
    whole = costs.count(network, SHAPE)
    assert sum(layer.before.macs for layer in found) == whole.macs
    assert sum(layer.before.params for layer in found) == whole.params
    assert all(layer.before == layer.after for layer in found)


@pytest.mark.parametrize("gone", ["norm"])
def test_a_layer_that_is_gone_has_nothing_after(gone: str) -> None:
    slim = Net(8)
    setattr(slim, gone, nn.Identity())
    assert compared(Net(8), slim)[gone].after is None
