"""Batches are permutations of all inputs, known for any step alone."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.training import drawing, generator, indices, join

sizes = st.integers(1, 12)


@given(count=sizes, size=sizes, seed=st.integers(0, 2**40))
def test_every_epoch_sees_each_input_once(count, size, seed):
    seen = torch.cat([indices(count, size, step, seed) for step in range(3 * count)])
    assert len(seen) == 3 * count * size
    for epoch in seen.split(count):
        assert sorted(epoch.tolist()) == list(range(count))


@given(count=sizes, each=sizes, processes=st.integers(1, 4), step=st.integers(0, 50))
def test_processes_together_see_what_one_would(count, each, processes, step):
    whole = indices(count, processes * each, step, seed=0)
    slices = [whole[rank * each : (rank + 1) * each] for rank in range(processes)]
    alone = [indices(count, each, step * processes + rank, seed=0) for rank in range(processes)]
    assert torch.equal(torch.cat(slices), torch.cat(alone))


def test_epochs_and_seeds_have_orders_of_their_own():
    orders = [indices(100, 100, step, seed).tolist() for step in range(3) for seed in range(3)]
    assert len({tuple(order) for order in orders}) == 9
    assert orders[0] == indices(100, 100, 0, 0).tolist()


def test_generators_differ_by_step_and_seed_and_are_repeated():
    drawn = [
        torch.rand(4, generator=generator(seed, step)) for step in range(3) for seed in range(3)
    ]
    assert len({tuple(each.tolist()) for each in drawn}) == 9
    assert torch.equal(drawn[0], torch.rand(4, generator=generator(0, 0)))


def test_a_step_draws_the_same_each_time_and_leaves_the_global_generator_alone():
    alone, before = join(), torch.get_rng_state()
    drawn = []
    for step in (0, 1, 0):
        with drawing(7, step, alone):
            drawn.append(torch.rand(5))
    with drawing(7, 0, replace(alone, rank=1)):
        assert not torch.equal(torch.rand(5), drawn[0])
    assert torch.equal(drawn[0], drawn[2])
    assert not torch.equal(drawn[0], drawn[1])
    with pytest.raises(RuntimeError), drawing(7, 0, alone):
        torch.rand(1).backward()
    assert torch.equal(torch.get_rng_state(), before)
