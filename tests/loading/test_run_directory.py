"""What edgeprune writes, edgeprune loads: the same network, and no pickle on the way."""

from __future__ import annotations

import pickle

import msgspec
import pytest
import torch
import zoo
from safetensors import safe_open
from torch import nn

from edgeprune import blueprint
from edgeprune.artifacts import (
    InputSpec,
    KeptChannels,
    PrunedModel,
    PruningPlan,
    SurgeryProof,
)
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.export.weights import save_weights
from edgeprune.loading import LoadOptions, load, load_run

PLAN = PruningPlan((KeptChannels("0.0", 16, (0, 2, 5)),), "abc", {"edgeprune": "0"})
SPEC = InputSpec((zoo.INPUT_SHAPE,), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6))


def saved(network, directory):
    proof = SurgeryProof(0.0, 1e-5, 3)
    save_weights(PrunedModel(network, SPEC, PLAN, proof), directory / "compressed.safetensors")
    return directory


@pytest.mark.parametrize("name", ["residual", "squeeze-excite", "shared"])
def test_a_run_gives_its_network_back(name, tmp_path, monkeypatch):
    network = zoo.build(name)
    saved(network, tmp_path)

    def forbidden(*args, **keywords):
        raise AssertionError("a pickle was read")

    monkeypatch.setattr(torch, "load", forbidden)
    monkeypatch.setattr(pickle, "loads", forbidden)
    again = load_run(tmp_path, ("zoo",))
    x = torch.randn(zoo.INPUT_SHAPE)
    with torch.no_grad():
        assert torch.equal(again(x), network(x))
    assert not again.training


def test_the_input_comes_from_the_file_unless_given(tmp_path):
    run = tmp_path / "x"
    run.mkdir()
    saved(zoo.build("chain"), run)
    source = load(run)
    assert source.input == SPEC
    assert source.name == "x"
    assert load(run / "compressed.safetensors").sha256 == source.sha256
    other = load(run, LoadOptions(input_shapes=((1, 3, 24, 24),)))
    assert other.input.shapes == ((1, 3, 24, 24),)
    assert other.input.mean == SPEC.mean


def test_the_plan_lies_in_the_file(tmp_path):
    saved(zoo.build("chain"), tmp_path)
    with safe_open(tmp_path / "compressed.safetensors", "pt") as file:
        plan = file.metadata()["plan"]
    assert msgspec.json.decode(plan, type=PruningPlan) == PLAN


def test_own_classes_need_allow_again(tmp_path):
    saved(zoo.build("residual"), tmp_path)
    with pytest.raises(ModelRefused, match=r"zoo\.Sum.*allow"):
        load_run(tmp_path)


def test_saving_twice_replaces_the_file(tmp_path):
    saved(zoo.build("chain", 1), tmp_path)
    network = zoo.build("chain", 2)
    saved(network, tmp_path)
    assert torch.equal(load_run(tmp_path)[0][0].weight, network[0][0].weight)
    assert [file.name for file in tmp_path.iterdir()] == ["compressed.safetensors"]


def test_what_is_missing_or_damaged_is_said(tmp_path):
    with pytest.raises(UsageError, match="there is no file"):
        load_run(tmp_path)
    file = tmp_path / "compressed.safetensors"
    blueprint.write(nn.Linear(2, 2), file, {})
    with pytest.raises(ModelRefused, match="does not say what its network takes"):
        load(file)
    blueprint.write(nn.Linear(2, 2), file, {"edgeprune": "99"})
    with pytest.raises(ModelRefused, match="format 99"):
        load(file)
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(ModelRefused, match="not a readable"):
        load_run(file)
