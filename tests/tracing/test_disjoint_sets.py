"""Union-find in arrays, against sets joined one by one."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.tracing.couplings.disjoint_sets import NOTHING, DisjointSets

PAIRS = st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=40)


def joined_one_by_one(pairs, size):
    sets = [{number} for number in range(size)]
    for one, other in pairs:
        both = sets[one] | sets[other]
        for number in both:
            sets[number] = both
    return [min(each) for each in sets]


@given(st.lists(PAIRS, max_size=4))
def test_pairs_joined_at_a_time_are_as_if_joined_one_by_one(batches):
    disjoint = DisjointSets()
    disjoint.fresh(30)
    for pairs in batches:
        one, other = np.array(pairs, dtype=np.int64).reshape(-1, 2).T
        disjoint.join(one, other)
    every = [pair for pairs in batches for pair in pairs]
    assert disjoint.all_sets().tolist() == joined_one_by_one(every, 30)


def test_numbers_added_later_keep_what_was_joined():
    disjoint = DisjointSets()
    disjoint.fresh(4)
    disjoint.join(np.array([1]), np.array([3]))
    start = disjoint.fresh(5000)
    assert start == 4
    assert len(disjoint) == 5004
    assert disjoint.sets_of(np.array([3, 2, 5003])).tolist() == [1, 2, 5003]


def test_nothing_joins_nothing():
    disjoint = DisjointSets()
    disjoint.fresh(3)
    disjoint.join(np.array([NOTHING, 1]), np.array([0, NOTHING]))
    assert disjoint.all_sets().tolist() == [0, 1, 2]
    assert disjoint.sets_of(np.array([NOTHING, 2])).tolist() == [NOTHING, 2]


def test_shapes_broadcast():
    disjoint = DisjointSets()
    disjoint.fresh(6)
    disjoint.join(np.array([[0, 1, 2]]), np.array([[0, 1, 2], [3, 4, 5]]))
    assert disjoint.all_sets().tolist() == [0, 1, 2, 0, 1, 2]
