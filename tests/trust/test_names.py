"""A name in a network is data: one that could become code gets through no door."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from hypothesis import given
from hypothesis import strategies as st
from invocation import QUICK, edgeprune
from safetensors import safe_open
from safetensors.torch import save_file
from torch import nn

import edgeprune as ep
from edgeprune import blueprint
from edgeprune.artifacts import InputSpec
from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelRefused
from edgeprune.export import TARGETS
from edgeprune.layer_names import is_plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PLACES: dict[str, Callable[[nn.Module, str], object]] = {
    "child": lambda net, name: net[0]._modules.update({name: nn.ReLU()}),
    "parameter": lambda net, name: net[0][0]._parameters.update(
        {name: nn.Parameter(torch.ones(1))}
    ),
    "buffer": lambda net, name: net[0][0]._buffers.update({name: torch.ones(1)}),
    "attribute": lambda net, name: vars(net[0][0]).update({name: torch.ones(1)}),
}


def payload(marker: Path) -> str:
    """A name that ends a string literal in generated code and goes on by making a file."""
    code = f"open('{marker}', 'w')".replace(".", "\\x2e")
    return f'training")\rexec("{code}")\rdef g(self):\r    ("'


@pytest.fixture(params=PLACES)
def gift(request: pytest.FixtureRequest, tmp_path: Path) -> nn.Module:
    """A network with such a name somewhere."""
    network = zoo.build("chain")
    PLACES[request.param](network, payload(tmp_path / "ran"))
    return network


@given(st.text(st.characters(max_codepoint=127)))
def test_plain_names_are_letters_digits_underscores_and_hyphens(name: str) -> None:
    assert is_plain(name) == (re.fullmatch("[A-Za-z0-9_-]+", name) is not None)


@given(st.text())
def test_a_plain_name_is_one_token_of_python(name: str) -> None:
    if is_plain(name):
        assert name.isprintable()
        assert f"_{name.replace('-', '_')}".isidentifier()


@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_a_hyphen_passes_every_stage(target: str, tmp_path: Path) -> None:
    network = nn.Sequential()
    network.add_module("block1-0", zoo.build("chain"))
    source = ep.wrap(network, zoo.INPUT_SHAPE)
    traced, _ = ep.survey(source)
    assert next(group.name for group in traced.prunable) == "block1-0.0.0"
    TARGETS[target]()(source.module, source.input, tmp_path / f"n{TARGETS[target].suffix}", {})
    blueprint.write(source.module, tmp_path / "n.safetensors", {})
    again = blueprint.read(tmp_path / "n.safetensors").network(Allowed())
    x = torch.randn(zoo.INPUT_SHAPE)
    torch.testing.assert_close(again(x), source.module(x))


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_no_network_of_torch_is_refused(name: str) -> None:
    network = zoo.build(name)
    taken = ep.wrap(network, zoo.INPUT_SHAPE)
    assert list(taken.module.state_dict()) == list(network.state_dict())


def test_a_file_with_such_a_name_is_refused_whatever_is_allowed(
    gift: nn.Module, tmp_path: Path
) -> None:
    torch.save(gift, tmp_path / "gift.pt")
    for more in ((), ("--trust",)):
        flags = ("--input", "1x3x16x16", *QUICK, *more, "-o", tmp_path / "run")
        ran = edgeprune("compress", tmp_path / "gift.pt", *flags)
        assert ran.code == 4
        assert "names must consist of letters, digits, underscores and hyphens" in ran.error
        assert ran.err.isprintable() or set(ran.err) - {"\n"} == {
            c for c in ran.err if c.isprintable()
        }
    assert not (tmp_path / "ran").exists()
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["__class__", "forward", "training", "_modules", "half"])
@pytest.mark.parametrize("place", ["child", "parameter", "buffer"])
def test_a_name_that_every_module_has_itself_is_refused(
    place: str, name: str, tmp_path: Path
) -> None:
    network = zoo.build("chain")
    PLACES[place](network, name)
    with pytest.raises(KeyError, match="already exists"):
        nn.Module().add_module(name, nn.ReLU())
    torch.save(network, tmp_path / "gift.pt")
    ran = edgeprune("inspect", tmp_path / "gift.pt", "--input", "1x3x16x16")
    assert ran.code == 4
    assert f"with a part named '{name}', as one of its fields or methods is" in ran.error


def test_such_a_network_in_memory_is_neither_taken_nor_written(
    gift: nn.Module, tmp_path: Path
) -> None:
    with pytest.raises(ModelRefused, match="names must consist of letters"):
        ep.wrap(gift, zoo.INPUT_SHAPE)
    with pytest.raises(ModelRefused, match="names must consist of letters"):
        blueprint.write(gift, tmp_path / "n.safetensors", {})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("target", ["onnx", "torch"])
def test_no_exporter_takes_such_a_name(target: str, gift: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / f"gift{TARGETS[target].suffix}"
    with pytest.raises(ModelRefused, match="names must consist of letters"):
        TARGETS[target]()(gift, InputSpec((zoo.INPUT_SHAPE,)), path, {})
    assert list(tmp_path.iterdir()) == []


def test_a_stored_network_cannot_carry_such_a_name_on(tmp_path: Path) -> None:
    file = tmp_path / "n.safetensors"
    blueprint.write(zoo.build("chain"), file, {})
    with safe_open(file, "pt") as stored:
        notes = dict(stored.metadata())
        tensors = {key: stored.get_tensor(key).clone() for key in stored.keys()}  # noqa: SIM118
    evil = (
        payload(tmp_path / "ran").replace("\r", "\\r").replace('"', '\\"').replace("\\x", "\\\\x")
    )
    assert '"running_mean"' in notes["blueprint"]
    notes["blueprint"] = notes["blueprint"].replace('"running_mean"', f'"{evil}"', 1)
    save_file(tensors, file, notes)
    with pytest.raises(ModelRefused):
        blueprint.read(file).network(Allowed())
    assert not (tmp_path / "ran").exists()
