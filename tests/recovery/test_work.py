"""Work: the same for the same network, within what is allowed, and all there is under a limit."""

from math import inf

import pytest
from traced_zoo import random_plan, traced

from edgeprune.pruning import prune
from edgeprune.recovery import work as work_module
from edgeprune.recovery.work import work


@pytest.fixture
def networks():
    model = traced("residual")
    return model, prune(model, random_plan(model, 6, most=0.8))


def test_the_whole_network_is_trained_where_blocks_leave_enough(networks, monkeypatch):
    allowed = work(*networks, 0, inf)
    assert allowed.trains
    assert allowed.seconds <= work_module.TOTAL / work_module.RATE
    monkeypatch.setattr(work_module, "TOTAL", 1e6)
    assert not work(*networks, 0, inf).trains


def test_a_limit_and_steps_that_are_asked_for_hold(networks, monkeypatch):
    monkeypatch.setattr(work_module, "TOTAL", 1e6)
    limited = work(*networks, 0, 0.01)
    assert (limited.steps, limited.trains, limited.seconds) == (0, True, 0.01)
    assert work(*networks, 7, inf).steps == 7


def test_it_is_told_in_words(networks):
    assert work(*networks, 0, 90.0).duration.startswith("about ")
