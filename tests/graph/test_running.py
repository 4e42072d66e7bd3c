"""The book of running modules: the innermost last, and right again after a failure."""

import pytest
import torch
from torch import nn
from traced_zoo import Calls

from edgeprune.artifacts.recorded import ROOT
from edgeprune.graph.running import in_words, module_of, running_layers

X = torch.zeros(1, 3, 4, 4)


def test_the_innermost_running_module_is_last_and_strangers_go_by_their_callers_name():
    book, seen = [], []
    stranger = Calls(lambda _, x: seen.append(book[0][-1]) or x)
    inner = Calls(lambda _, x: seen.append(book[0][-1]) or stranger(x))
    network = Calls(lambda net, x: stranger(net.body(x)), body=nn.Sequential(nn.ReLU(), inner))
    with running_layers(network) as running:
        book.append(running)
        network(X)
        assert running == [ROOT]
    assert seen == ["body.1", "body.1", ROOT]


def test_what_failed_runs_no_more():
    network = nn.Sequential(nn.Conv2d(8, 8, 1))
    with running_layers(network) as running:
        with pytest.raises(RuntimeError):
            network(X)
        assert running == [ROOT]


def test_places_have_modules_and_words():
    network = nn.Sequential(nn.Sequential(nn.ReLU()))
    assert module_of(network, ROOT) is network
    assert module_of(network, "0.0") is network[0][0]
    assert in_words(ROOT) == "the network's forward"
    assert in_words(ROOT, "the forward") == "the forward"
    assert in_words("0.0") == "'0.0'"
