"""What fails is told as its author wrote it: the call, its sizes, and in whose forward."""

import pytest
import torch
from torch import nn
from traced_zoo import Calls

from edgeprune.errors import VerificationFailed
from edgeprune.graph.failing_call import watching

FAILING = {
    "view(1, 320)": lambda net, x: x.view(1, 320),
    "reshape([1, 320])": lambda net, x: x.reshape((1, 320)),
    "split([8, 24])": lambda net, x: x.split([8, 24], dim=1),
    "add": lambda net, x: x + torch.zeros(1, 3, 4, 4),
}


def ran(function, what="", **parts):
    network = Calls(function, **parts)
    with (
        pytest.raises(VerificationFailed) as caught,
        watching(network, VerificationFailed, what),
    ):
        network(torch.zeros(1, 16, 4, 4))
    assert not any(part._forward_hooks for part in network.modules())
    return str(caught.value)


@pytest.mark.parametrize("call", FAILING)
def test_the_call_is_told_with_its_sizes(call):
    assert ran(FAILING[call]) == f"{call} in the network's forward does not fit fewer channels"


def test_the_innermost_module_is_named():
    said = ran(lambda net, x: net.body(x), "it broke", body=nn.Sequential(nn.Conv2d(8, 8, 1)))
    assert said == "it broke: conv2d in 'body.0' does not fit fewer channels"


def test_where_python_cannot_go_on_with_a_result_the_call_is_told():
    def forward(net, x):
        one, other = x.split(16, 1)
        return one + other

    assert ran(forward) == (
        "what follows split(16) in the network's forward does not fit fewer channels"
    )


def test_where_nothing_was_called_the_code_is_told():
    with (
        pytest.raises(VerificationFailed, match=r"^the code of the network does not fit fewer"),
        watching(nn.Sequential(), VerificationFailed),
    ):
        raise ValueError


def test_what_runs_is_left_to_run():
    network = Calls(lambda net, x: x * 2)
    with watching(network, VerificationFailed):
        assert network(torch.ones(1)) == 2
