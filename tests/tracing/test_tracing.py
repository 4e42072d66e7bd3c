"""Tracing: which channels belong together, which stay, and that the network is left alone."""

import collections
import threading
import time

import pytest
import torch
import zoo
from torch import nn
from torch.nn import functional as F
from traced_zoo import (
    Calls,
    outputs,
    plan_without,
    source_of,
    traced,
    traced_network,
    unchanged,
)

from edgeprune import tracing
from edgeprune.errors import ModelUnsupported, UsageError
from edgeprune.pruning.surgery import remove_channels
from edgeprune.tracing import trace

LOCKED = {  # besides the network's outputs, and with what words
    "padded-shortcut": {"0.0": "does not fit fewer channels", "1.branch.1": "padded"},
    "functional": {"first.0": "no layer's own"},
}
OUTPUTS = "network's output"


def locks(model):
    return {group.name: group.locked_because for group in model.groups if group.locked_because}


def group_of(model, layer):
    return next(group for group in model.groups if group.name == layer)


# --- the groups ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_exactly_outputs_and_what_cannot_be_cut_are_locked(name):
    reasons = locks(traced(name))
    expected = LOCKED.get(name, {})
    for group, words in expected.items():
        assert words in reasons.pop(group)
    assert reasons
    assert all(OUTPUTS in reason for reason in reasons.values())


@pytest.mark.parametrize(
    "name", [n for n in zoo.NETWORKS if n not in ("padded-shortcut", "functional")]
)
def test_every_channel_of_every_layer_belongs_to_one_group(name):
    model = traced(name)
    members = collections.defaultdict(list)
    for group in model.groups:
        for member in group.members:
            own = {index for channel in member.channels for index in channel}
            members[member.layer, member.side].append(own)
    for layer, module in model.source.module.named_modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            made = members[layer, "out"]
            assert sum(map(len, made)) == len(set().union(*made)) == module_sizes(module)[0]
            read = members.get((layer, "in"))
            if read is not None:  # only the first layer and depthwise ones read no group
                assert sum(map(len, read)) == len(set().union(*read)) == module_sizes(module)[1]


def module_sizes(layer):
    if isinstance(layer, nn.Linear):
        return layer.out_features, layer.in_features
    return layer.out_channels, layer.in_channels


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_a_group_bears_the_name_of_its_first_producer_and_is_as_wide(name):
    model = traced(name)
    names = [group.name for group in model.groups]
    assert len(set(names)) == len(names)
    for group in model.prunable:
        first = group.having("producer")[0]
        assert (first.layer, len(first.channels)) == (group.name, group.width)
        assert module_sizes(model.source.module.get_submodule(group.name))[0] == group.width


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_cutting_any_prunable_group_leaves_the_shape_of_the_outputs(name):
    model, image = traced(name), torch.randn(zoo.INPUT_SHAPE)
    shapes = [value.shape for value in outputs(model.source.module, image)]
    for group in model.prunable:
        block = group.width // group.partitions
        removed = set(range(0, group.width, block)) if group.partitions > 1 else {1}
        module = remove_channels(model, plan_without(model, group.name, removed))
        assert [value.shape for value in outputs(module, image)] == shapes


@pytest.mark.parametrize(
    ("name", "group", "blocks"),
    [("chunk", "0.0", 2), ("grouped", "0.0", 4), ("grouped", "1.0", 4), ("group-norm", "0", 4)],
)
def test_blocks_of_which_equal_parts_must_go(name, group, blocks):
    assert group_of(traced(name), group).partitions == blocks


def test_a_feature_map_that_is_also_returned_is_locked():
    network = Calls(
        lambda net, x: (net.first(x), net.head(net.last(net.first(x)))),
        first=zoo.conv_bn(3, 16), last=zoo.conv_bn(16, 16), head=zoo.head(16),
    )  # fmt: skip
    model = traced_network(network)
    assert OUTPUTS in locks(model)["first.0"]
    assert "last.0" not in locks(model)


def test_several_inputs_are_traced():
    network = Calls(
        lambda net, x, y: net.head(net.join(net.left(x) + net.right(y))),
        left=zoo.conv_bn(3, 16), right=zoo.conv_bn(1, 16), join=zoo.conv_bn(16, 24),
        head=zoo.head(24),
    )  # fmt: skip
    model = traced_network(network, (1, 3, 8, 8), (1, 1, 8, 8))
    makers = [member.layer for member in group_of(model, "left.0").having("producer")]
    assert makers == ["left.0", "right.0"]
    assert "left.0" not in locks(model)


