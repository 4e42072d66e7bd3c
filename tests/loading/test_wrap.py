"""A network in memory: copied once, cleaned of what training left, never changed."""

from __future__ import annotations

import copy
import warnings

import pytest
import torch
import zoo
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from edgeprune import blueprint
from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelUnsupported
from edgeprune.loading import wrap

X = torch.linspace(-1, 1, 768).reshape(zoo.INPUT_SHAPE)


def old_weight_norm(layer):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # the older one is what is tested
        return weight_norm(layer)


@pytest.mark.parametrize(
    "normalised",
    [
        parametrizations.weight_norm,
        parametrizations.spectral_norm,
        parametrizations.orthogonal,
        old_weight_norm,
        spectral_norm,
        lambda layer: prune.l1_unstructured(layer, "weight", 0.5),
    ],
    ids=["weight_norm", "spectral_norm", "orthogonal", "old weight_norm", "old spectral", "pruned"],
)
def test_what_recomputes_weights_is_baked_in(normalised):
    network = nn.Sequential(normalised(nn.Conv2d(3, 8, 3)), nn.ReLU(), nn.Conv2d(8, 2, 1)).eval()
    expected = network(X)
    source = wrap(network, zoo.INPUT_SHAPE)
    assert torch.allclose(source.module(X), expected, atol=1e-6)
    assert set(source.module.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    assert isinstance(source.module[0].weight, nn.Parameter)
    assert torch.equal(network(X), expected)
    description, tensors = blueprint.describe(source.module)
    assert torch.equal(blueprint.rebuild(description, tensors, Allowed())(X), source.module(X))


def test_the_network_given_is_never_changed():
    network = zoo.build("residual").train().half()
    before = copy.deepcopy(network.state_dict())
    source = wrap(network, zoo.INPUT_SHAPE)
    assert network.training
    assert not source.module.training
    after = network.state_dict()
    assert all(
        torch.equal(before[k], after[k]) and before[k].dtype == after[k].dtype for k in before
    )
    assert {p.dtype for p in source.module.parameters()} == {torch.float32}
    assert not {id(p) for p in network.parameters()} & {id(p) for p in source.module.parameters()}


def test_wrappers_come_off():
    network = zoo.build("chain")
    plain = wrap(network, zoo.INPUT_SHAPE)
    for wrapper in (
        nn.DataParallel(network),
        torch.optim.swa_utils.AveragedModel(network),
        torch.compile(network),
        nn.DataParallel(torch.compile(network)),
    ):
        source = wrap(wrapper, zoo.INPUT_SHAPE)
        assert type(source.module) is nn.Sequential
        assert source.sha256 == plain.sha256


@pytest.mark.parametrize(
    ("example", "shapes"),
    [
        (torch.ones(5, 3, 16, 16), ((1, 3, 16, 16),)),
        ([torch.ones(2, 3, 16, 16)], ((1, 3, 16, 16),)),
        ((1, 3, 16, 16), ((1, 3, 16, 16),)),
        ([(1, 3, 16, 16)], ((1, 3, 16, 16),)),
        (torch.Size([1, 3, 16, 16]), ((1, 3, 16, 16),)),
        (None, ((1, 3, 16, 16),)),
    ],
)
def test_an_example_says_the_shape(example, shapes):
    assert wrap(zoo.build("flatten"), example).input.shapes == shapes


def test_the_name_is_the_class_s_unless_given():
    assert wrap(zoo.build("two-outputs"), X).name == "TwoHeads"
    assert wrap(zoo.build("two-outputs"), X, name="mine").name == "mine"


def test_torchscript_is_unsupported():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that TorchScript is deprecated
        scripted = torch.jit.trace(zoo.build("chain"), X)
    with pytest.raises(ModelUnsupported, match="TorchScript"):
        wrap(scripted, X)


def test_what_cannot_be_copied_is_unsupported():
    network = zoo.build("chain")
    network.lock = __import__("threading").Lock()
    with pytest.raises(ModelUnsupported, match="Sequential cannot be copied"):
        wrap(network, X)


def test_plain_tensors_become_float32_too():
    network = nn.Sequential(nn.Conv2d(3, 2, 1).half())
    network[0].offset = torch.ones(2, dtype=torch.float16)
    assert wrap(network, X).module[0].offset.dtype is torch.float32
    assert network[0].offset.dtype is torch.float16
