"""Networks nested hundreds of levels deep are handled, or refused by name."""

import sys
import threading

import pytest
import torch
from torch import nn

from edgeprune.costs import count
from edgeprune.deep_stack import DEEPEST, ORDINARY, nesting, with_room
from edgeprune.errors import ModelUnsupported
from edgeprune.export.weights import save_weights
from edgeprune.loading import load, wrap
from edgeprune.pruning import Macs, lock_failing, prune_to_budget
from edgeprune.recovery import recover
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.tracing import trace

LEVELS = 250


def nested(levels, layers=0):
    """As many modules inside each other, with a convolution in each of the outermost."""
    network = nn.Identity()
    for level in range(levels - 1, 0, -1):
        parts = [nn.Conv2d(4, 4, 1), nn.ReLU()] if level <= layers else []
        network = nn.Sequential(*parts, network)
    return network


@with_room
def here(network):
    return threading.current_thread(), sys.getrecursionlimit()


@pytest.mark.parametrize("levels", [1, 2, 7, 5000])
def test_nesting_is_the_number_of_modules_inside_each_other(levels):
    assert nesting(nested(levels)) == levels


def test_the_deepest_branch_counts_and_a_module_that_contains_itself_counts_once():
    network = nn.Sequential(nn.ReLU(), nested(5), nested(3))
    assert nesting(network) == 6
    network.append(network)
    assert nesting(network) == 6


def test_an_ordinary_network_stays_in_its_thread():
    assert here(nested(ORDINARY)) == (threading.current_thread(), sys.getrecursionlimit())


def test_a_nested_one_gets_a_thread_with_room_for_every_level():
    before = sys.getrecursionlimit(), threading.stack_size()
    thread, limit = here(nested(ORDINARY + 1))
    assert thread is not threading.current_thread()
    assert limit > 10 * DEEPEST
    assert (sys.getrecursionlimit(), threading.stack_size()) == before


def test_one_that_is_nested_too_deeply_is_refused_with_its_depth():
    with pytest.raises(
        ModelUnsupported, match=rf"{DEEPEST + 1} levels deep, and at most {DEEPEST}"
    ):
        wrap(nested(DEEPEST + 1), (1, 4, 2, 2))


def test_errors_settings_and_keywords_cross_over():
    @with_room
    def fail(network, *, value):
        assert not torch.is_grad_enabled()
        raise KeyError(value)

    with torch.no_grad(), pytest.raises(KeyError, match="seven"):
        fail(network=nested(ORDINARY + 1), value="seven")


def test_ctrl_c_ends_the_work_and_comes_back(monkeypatch):
    started, ended = threading.Event(), []

    @with_room
    def work(network):
        started.set()
        try:
            while True:
                pass
        finally:
            ended.append("tidied")

    waits = []
    join = threading.Thread.join

    def interrupted_once(thread, timeout=None):
        if not waits:
            waits.append(True)
            started.wait(60)
            raise KeyboardInterrupt
        join(thread, timeout)

    monkeypatch.setattr(threading.Thread, "join", interrupted_once)
    with pytest.raises(KeyboardInterrupt):
        work(nested(ORDINARY + 1))
    assert "tidied" in ended


def test_every_stage_takes_a_nested_network(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nested(LEVELS, layers=12), nn.Conv2d(4, 2, 1)).eval()
    source = wrap(network, (1, 4, 3, 3))
    traced = lock_failing(trace(source))
    counted = count(source.module, source.input, traced.record)
    traced, pruned, _ = prune_to_budget(traced, counted, Macs(0.6))
    recovered = recover(traced, pruned, [Analytic()])
    assert recovered.surgery.max_rel_diff < 1e-9
    save_weights(recovered, tmp_path / "compressed.safetensors")
    again = load(tmp_path / "compressed.safetensors")
    assert again.sha256 == wrap(recovered.module, (1, 4, 3, 3)).sha256
