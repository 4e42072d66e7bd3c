"""How often the interval of a measurement holds the truth, though it also decides when to stop.

    python benchmarks/bench/interval_coverage.py --trials 100000 --json coverage.json

A measurement looks at its interval after 6, 9, 14, … sessions (``LOOKS``) and stops at the first
that is narrow enough. Whoever looks often stops too often at an interval that is narrow by luck, so
at each look it asks for more than 95 % confidence. That is ``LOOK_CONFIDENCE`` of
edgeprune/bench/sessions.py, which comes from this table. Series of sessions are simulated: their
figures scatter around a truth of 0 in several ways and by several standard deviations, and each
confidence sees the same series.

Prints a line for each scatter and confidence: the coverage at the standard deviation where it is
lowest, that over all of them with its standard error, and the mean number of sessions. Nothing is
measured, so the table is the same on every machine.
"""

from __future__ import annotations

import argparse
import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.stats import gamma

from edgeprune.bench.sessions import LOOKS
from edgeprune.stats import signed_rank_cut, surest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

    Noise = np.random.Generator
    Array = NDArray[Any]

WITHIN = 0.01
"""The half-width that is narrow enough, as a fraction: the default of ``BenchSettings``."""
SPREADS = (0.004, 0.008, 0.012, 0.014, 0.016, 0.018, 0.02, 0.022, 0.025, 0.03, 0.04)
"""Standard deviations of the sessions' figures; logarithms of a latency or of a ratio."""
CONFIDENCES = (0.95, 0.96, 0.965, 0.97, 0.9725, 0.975, 0.9775, 0.98)
CHUNK = 2000
"""Trials that are simulated at once: 100 sessions have 5,050 pairwise means."""

SHAPE = 4.0
"""Shape of the gamma distribution that is skewed: its skewness is 1."""
PSEUDOMEDIAN = gamma(2 * SHAPE).median() / 2
"""The centre that the estimate aims at: the median of the mean of two values."""


def two_humps(noise: Noise, size: tuple[int, int]) -> Array:
    """Processes that are either lucky or unlucky."""
    return noise.choice((-0.9, 0.9), size) + 0.44 * noise.standard_normal(size)


def heavy_tails(noise: Noise, size: tuple[int, int]) -> Array:
    """One session in ten is disturbed."""
    width = np.where(noise.random(size) < 0.1, 5.0, 0.8)
    return width * noise.standard_normal(size)


def skewed(noise: Noise, size: tuple[int, int]) -> Array:
    """Sessions that are late by far and early by little."""
    return (noise.gamma(SHAPE, size=size) - PSEUDOMEDIAN) / math.sqrt(SHAPE)


SCATTERS: dict[str, Callable[[Noise, tuple[int, int]], Array]] = {
    "normal": lambda noise, size: noise.standard_normal(size),
    "heavy tails": heavy_tails,
    "two humps": two_humps,
    "skewed": skewed,
}
"""Figures around 0; each has a standard deviation near 1."""


def main() -> None:
    """Simulate, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--trials", type=int, default=20_000, help="series for each line")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--confidence", type=float, nargs="+", default=CONFIDENCES)
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the rows")
    options = parser.parse_args()
    rows = []
    for name in SCATTERS:
        noise = np.random.default_rng([options.seed, len(rows)])
        rows += simulated(name, options.trials, options.confidence, noise)
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    print(table(rows))


def simulated(
    name: str, trials: int, confidences: Sequence[float], noise: Noise
) -> list[dict[str, Any]]:
    """A row for each confidence and standard deviation of one scatter."""
    covered = np.zeros((len(confidences), len(SPREADS)))
    sessions = np.zeros_like(covered)
    for start in range(0, trials, CHUNK):
        figures = SCATTERS[name](noise, (min(CHUNK, trials - start), LOOKS[-1]))
        ends = intervals(figures, confidences)
        for column, spread in enumerate(SPREADS):
            for row in range(len(confidences)):
                hits, counts = at_the_end(ends[:, row] * spread)
                covered[row, column] += hits.sum()
                sessions[row, column] += counts.sum()
    return [
        {
            "scatter": name,
            "confidence": confidence,
            "spread": spread,
            "trials": trials,
            "coverage": covered[row, column] / trials,
            "sessions": sessions[row, column] / trials,
        }
        for row, confidence in enumerate(confidences)
        for column, spread in enumerate(SPREADS)
    ]


def intervals(figures: Array, confidences: Sequence[float]) -> Array:
    """Both ends of the interval at every look: those of ``stats.centre``, for many series at once.

    Six values cannot be more than 96.875 % sure; their widest interval then stands for more.

    Args:
        figures: (trials, sessions).
        confidences: Asked of the interval at each look.

    Returns:
        (looks, confidences, ends, trials).
    """
    found = np.empty((len(LOOKS), len(confidences), 2, len(figures)))
    for look, n in enumerate(LOOKS):
        one, other = np.triu_indices(n)
        means = (figures[:, one] + figures[:, other]) / 2
        cuts = [signed_rank_cut(n, min(confidence, surest(n))) for confidence in confidences]
        last = means.shape[1] - 1
        means.partition(sorted({*cuts, *(last - cut for cut in cuts)}), axis=1)
        for row, cut in enumerate(cuts):
            found[look, row] = means[:, cut], means[:, last - cut]
    return found


def at_the_end(ends: Array) -> tuple[Array, Array]:
    """Whether 0 is in the interval at which each series stops, and after how many sessions.

    Args:
        ends: (looks, ends, trials).
    """
    low, high = ends[:, 0], ends[:, 1]
    narrow = np.expm1((high - low) / 2) <= WITHIN
    narrow[-1] = True
    look = narrow.argmax(axis=0)
    trial = np.arange(ends.shape[2])
    return (low[look, trial] <= 0) & (high[look, trial] >= 0), np.array(LOOKS)[look]


def table(rows: list[dict[str, Any]]) -> str:
    """One line for each scatter and confidence, in Markdown."""
    lines = [
        "| scatter | confidence | lowest coverage | at σ of | mean coverage | sessions |",
        "|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[str, float], list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["scatter"], row["confidence"]), []).append(row)
    for (scatter, confidence), group in groups.items():
        worst = min(group, key=lambda row: row["coverage"])
        mean = sum(row["coverage"] for row in group) / len(group)
        count = sum(row["sessions"] for row in group) / len(group)
        lines.append(
            f"| {scatter} | {confidence:.2%} | {share(worst['coverage'], worst['trials'])} "
            f"| {worst['spread']:.1%} | {mean:.2%} | {count:.1f} |"
        )
    return "\n".join(lines)


def share(coverage: float, trials: int) -> str:
    """A share of trials with its standard error."""
    error = math.sqrt(coverage * (1 - coverage) / trials)
    return f"{coverage:.2%} ± {error:.2%}"


if __name__ == "__main__":
    main()
