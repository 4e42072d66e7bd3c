"""bench → Measurement: raw samples of one model, and two of them compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model timed in a process of its own.

    Attributes:
        blocks_s: Raw latencies, one tuple for each block of consecutive runs; seconds.
        load_s: Time to create the session; seconds.
        first_s: The first inference after loading; seconds.
        baseline_rss_bytes: Resident memory of the process with the runtime, without the model.
        idle_rss_bytes: Resident memory that the loaded model adds to the baseline.
        peak_rss_bytes: The most that loading or running the model ever added to the baseline.
    """

    blocks_s: tuple[tuple[float, ...], ...]
    load_s: float
    first_s: float
    baseline_rss_bytes: int
    idle_rss_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """A ratio, compressed / original, with its bootstrap interval.

    Attributes:
        value: Median of the rounds' ratios.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Of the interval, as a fraction.
    """

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models measured alternately on the same runtime and device.

    Attributes:
        original: Measurement of the first model.
        compressed: Measurement of the second.
        latency: Ratio of their latencies.
        environment: Machine, CPU, cores, threads, governor, runtime and its version, device.
        notes: What a reader must know before believing the figures; empty when nothing.
    """

    original: Measurement
    compressed: Measurement
    latency: RatioInterval
    environment: dict[str, object]
    notes: tuple[str, ...] = ()
