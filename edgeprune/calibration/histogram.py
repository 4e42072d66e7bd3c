"""The values that a tensor took over many inputs: their extremes, and how often each part of them.

Extremes come from a first pass over the inputs, counts, where an observer wants them, from a
second: the bins then lie where the values are, whatever came first.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from edgeprune.parity import Array

BINS = 2048
"""Bins of a histogram: eight for each code of eight bits."""


@dataclass(frozen=True, slots=True, eq=False)
class Histogram:
    """Values of one tensor.

    Attributes:
        low: Smallest value.
        high: Largest value.
        counts: How many values lie in each of equally wide bins from ``low`` to ``high``, (bins,);
            None where nobody asked.
    """

    low: float
    high: float
    counts: Array | None = None

    @property
    def edges(self) -> Array:
        """Ends of the bins, (bins + 1,)."""
        assert self.counts is not None
        return np.linspace(self.low, self.high, len(self.counts) + 1)

    @property
    def centres(self) -> Array:
        """Middle of each bin, (bins,)."""
        edges = self.edges
        return (edges[:-1] + edges[1:]) / 2


def extremes(runs: Iterable[Mapping[str, Array]]) -> dict[str, Histogram]:
    """Smallest and largest value of each tensor.

    Args:
        runs: The tensors by name, for one input after the other.

    Returns:
        A histogram without counts for each tensor that holds any value.
    """
    found: dict[str, Histogram] = {}
    for run in runs:
        for name, values in run.items():
            if values.size:
                low, high = float(values.min()), float(values.max())
                seen = found.get(name, Histogram(low, high))
                found[name] = Histogram(min(seen.low, low), max(seen.high, high))
    return found


def counted(
    runs: Iterable[Mapping[str, Array]], known: Mapping[str, Histogram]
) -> dict[str, Histogram]:
    """Histograms of the tensors, once their extremes are known.

    Args:
        runs: The tensors by name, for one input after the other, as :func:`extremes` saw them.
        known: What :func:`extremes` found.
    """
    totals = {name: np.zeros(BINS, dtype=np.int64) for name in known}
    for run in runs:
        for name, values in run.items():
            if name in known:
                span = (known[name].low, known[name].high)
                totals[name] += np.histogram(values, bins=BINS, range=span)[0]
    return {name: Histogram(each.low, each.high, totals[name]) for name, each in known.items()}
