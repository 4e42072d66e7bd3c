"""A layer with anything else in the place of a part is refused by name, and never called a bug."""

from __future__ import annotations

import resource
import sys
from typing import TYPE_CHECKING, Any

import pytest
import torch
import zoo
from invocation import CHAIN_SHAPE, edgeprune
from torch import nn
from torch.nn import functional as F

from edgeprune.errors import EdgepruneError, ModelRefused, ModelUnsupported
from edgeprune.graph.declared_widths import require_declared_widths
from edgeprune.loading import LoadOptions, load
from edgeprune.loading.memory_limit import memory_limit
from edgeprune.sound_modules import FIELDS, METHODS, PARTS, SPECIAL, require_sound

if TYPE_CHECKING:
    from pathlib import Path

VALUES = {
    "none": None,
    "number": 5,
    "negative": -1,
    "text": "x",
    "list": [1],
    "share": 0.5,
    "nan": float("nan"),
    "endless": float("inf"),
    "huge": 10**12,
    "table": {},
    "pair": (0, 0),
}
FIELDS_OF_LAYERS = {
    "0.0": ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups",
            "padding_mode", "transposed"),
    "0.1": ("eps", "num_features", "momentum", "track_running_stats", "affine"),
    "3.0": ("output_size",),
    "3.2": ("in_features", "out_features"),
}  # fmt: skip


def refused_or_taken(network: nn.Module, folder: Path) -> None:
    """Load and inspect it, as a file; the test is that nothing else is raised, and none hangs."""
    torch.save(network, folder / "odd.pt")
    ran = edgeprune("inspect", folder / "odd.pt", "--input", CHAIN_SHAPE)
    assert ran.code in (0, 2, 4, 5)
    assert ran.code == 0 or len(ran.error.splitlines()) <= 2


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("layer", FIELDS_OF_LAYERS)
def test_a_layer_with_odd_fields_is_taken_or_refused(
    layer: str, value: str, tmp_path: Path
) -> None:
    for name in FIELDS_OF_LAYERS[layer]:
        network = zoo.build("chain")
        vars(network.get_submodule(layer))[name] = VALUES[value]
        refused_or_taken(network, tmp_path)


@pytest.mark.parametrize("table", PARTS)
@pytest.mark.parametrize("value", [5, "x", [1], 0.5, {}, (1,), nn.ReLU(), torch.ones(2)])
def test_a_part_is_what_its_table_holds(table: str, value: object) -> None:
    network = zoo.build("chain")
    vars(network[0][0])[table]["odd"] = value
    if isinstance(value, PARTS[table]):
        require_sound(network, "it")
    else:
        with pytest.raises(ModelRefused, match="it is damaged: it holds a Conv2d with a"):
            require_sound(network, "it")


@pytest.mark.parametrize("name", [*FIELDS, *sorted(METHODS)[::7], *sorted(SPECIAL)])
def test_fields_and_methods_are_what_pytorch_relies_on(name: str) -> None:
    network = zoo.build("chain")
    require_sound(network, "it")
    vars(network[0][0])[name] = "x"
    with pytest.raises(ModelRefused, match=name.strip("_")):
        require_sound(network, "it")


@pytest.mark.parametrize("name", ["weight", "forward", "training", "named_modules"])
def test_no_part_has_the_name_of_another(name: str) -> None:
    network = zoo.build("chain")
    network[0][0]._modules[name] = nn.ReLU()
    with pytest.raises(ModelRefused, match=name):
        require_sound(network, "it")


def parameter(value: torch.Tensor) -> nn.Parameter:
    return nn.Parameter(value, requires_grad=value.is_floating_point())


