"""Each kind of trouble has its note, and a quiet measurement has none."""

from __future__ import annotations

import pytest

from edgeprune.artifacts import RatioInterval
from edgeprune.bench import notes

QUIET = {
    "cores": 4,
    "load_average": {"start": [0.1, 0.1, 0.1], "end": [1.0, 0.2, 0.1]},
    "memory": "VmHWM",
}


@pytest.mark.parametrize(
    ("low", "high", "medians", "parts"),
    [
        (0.8, 1.1, 0.9, ["contains 1"]),
        (0.5, 0.9, 0.6, []),
        (1.1, 1.3, 1.05, ["medians give a ratio of 1.050"]),
        (0.8, 1.1, 1.2, ["contains 1", "outside of the interval"]),
    ],
)
def test_a_doubtful_ratio_has_a_note(low, high, medians, parts):
    found = list(notes.of_ratio(RatioInterval((low + high) / 2, low, high, 0.95), medians))
    assert len(found) == len(parts)
    assert all(part in note for part, note in zip(parts, found, strict=True))


def test_a_quiet_machine_needs_no_note():
    assert list(notes.of_machine([1.0, 1.01, 0.99, 1.0, 1.02, 1.0, 0.99, 1.0], QUIET)) == []


@pytest.mark.parametrize(
    ("medians", "environment", "part"),
    [
        ([1.0, 1.3, 0.8, 1.0, 1.4, 0.7, 1.0, 1.3, 0.8], QUIET, "noisy: rounds of one model spread"),
        ([1.0] * 3 + [1.04] * 3 + [1.08] * 3, QUIET, "became 8% slower"),
        ([1.08] * 3 + [1.04] * 3 + [1.0] * 3, QUIET, "became 7% faster"),
        ([1.0] * 8, QUIET | {"cores": 1, "load_average": {"start": [2.5], "end": None}}, "busy"),
        ([1.0] * 8, QUIET | {"memory": "ru_maxrss"}, "upper bound"),
        ([1.0] * 8, QUIET | {"memory": "none"}, "does not say how much memory"),
        ([1.0] * 8, QUIET | {"memory": "VmHWM without reset"}, "cannot reset"),
    ],
)
def test_each_kind_of_trouble_has_its_note(medians, environment, part):
    (note,) = notes.of_machine(medians, environment)
    assert part in note
