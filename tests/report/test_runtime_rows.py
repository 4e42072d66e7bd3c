"""Outputs under emulation: rounding is let pass, anything else is a complaint."""

from __future__ import annotations

from dataclasses import replace

import page_examples
import pytest

from edgeprune.report.document import Instructions
from edgeprune.report.runtime_rows import emulation_complaint


def counted(*differences: float | None):
    """A report of models whose outputs under emulation differ by so much."""
    report = page_examples.compressed()
    sides = [
        replace(report.original, instructions=Instructions(10, (10,), 0.0, differs))
        for differs in differences
    ]
    return replace(report, original=sides[0], compressed=sides[1])


@pytest.mark.parametrize(
    ("differences", "text"),
    [((1e-6, 0.0), ""), ((1e-6, 0.5), "0.5"), ((0.02, 0.0), "0.02"), ((0.0, None), "not finite")],
)
def test_wrong_outputs_are_a_complaint(
    differences: tuple[float | None, float | None], text: str
) -> None:
    found = emulation_complaint(counted(*differences))
    assert bool(found) == bool(text)
    assert text in found


def test_where_nothing_was_counted_nothing_is_wrong() -> None:
    assert emulation_complaint(page_examples.compressed()) == ""
