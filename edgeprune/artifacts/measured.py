"""bench → Measurement: raw samples of one model, and two of them compared."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Session:
    """One model timed in one fresh process. Memory is resident memory above the baseline.

    Attributes:
        blocks_s: Raw latencies, one tuple for each block of consecutive runs; seconds.
        load_s: Time to load the model into the runtime; seconds.
        first_s: The first inference after loading; seconds.
        baseline_rss_bytes: Resident memory of the process with the runtime, without the model.
        idle_rss_bytes: Memory of the loaded model, once freed pages are handed back.
        load_peak_rss_bytes: Peak memory while it was loaded.
        run_peak_rss_bytes: Peak memory while it ran.
    """

    blocks_s: tuple[tuple[float, ...], ...]
    load_s: float
    first_s: float
    baseline_rss_bytes: int
    idle_rss_bytes: int
    load_peak_rss_bytes: int
    run_peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model timed in several sessions.

    Attributes:
        sessions: The sessions, in the order measured.
        profile_peak_bytes: Peak memory of one inference by the runtime's own count: tensors,
            scratch, weights that kernels repack. It is the same in every run; None for a runtime
            that does not count.
    """

    sessions: tuple[Session, ...]
    profile_peak_bytes: int | None = None

    @property
    def blocks_s(self) -> tuple[tuple[float, ...], ...]:
        """The blocks of all sessions, in seconds."""
        return tuple(block for session in self.sessions for block in session.blocks_s)

    @property
    def samples_s(self) -> tuple[float, ...]:
        """The latencies of all sessions, in seconds."""
        return tuple(sample for block in self.blocks_s for sample in block)


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """A ratio, compressed / original, with its interval.

    Attributes:
        value: The centre of the sessions' ratios.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Share of repeated measurements whose interval holds the truth; a fraction.
    """

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class LatencyComparison:
    """Two models measured alternately on the same runtime and device.

    Attributes:
        original: Measurement of the first model.
        compressed: Measurement of the second.
        latency: Ratio of their latencies.
        environment: Machine, CPU, cores, threads, governor, runtime and its version, device.
        notes: Warnings to read before believing the figures; empty when there are none.
    """

    original: Measurement
    compressed: Measurement
    latency: RatioInterval
    environment: dict[str, object]
    notes: tuple[str, ...] = ()

    @property
    def ratio(self) -> RatioInterval:
        """Compressed / original of what was measured."""
        return self.latency


@dataclass(frozen=True, slots=True)
class OperatorTimes:
    """How long one operator of the graph that a runtime made of a model takes.

    Attributes:
        name: Name that the runtime gives it: of a node of the file, or of a tensor that it makes,
            often with a suffix.
        kind: The kind of operator, in the runtime's words.
        samples_s: Latency of each run, in seconds.
    """

    name: str
    kind: str
    samples_s: tuple[float, ...]
