"""Warnings to read before believing figures: how sure they are, and what disturbed them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from edgeprune.bench import sessions
from edgeprune.stats import median, median_absolute_deviation, outlier_count

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from edgeprune.artifacts import RatioInterval
    from edgeprune.bench.sessions import Series

NOISY_SPREAD = 0.10
NOISY_DRIFT = 0.05
QUIETER = "close other programs or measure longer, and repeat"

PROCESS_SCATTER = 0.005
"""Standard deviation of sessions' figures on a quiet machine, as a fraction: outliers lie further
apart."""

MEMORY = {
    "VmHWM without reset": "this device cannot reset its memory high-water mark: the peak covers "
    "the whole life of the process",
    "ru_maxrss": "this device only knows the highest memory of a process's whole life: idle memory "
    "is an upper bound, not comparable with figures from Linux",
    "none": "this device does not say how much memory a process takes: the figures are 0",
}


def of_series(series: Series, *, seconds: float, within: float) -> Iterator[str]:
    """Warnings about an unsure figure, sessions that stand out, and sessions that were repeated.

    Args:
        series: The sessions.
        seconds: Their time limit.
        within: The half-width asked for, as a fraction.
    """
    count = len(series.sessions)
    if count < sessions.ENOUGH:
        needed = math.ceil(series.seconds / count * (sessions.ENOUGH + 1))
        yield (
            f"Only {count} sessions fit into {seconds:g} s; the interval is unreliable. "
            f"Use --seconds {needed}."
        )
    elif series.within > within:
        yield (
            f"the latency is known within {series.within:.1%}, not within the {within:.1%} asked "
            f"for: {count} sessions took the {seconds:g} s allowed; use a larger --seconds"
        )
    if outliers := outlier_count(
        [session.figure for session in series.sessions], floor=PROCESS_SCATTER
    ):
        yield (
            f"{outliers} of {count} sessions gave a latency far from the others'; the interval "
            f"allows for it, but something disturbed the machine: {QUIETER}"
        )
    if series.losses:
        yield f"{len(series.losses)} lost sessions were repeated: {series.losses[-1]}"


def of_ratio(latency: RatioInterval, medians: float) -> Iterator[str]:
    """Warnings that belong next to the ratio.

    Args:
        latency: The ratio of the p5 latencies, with its interval.
        medians: The ratio of the medians.
    """
    if latency.low <= 1 <= latency.high:
        yield (
            f"the interval of the latency ratio, {latency.low:.3f} to {latency.high:.3f}, contains "
            "1: no difference in latency was shown; measure longer to narrow it"
        )
    if not latency.low <= medians <= latency.high:
        yield (
            f"medians give a ratio of {medians:.3f}, outside of the interval, which is that of "
            "p5 latencies: the models differ in how often or how long they were interrupted"
        )


def of_shapes(environment: Mapping[str, Any]) -> Iterator[str]:
    """What inputs were measured at, where the file leaves that open."""
    if opened := environment.get("shapes"):
        given = ", ".join(f"{name}:{shape}" for name, shape in opened.items())
        yield f"the file leaves sizes open; measured at {given} (--shape takes another)"


def of_machine(medians: list[float], environment: Mapping[str, Any]) -> Iterator[str]:
    """Warnings about the machine that the figures were taken on.

    Args:
        medians: Median latency of each round of one model, in the order measured; seconds. The
            model is the same throughout, so whatever changes is the machine.
        environment: Environment of the measurement; cores, load_average and memory are read.
    """
    spread = median_absolute_deviation(medians) / median(medians)
    if spread > NOISY_SPREAD:
        yield f"the machine was noisy: rounds of one model spread by {spread:.0%}; {QUIETER}"
    third = max(1, len(medians) // 3)
    drift = median(medians[-third:]) / median(medians[:third]) - 1
    if abs(drift) > NOISY_DRIFT:
        changed = "slower" if drift > 0 else "faster"
        yield (
            f"the machine became {abs(drift):.0%} {changed} during the measurement (clock, heat or "
            f"other programs); let it settle, {QUIETER}"
        )
    loads, cores = environment["load_average"], environment["cores"]
    busiest = max((now[0] for now in loads.values() if now), default=0.0)
    if busiest > cores:
        yield f"the machine was busy: load average {busiest:.1f} on {cores} cores; {QUIETER}"
    yield from (note for source, note in MEMORY.items() if source == environment["memory"])
