"""Side by side: both networks stand at every layer at once, and nothing is left behind."""

import copy
import threading
from contextlib import suppress

import pytest
import torch
from torch import nn
from torch.nn import functional as F
from traced_zoo import Calls

from edgeprune.errors import ModelUnsupported
from edgeprune.recovery.layerwise.side_by_side import side_by_side

IMAGES = torch.randn(3, 2, 5, 5, generator=torch.Generator().manual_seed(0))
NAMES = ("one", "two", "three")


def network(function=None, seed=0):
    """Three convolutions with ReLUs that write over what they read."""

    def forward(net, x):
        for name in NAMES:
            x = F.relu_(getattr(net, name)(x))
        return {"last": x, "mean": x.mean((2, 3))}

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers = {name: nn.Conv2d(2, 2, 3, padding=1) for name in NAMES}
        return Calls(function or forward, **layers).eval()


@pytest.fixture(autouse=True)
def nothing_left_behind():
    before = threading.active_count()
    yield
    assert threading.active_count() == before


def hooks(module):
    return [
        hook
        for part in module.modules()
        for kind in (part._forward_hooks, part._forward_pre_hooks)
        for hook in kind
    ]


def fails_at(name, error):
    def on_layer(pair):
        if pair.layer == name:
            raise error

    return on_layer


@torch.no_grad()
def features(module):
    """What every layer reads and gives, by hand."""
    x, found = IMAGES, []
    for name in NAMES:
        found.append((name, x, getattr(module, name)(x)))
        x = found[-1][2].relu()
    return found, x


def test_layer_pairs_come_in_order_with_the_features_of_both():
    original, pruned = network(), network(seed=1)
    met = []

    def on_layer(pair):
        met.append((pair.layer, pair.original.clone(), pair.wanted.clone(), pair.actual.clone()))

    made, found = side_by_side(original, pruned, (IMAGES,), NAMES[::-1], on_layer)
    theirs, end = features(original)
    ours, other_end = features(pruned)
    for pair, (name, read, wanted), (_, actual, _) in zip(met, theirs, ours, strict=True):
        assert pair[0] == name
        for value, by_hand in zip(pair[1:], (read, wanted, actual), strict=True):
            assert torch.equal(value, by_hand)
    assert torch.equal(made[0], end)
    assert torch.equal(found[0], other_end)
    assert torch.equal(found[1], other_end.mean((2, 3)))
    assert hooks(original) == hooks(pruned) == []


def test_weights_that_on_layer_changes_run_afterwards():
    original, pruned = network(), network(seed=1)

    def mend(pair):
        layer = pruned.get_submodule(pair.layer)
        layer.load_state_dict(original.get_submodule(pair.layer).state_dict())
        assert torch.equal(pair.actual, pair.original)

    made, found = side_by_side(original, pruned, (IMAGES,), NAMES, mend)
    assert all(torch.equal(a, b) for a, b in zip(made, found, strict=True))


def test_without_layers_both_only_run():
    original, pruned = network(), network(seed=1)
    made, found = side_by_side(original, pruned, (IMAGES,), (), fails_at("", ValueError()))
    assert torch.equal(made[0], features(original)[1])
    assert torch.equal(found[0], features(pruned)[1])
    assert not made[0].requires_grad


def test_a_layer_called_twice_is_paired_twice():
    def twice(net, x):
        return net.two(net.one(net.one(x)))

    met = []
    side_by_side(
        network(twice),
        network(twice, 1),
        (IMAGES,),
        ("one", "two"),
        lambda pair: met.append(pair.layer),
    )
    assert met == ["one", "one", "two"]


def test_several_inputs_reach_both():
    def added(net, x, y):
        return net.one(x) + net.two(y)

    original = network(added)
    made, found = side_by_side(
        original, copy.deepcopy(original), (IMAGES, 2 * IMAGES), ("two",), lambda _: None
    )
    assert torch.equal(made[0], found[0])


class Interrupted(BaseException):
    """As a keyboard's interrupt is one."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("error", [ValueError("no"), Interrupted()])
def test_what_on_layer_raises_comes_out(name, error):
    original, pruned = network(), network(seed=1)
    with pytest.raises(type(error)) as caught:
        side_by_side(original, pruned, (IMAGES,), NAMES, fails_at(name, error))
    assert caught.value is error
    assert hooks(original) == hooks(pruned) == []
    original(IMAGES)


def broken(place):
    """A network that fails after so many layers."""

    def forward(net, x):
        for name in NAMES[:place]:
            x = F.relu_(getattr(net, name)(x))
        raise RuntimeError("broken")

    return network(forward)


@pytest.mark.parametrize("place", [0, 1, 3])
@pytest.mark.parametrize("which", ["original", "pruned", "both"])
def test_what_either_network_raises_comes_out(place, which):
    original = broken(place) if which != "pruned" else network()
    pruned = broken(place) if which != "original" else network()
    with pytest.raises(RuntimeError, match="broken"):
        side_by_side(original, pruned, (IMAGES,), NAMES, lambda _: None)
    assert hooks(original) == hooks(pruned) == []


@pytest.mark.parametrize(
    "order", [("two", "one", "three"), ("one", "two"), (), ("one", "two", "three", "three")]
)
def test_networks_that_call_other_layers_are_refused(order):
    def other(net, x):
        for name in order:
            x = getattr(net, name)(x)
        return x

    for pair in ((network(), network(other)), (network(other), network())):
        with pytest.raises(ModelUnsupported):
            side_by_side(*pair, (IMAGES,), NAMES, lambda _: None)
        assert hooks(pair[0]) == hooks(pair[1]) == []


def test_a_network_that_swallows_errors_does_not_block():
    """A dismissed original ends, even where its code catches whatever goes wrong."""

    def stubborn(net, x):
        with suppress(Exception):
            x = net.two(net.one(x))
        return net.three(x)

    with pytest.raises(ValueError, match="no"):
        side_by_side(
            network(stubborn), network(), (IMAGES,), NAMES, fails_at("one", ValueError("no"))
        )


def test_gradient_flags_and_modes_stay():
    original, pruned = network(), network(seed=1)
    original.train()
    side_by_side(original, pruned, (IMAGES,), NAMES, lambda _: None)
    assert original.training
    assert not pruned.training
    assert all(p.requires_grad and p.grad is None for p in original.parameters())
    assert torch.is_grad_enabled()