def test_a_network_without_norms_is_traced_in_batches():
    def forward(net, x):
        assert x.dim() == 4
        return net.head(F.relu(net.conv(x)))

    network = Calls(forward, conv=nn.Conv2d(3, 16, 3), head=zoo.head(16))
    assert "conv" not in locks(traced_network(network))


# --- the network that is given --------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_tracing_leaves_the_network_alone(name):
    network = zoo.build(name)
    for number, parameter in enumerate(network.parameters()):
        parameter.requires_grad_(number % 2 == 0)
    with unchanged(network):
        trace(source_of(network))


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_frozen_parameters_hide_no_groups(name):
    network = zoo.build(name).requires_grad_(False)
    with torch.no_grad():
        frozen = trace(source_of(network))
    assert frozen.groups == trace(source_of(zoo.build(name))).groups


# --- --keep ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("glob", "locked"),
    [
        ("1.0", {"1.0"}),
        ("1.1", {"1.0"}),  # a norm keeps the channels that it passes on
        ("1", {"1.0"}),
        ("[01].0", {"0.0", "1.0"}),
        ("*.0", {"0.0", "1.0", "2.0"}),
        ("*", {"0.0", "1.0", "2.0"}),
    ],
)
def test_keep_locks_by_layer_container_and_glob(glob, locked):
    kept = locks(trace(source_of(zoo.build("chain")), keep=[glob]))
    assert {name for name, reason in kept.items() if reason == f"kept by --keep '{glob}'"} >= locked
    assert set(kept) == locked | {"3.2"}


def test_keep_locks_all_that_is_coupled():
    kept = locks(trace(source_of(zoo.build("residual")), keep=["2.shortcut"]))
    assert "--keep '2.shortcut'" in kept["2.branch.1"]
    assert "0.0" not in kept  # which 2.shortcut only reads


@pytest.mark.parametrize(("glob", "hint"), [("1.branch.00", "1.branch.0"), ("2.shortcuts", "2.sh")])
def test_keep_without_a_match_names_what_is_close(glob, hint):
    with pytest.raises(UsageError, match=f"'{glob}' matches no layer.*close to it: .*{hint}"):
        trace(source_of(zoo.build("residual")), keep=[glob])


@pytest.mark.parametrize("glob", ["nothing-like-it", "0.2"])
def test_keep_of_nothing_that_has_channels_is_refused(glob):
    with pytest.raises(UsageError, match="matches no layer that has channels"):
        trace(source_of(zoo.build("chain")), keep=["1.0", glob])


# --- what is refused ------------------------------------------------------------------------------


def test_a_network_without_layers_is_refused():
    with pytest.raises(ModelUnsupported, match="no convolution or linear layer"):
        trace(source_of(nn.Sequential(nn.ReLU())))


def test_the_networks_own_error_is_passed_on():
    def forward(net, x):
        raise ValueError("this image is too small\nand more")

    with pytest.raises(
        ModelUnsupported, match=r"cannot trace the network: this image is too small$"
    ):
        trace(source_of(Calls(forward, conv=nn.Conv2d(3, 8, 3))))


# --- the time limit -------------------------------------------------------------------------------


ENDED = []
"""What a forward that works on and on appends to, if nobody stops it."""


def work_for_ever(*_):
    end = time.thread_time() + 30
    while time.thread_time() < end:
        sum(range(1000))
    ENDED.append(True)


def forward_for_ever(net, x):
    work_for_ever()
    return net.conv(x)


def test_a_forward_that_does_not_end_is_stopped():
    with pytest.raises(ModelUnsupported, match=r"more than 0\.2 s of CPU time .* while it ran"):
        trace(source_of(Calls(forward_for_ever, conv=nn.Conv2d(3, 8, 3))), time_limit_s=0.2)
    assert not ENDED


def test_what_takes_long_after_the_forward_is_told(monkeypatch):
    monkeypatch.setattr(tracing, "follow", work_for_ever)
    with pytest.raises(ModelUnsupported, match=r"0\.2 s of CPU time .* after \d+ operators"):
        trace(source_of(zoo.build("chain")), time_limit_s=0.2)


def test_the_time_limit_holds_in_any_thread():
    caught = []

    def work():
        try:
            trace(source_of(Calls(forward_for_ever, conv=nn.Conv2d(3, 8, 3))), time_limit_s=0.2)
        except ModelUnsupported as error:
            caught.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join(60)
    assert not thread.is_alive()
    assert "more than 0.2 s of CPU time" in caught[0]


def test_a_limit_that_is_kept_leaves_nothing_behind():
    before = threading.active_count()
    trace(source_of(zoo.build("chain")), time_limit_s=0.5)
    assert threading.active_count() == before
    time.sleep(0.6)
