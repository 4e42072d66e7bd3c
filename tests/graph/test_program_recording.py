"""A recorded network computes what the original computes, with its layers, at any batch size."""

import pytest
import torch
import torchvision
import written_zoo
import zoo
from torch import nn
from torch.nn import functional as F
from traced_zoo import Calls, unchanged

from edgeprune.artifacts import InputSpec
from edgeprune.errors import ModelUnsupported
from edgeprune.graph.program_recording import recorded
from edgeprune.program.network import Scope

IMAGES = InputSpec((zoo.INPUT_SHAPE,))


def outputs(network, *inputs):
    with torch.no_grad():
        return network(*inputs)


@pytest.mark.parametrize("batch", [1, 2, 7])
@pytest.mark.parametrize("name", [*zoo.NETWORKS, *written_zoo.WRITTEN])
def test_recorded_is_the_same_at_any_batch_size(name, batch):
    network = zoo.build(name) if name in zoo.NETWORKS else written_zoo.build(name)
    with unchanged(network):
        again = recorded(network, IMAGES)
    images = torch.randn(batch, *zoo.INPUT_SHAPE[1:])
    torch.testing.assert_close(outputs(again, images), outputs(network, images))


@pytest.mark.parametrize("name", ["swin_t", "shufflenet_v2_x0_5"])
def test_networks_of_torchvision_are_recorded(name):
    network = torchvision.models.get_model(name, weights=None).eval()
    again = recorded(network, InputSpec(((1, 3, 64, 64),)))
    images = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(outputs(again, images), outputs(network, images))


def test_layers_weights_and_their_names_are_the_originals():
    network = written_zoo.build("own block")
    again = recorded(network, IMAGES)
    assert list(again.state_dict()) == list(network.state_dict())
    assert [name for name, _ in again.named_modules()] == [
        name for name, _ in network.named_modules()
    ]
    for name, layer in network.named_modules():
        there = again.get_submodule(name) if name else again
        if next(layer.children(), None) is None:
            assert type(there) is type(layer)
        elif name:
            assert type(there) is Scope


def test_a_layer_that_does_nothing_in_eval_mode_does_its_work_in_training():
    network = Calls(lambda net, x: x + net.drop(x), drop=nn.Dropout(0.5)).eval()
    again = recorded(network, InputSpec(((1, 64),))).train()
    ones = torch.ones(4, 64)
    assert set(again(ones).unique().tolist()) == {1.0, 3.0}  # the sum is of x, not of what is left


def test_functional_dropout_is_not_in_it():
    network = Calls(lambda net, x: F.dropout(net.fc(x), training=net.training), fc=nn.Linear(8, 8))
    again = recorded(network.eval(), InputSpec(((1, 8),))).train()
    x = torch.randn(2, 8)
    assert torch.equal(again(x), again(x))


def test_results_inputs_and_constants_of_every_form():
    bias = torch.rand(4)  # no parameter or buffer of any module

    def forward(net, first, second):
        joined = net.fc(first) + net.fc(second) + bias + torch.tensor([1.0, 2.0, 3.0, 4.0])
        return {"sum": joined, "parts": (joined.chunk(2, 1), [first * float("inf")]), "n": 3}

    network = Calls(forward, fc=nn.Linear(6, 4)).eval()
    again = recorded(network, InputSpec(((1, 6), (1, 6))))
    one, other = torch.rand(5, 6), torch.rand(5, 6)
    torch.testing.assert_close(outputs(again, one, other), outputs(network, one, other))


def test_shared_layers_and_tied_weights_stay_shared():
    network = nn.Sequential(nn.Linear(6, 6), nn.ReLU(), nn.Linear(6, 6)).eval()
    network.append(network[0])
    network[2].weight = network[0].weight
    again = recorded(network, InputSpec(((1, 6),)))
    modules = dict(again.named_modules(remove_duplicate=False))
    assert modules["3"] is modules["0"]
    assert modules["2"].weight is modules["0"].weight


def test_a_number_of_a_constant_is_one_that_the_code_could_hold():
    strides = torch.tensor([8.0, 16.0])
    network = Calls(
        lambda net, x: net.fc(x) + torch.full((x.shape[0], 6), strides[1]), fc=nn.Linear(6, 6)
    ).eval()
    again = recorded(network, InputSpec(((1, 6),)))
    x = torch.rand(5, 6)
    torch.testing.assert_close(outputs(again, x), outputs(network, x))


REFUSED = {
    "an object": (lambda net, x: type("Boxes", (), {"x": net.fc(x)})(), "Boxes"),
    "memory of its own": (lambda net, x: net.fc(x) + torch.empty(1), "empty"),
    "a number of data": (lambda net, x: net.fc(x) * x.sum().item(), "_local_scalar_dense"),
    "random": (lambda net, x: net.fc(x) + torch.rand_like(x), "rand_like"),
    "other work on a larger batch": (
        lambda net, x: net.fc(x) if x.shape[0] < 3 else net.fc(x).relu(), "larger batch",
    ),
    "bytes shown as other numbers": (
        lambda net, x: net.fc(x).view(torch.int32).view(torch.float32), "view.dtype",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("forward", "named"), REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_recorded_is_refused_by_name(forward, named):
    network = Calls(forward, fc=nn.Linear(6, 6)).eval()
    with pytest.raises(ModelUnsupported, match=named):
        recorded(network, InputSpec(((1, 6),)))
