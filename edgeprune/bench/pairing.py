"""Alternating measurement: original and compressed in A/B/B/A blocks, so that drift cancels.

What slows a machine (its clock, its heat, other programs) lasts longer than one block of about
50 ms. Each round holds two blocks of each model in mirrored order, so a slow minute, or a steady
drift within the round, falls on both alike. A round gives one ratio of medians; their median is
the result and a bootstrap over rounds its interval.

The interval covers what changes while the two processes live. Where each happens to lie in memory
is settled when it starts: two processes of one file differ by a per cent or two, the same way in
every round, so a ratio that close to 1 is pointed out whatever its interval.
"""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgeprune.artifacts import RatioInterval
from edgeprune.stats import bootstrap_ratio, median, median_absolute_deviation

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.artifacts import Progress
    from edgeprune.bench.conversation import Ready

Blocks: TypeAlias = "tuple[tuple[float, ...], ...]"

BLOCK_S = 0.05
FEWEST_RUNS = 3
MOST_RUNS = 1000
FEWEST_ROUNDS = 8
CONFIDENCE = 0.95

PROCESS_LUCK = 0.03
NOISY_SPREAD = 0.10
NOISY_DRIFT = 0.05
QUIETER = "close other programs or measure longer, and repeat"

MEMORY = {
    "VmHWM without reset": "this device cannot reset its memory high-water mark: the peak covers "
    "the whole life of the process",
    "ru_maxrss": "this device only knows the highest memory of a process's whole life: idle memory "
    "is an upper bound, not comparable with figures from Linux",
    "none": "this device does not say how much memory a process takes: the figures are 0",
}


class Timed(Protocol):
    """A loaded model that can be run; a ``Worker`` is one."""

    ready: Ready

    def run(self, n: int) -> tuple[float, ...]:
        """Latencies of ``n`` runs, in seconds."""


def alternate(
    original: Timed, compressed: Timed, seconds: float, progress: Progress
) -> tuple[Blocks, Blocks]:
    """Run both models in A/B/B/A rounds until ``seconds`` have gone by, but 8 rounds at least.

    Returns:
        The blocks of the original and of the compressed model, two for each round, in seconds.
    """
    rounds = _rounds((original, compressed, compressed, original), seconds, progress)
    outer = tuple(block for first, _, _, last in rounds for block in (first, last))
    inner = tuple(block for _, second, third, _ in rounds for block in (second, third))
    return outer, inner


def alone(model: Timed, seconds: float, progress: Progress) -> Blocks:
    """The blocks of one model, run for ``seconds``, and 8 rounds of two at least; in seconds."""
    return tuple(block for blocks in _rounds((model, model), seconds, progress) for block in blocks)


def latency_ratio(original: Blocks, compressed: Blocks, seed: int) -> RatioInterval:
    """Compressed / original: the median of the rounds' ratios, with its 95 % bootstrap interval.

    Args:
        original: Two blocks for each round, in seconds.
        compressed: As many.
        seed: Of the bootstrap.
    """
    after, before = round_medians(compressed), round_medians(original)
    interval = bootstrap_ratio(after, before, random.Random(seed), confidence=CONFIDENCE)
    return RatioInterval(*interval, confidence=CONFIDENCE)


def round_medians(blocks: Blocks) -> list[float]:
    """The median latency of each round, over both of its blocks; in seconds."""
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    return [median(first + second) for first, second in pairs]


def ratio_notes(latency: RatioInterval) -> list[str]:
    """What must be said next to the ratio."""
    if latency.low <= 1 <= latency.high:
        note = (
            f"the interval of the latency ratio, {latency.low:.3f} to {latency.high:.3f}, contains "
            "1: no difference in latency was shown; measure longer to narrow it"
        )
    elif abs(latency.value - 1) < PROCESS_LUCK:
        note = (
            f"the latency ratio {latency.value:.3f} is so close to 1 that the luck of two "
            "processes may explain it; repeat the measurement and see whether it stays"
        )
    else:
        return []
    return [note]


def noise_notes(medians: list[float], environment: Mapping[str, Any]) -> list[str]:
    """What speaks against the figures themselves.

    Args:
        medians: Of the rounds of one model, in the order measured; the same model throughout, so
            that whatever moves is the machine.
        environment: As in ``Comparison``: reads cores, load_average and memory.
    """
    notes = []
    spread = median_absolute_deviation(medians) / median(medians)
    if spread > NOISY_SPREAD:
        notes.append(
            f"the machine was noisy: rounds of one model spread by {spread:.0%}; {QUIETER}"
        )
    third = max(1, len(medians) // 3)
    drift = median(medians[-third:]) / median(medians[:third]) - 1
    if abs(drift) > NOISY_DRIFT:
        changed = "slower" if drift > 0 else "faster"
        notes.append(
            f"the machine became {abs(drift):.0%} {changed} during the measurement (clock, heat or "
            f"other programs); let it settle, {QUIETER}"
        )
    loads, cores = environment["load_average"], environment["cores"]
    busiest = max((now[0] for now in loads.values() if now), default=0.0)
    if busiest > cores:
        notes.append(
            f"the machine was busy: load average {busiest:.1f} on {cores} cores; {QUIETER}"
        )
    return notes + [note for source, note in MEMORY.items() if source == environment["memory"]]


def _rounds(order: tuple[Timed, ...], seconds: float, progress: Progress) -> list[Blocks]:
    """Rounds of one block for each model in ``order``; a model may come more than once."""
    runs = [_block_length(model.ready.run_s) for model in order]
    rounds: list[Blocks] = []
    start = time.perf_counter()
    done = 0.0
    while done < 1:
        rounds.append(tuple(model.run(n) for model, n in zip(order, runs, strict=True)))
        done = min(len(rounds) / FEWEST_ROUNDS, (time.perf_counter() - start) / seconds)
        progress(min(done, 1.0), f"timing, round {len(rounds)}")
    return rounds


def _block_length(run_s: float) -> int:
    """Runs that last about 50 ms together; 3 at least, so that a block has a middle."""
    return min(MOST_RUNS, max(FEWEST_RUNS, round(BLOCK_S / max(run_s, 1e-9))))