@pytest.mark.parametrize(
    "value",
    [
        parameter(torch.ones(16, 3, 3, 3, dtype=torch.complex64)),
        parameter(torch.ones(16, 3, 3, 3, dtype=torch.int32)),
        parameter(torch.ones(16, 3, 3, 3, device="meta")),
        parameter(torch.ones(16, 3, 3, 3).to_sparse()),
        nn.parameter.UninitializedParameter(),
    ],
)
def test_tensors_that_cannot_be_computed_with_are_named(value: Any) -> None:
    network = zoo.build("chain")
    network[0][0]._parameters["weight"] = value
    with pytest.raises(ModelUnsupported, match="as 'weight' of a Conv2d"):
        require_sound(network, "it")


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_what_layers_declare_is_what_they_have(name: str) -> None:
    network = zoo.build(name)
    require_sound(network, name)
    require_declared_widths(network)


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(4, 6, 3, groups=2), nn.ConvTranspose2d(4, 6, 3, groups=2), nn.Conv1d(4, 6, 3),
        nn.Conv3d(4, 6, 3), nn.Linear(4, 6), nn.BatchNorm2d(4), nn.InstanceNorm2d(4, affine=True),
        nn.GroupNorm(2, 4), nn.LayerNorm((4, 5)), nn.PReLU(4), nn.Embedding(4, 6),
        nn.BatchNorm2d(4, affine=False), nn.GroupNorm(2, 4, affine=False),
    ],
)  # fmt: skip
def test_widths_of_every_kind_of_layer_are_compared(layer: nn.Module) -> None:
    require_declared_widths(nn.Sequential(layer))
    if next(layer.parameters(), None) is not None:
        layer.weight = nn.Parameter(torch.ones(1, 2, 3))
        with pytest.raises(ModelUnsupported, match="but has one of 1x2x3"):
            require_declared_widths(nn.Sequential(layer))


@pytest.mark.parametrize(
    "growing",
    [
        nn.Upsample(scale_factor=2000),
        nn.ConstantPad2d(1 << 14, 0.0),
        nn.Conv2d(16, 64, 3, padding=5000),
        nn.AdaptiveAvgPool2d(10**5),
    ],
)
def test_a_small_network_takes_no_gigabytes(growing: nn.Module, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_AS)
    torch.save(nn.Sequential(nn.Conv2d(3, 16, 3), growing, nn.ReLU()), tmp_path / "grows.pt")
    with pytest.raises(EdgepruneError, match=r"would take .*iB at once"):
        load(tmp_path / "grows.pt", LoadOptions(input_shapes=(zoo.INPUT_SHAPE,)))
    assert resource.getrlimit(resource.RLIMIT_AS) == before


def test_a_limit_on_memory_leaves_what_fits() -> None:
    with memory_limit(1 << 28):
        assert torch.ones(1 << 20).sum() == 1 << 20
        with pytest.raises(RuntimeError, match="allocate"):
            torch.ones(1 << 29)
    assert torch.ones(1 << 28, dtype=torch.int8).numel() == 1 << 28


class Later(nn.Module):
    """Fails when it runs for the third time, in its own words."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.last = nn.Conv2d(16, 4, 3)
        self.runs = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.runs += 1
        if self.runs == 3:
            raise KeyError("level 3")
        return self.last(F.relu(self.conv(x)))


def test_a_network_that_fails_later_is_blamed_for_it(tmp_path: Path) -> None:
    network = Later()
    for runs in range(-8, 3):
        network.runs = runs
        torch.save(network, tmp_path / "later.pt")
        flags = ("--input", CHAIN_SHAPE, "--allow", __name__)
        ran = edgeprune("inspect", tmp_path / "later.pt", *flags)
        assert ran.code in (0, 2, 5)
        if ran.code:
            assert "level 3" in ran.error


def test_what_is_nested_too_deeply_is_said_so(tmp_path: Path) -> None:
    network, nested = zoo.build("chain"), []
    for _ in range(900):
        nested = [nested]
    network[0][0].deep = nested
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(10 * limit)
    try:
        torch.save(network, tmp_path / "deep.pt")
    finally:
        sys.setrecursionlimit(limit)
    ran = edgeprune("inspect", tmp_path / "deep.pt", "--input", CHAIN_SHAPE)
    assert ran.code == 5
    assert "nested too deeply" in ran.error
