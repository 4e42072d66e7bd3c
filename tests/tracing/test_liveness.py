"""What runs and what is returned: liveness is read from the operators, not from gradients."""

import dataclasses

import pytest
import torch
import zoo
from torch import Tensor, nn
from traced_zoo import Calls, source_of, traced_network

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.liveness import live_tensors, tensors_read
from edgeprune.graph.outputs import tensors_in
from edgeprune.pruning import prune
from edgeprune.pruning.surgery import trial_plan
from edgeprune.tracing import trace


@dataclasses.dataclass
class Found:
    label: Tensor
    map: Tensor


class Answer:
    """An object with an attribute, a slot, and itself."""

    __slots__ = ("__dict__", "map")

    def __init__(self, label, maps):
        self.label, self.map, self.me = label, [{"map": maps}], self


def network(wrap, **parts):
    """A trunk with a label and a map as its outputs, made into something by ``wrap``."""

    def forward(net, x):
        x = net.trunk(net.stem(x))
        return wrap(net, net.label(x), net.map(x))

    return Calls(
        forward, stem=zoo.conv_bn(3, 16), trunk=zoo.conv_bn(16, 24), label=zoo.head(24),
        map=nn.Conv2d(24, 2, 1), **parts,
    )  # fmt: skip


RETURNED = {
    "tuple": lambda net, label, maps: (label, maps),
    "nested": lambda net, label, maps: {"label": label, "more": [(maps,), None, 3]},
    "dataclass": lambda net, label, maps: Found(label, maps),
    "object": lambda net, label, maps: Answer(label, maps),
    "detached": lambda net, label, maps: (label.detach(), maps.detach()),
    "class map": lambda net, label, maps: (label.argmax(1), maps.argmax(1)),
    "mask": lambda net, label, maps: (label > 0, maps.sigmoid() > 0.5),
}


@pytest.mark.parametrize("wrap", RETURNED.values(), ids=RETURNED)
def test_whatever_holds_the_outputs_all_but_their_layers_is_prunable_and_proved(wrap):
    model = traced_network(network(wrap))
    assert {group.name for group in model.prunable} == {"stem.0", "trunk.0"}
    assert prune(model, trial_plan(model)).surgery.max_rel_diff <= 1e-12


@pytest.mark.parametrize("where", ["everywhere", "in part"])
def test_layers_without_gradients_are_seen(where):
    def forward(net, x):
        with torch.set_grad_enabled(where == "in part"):
            x = net.stem(x)
        with torch.no_grad():
            return net.head(net.body(x))

    model = traced_network(
        Calls(forward, stem=zoo.conv_bn(3, 8), body=zoo.conv_bn(8, 8), head=zoo.head(8))
    )
    assert {group.name for group in model.prunable} == {"stem.0", "body.0"}


def test_a_layer_that_runs_for_nothing_is_cut_along_and_stays():
    def forward(net, x):
        x = net.stem(x)
        net.aside(x)
        return net.head(x)

    model = traced_network(
        Calls(forward, stem=zoo.conv_bn(3, 16), aside=nn.Conv2d(16, 5, 1), head=zoo.head(16))
    )
    assert "nothing" in next(g.locked_because for g in model.groups if g.name == "aside")
    pruned = prune(model, trial_plan(model)).module
    assert (pruned.aside.in_channels, pruned.aside.out_channels) == (8, 5)
    module, record = model.source.module, model.record
    assert tensors_read(record, module) - live_tensors(record, module) == {
        "aside.weight", "aside.bias",
    }  # fmt: skip


def test_tied_parameters_are_live_by_all_their_names():
    net = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1, bias=False))
    net[1].weight = net[0].weight
    model = trace(source_of(net))
    assert live_tensors(model.record, net) == {"0.weight", "0.bias", "1.weight"}


def test_each_object_is_looked_into_once():
    one, other = torch.zeros(1), torch.ones(1)
    found = tensors_in(Answer(one, other))
    assert [each is tensor for each, tensor in zip(found, (one, other), strict=True)] == [True] * 2
    assert tensors_in({"size": 3, "name": "x", "kind": int, "none": None}) == []


def early_exit(ask):
    def forward(net, x):
        x = net.stem(x)
        return net.easy(x) if ask(x) else net.hard(x)

    return Calls(forward, stem=zoo.conv_bn(3, 8), easy=zoo.head(8), hard=zoo.head(8))


@pytest.mark.parametrize("ask", [lambda x: x.mean() > 1e3, lambda x: x.argmax().item() < 0])
def test_a_branch_on_data_that_leaves_layers_out_is_refused(ask):
    with pytest.raises(ModelUnsupported, match=r"branches on the data .* 'easy\.2' did not run"):
        trace(source_of(early_exit(ask)))


def test_a_branch_on_anything_else_is_none():
    model = trace(source_of(early_exit(lambda x: x.shape[0] > 9)))
    assert [group.name for group in model.prunable] == ["stem.0"]


def test_a_question_to_the_data_that_leaves_nothing_out_is_no_branch():
    def forward(net, x):
        x = net.stem(x)
        return net.head(x / x.abs().max().item())

    model = trace(source_of(Calls(forward, stem=zoo.conv_bn(3, 8), head=zoo.head(8))))
    assert model.groups[0].locked_because is None


DICE = {
    "dropout": lambda net, x: nn.functional.dropout(net(x), 0.5),
    "noise": lambda net, x: net(x) + torch.randn(1),
    "noise like": lambda net, x: net(x) * torch.rand_like(x[:, :1, :1, 0]),
}


@pytest.mark.parametrize("roll", DICE.values(), ids=DICE)
def test_a_network_that_plays_dice_is_refused_as_such(roll):
    net = Calls(
        lambda net, x: roll(net.body, x), body=nn.Sequential(zoo.conv_bn(3, 8), zoo.head(8))
    )
    with pytest.raises(ModelUnsupported, match="answers differently each time: the forward draws"):
        trace(source_of(net))


def test_numbers_that_are_drawn_and_not_used_are_no_dice():
    def forward(net, x):
        torch.rand(3)
        return net.body(nn.functional.dropout(x, 0.5, training=False))

    assert trace(source_of(Calls(forward, body=nn.Sequential(zoo.conv_bn(3, 8), zoo.head(8)))))
