"""Networks made of random blocks: whatever is cut of them is proved, or the group is locked.

The blocks are those of ``benchmarks/coverage/random_networks.py``, which tries thousands, and
exports them too.
"""

from __future__ import annotations

import pytest
import torch
from benchmark_scripts import script
from hypothesis import given, settings
from hypothesis import strategies as st

import edgeprune as ep
from edgeprune.errors import ModelUnsupported


@pytest.fixture(scope="module")
def networks():
    """The script, with what builds a network of numbers."""
    with script("coverage/random_networks.py") as module:
        yield module


@settings(max_examples=25, deadline=None, derandomize=True)
@given(numbers=st.lists(st.integers(0, 999), min_size=20, max_size=60), seed=st.integers(0, 99))
def test_what_is_cut_is_proved(networks, numbers, seed):
    network, _ = networks.random_network.build(numbers, most=3)
    try:
        traced, _ = ep.survey(ep.wrap(network, networks.SHAPE))
    except ModelUnsupported:
        return
    plan = networks.random_plan(traced, seed)
    assert ep.prune(traced, plan).surgery.max_rel_diff <= 1e-9


@pytest.mark.parametrize("seed", range(3))
def test_the_same_numbers_give_the_same_network(networks, seed):
    one, other = (
        networks.random_network.build(networks.random_network.numbers_of(seed))[0] for _ in range(2)
    )
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name])
