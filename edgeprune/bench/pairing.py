"""One session: models take turns in fresh processes, in A/B/B/A rounds of short blocks.

What slows a machine (its clock, its heat, other programs) lasts longer than a block of about 50 ms.
Each round holds two blocks of each model in mirrored order, so a slow minute, or a steady drift,
falls on both alike. Processes start in turn as well, and the one that started first runs first.

A session gives one figure: of two models the logarithm of the ratio of their p5 latencies, of one
model the logarithm of its own; p5 is the 5 % quantile of all runs. What interrupts a run only ever
adds to its time (J. Chen and J. Revels, "Robust benchmarking in noisy environments",
arXiv:1608.04295), so beside other programs a median is that of the model and a slice of theirs, and
the ratio of two such medians lies nearer to 1 than that of the models.
"""

from __future__ import annotations

import math
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

from edgeprune.artifacts import Session
from edgeprune.stats import P5, median, quantile

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.bench.worker_process import FinalState, Ready, Worker

Blocks: TypeAlias = "tuple[tuple[float, ...], ...]"
Start: TypeAlias = "Callable[[int, list[int] | None], Worker]"
"""Starts a process of the model of this number, on these cores or on those that it chooses."""

BLOCK_S = 0.05
FEWEST_RUNS = 2
MOST_RUNS = 1000
SESSION_S = 1.0
FEWEST_ROUNDS = 2
MOST_ROUNDS = 5


@dataclass(frozen=True, slots=True)
class SessionResult:
    """The figures of one session.

    Attributes:
        sides: Latencies and memory of each model, in the order of the models.
        profiles: Peak memory of one inference by the runtime's own count, for each model; bytes.
            None where it was not asked, or does not count.
        environment: The machine, as the first of its processes describes it.
        load_averages: Load average of the machine at the start and at the end.
        clocks: Frequency and heat of the machine at the start and at the end.
    """

    sides: tuple[Session, ...]
    profiles: tuple[int | None, ...]
    environment: dict[str, Any]
    load_averages: tuple[Any, Any]
    clocks: tuple[Any, Any] = (None, None)

    @property
    def figure(self) -> float:
        """The logarithm of the p5 latency, or of the ratio of two: the second to the first."""
        *below, last = (math.log(p5_latency(side.blocks_s)) for side in self.sides)
        return last - sum(below)


def run_session(start: Start, models: int, number: int) -> SessionResult:
    """Start every model, let them take turns, and end them.

    Args:
        start: Starts a process.
        models: Number of models.
        number: Number of the session, from 0; in every second one the last model comes first.

    Raises:
        DeviceFailed: When the device, the runtime or a model does not do its part.
    """
    order = range(models) if number % 2 == 0 else range(models)[::-1]
    with ExitStack() as processes:
        started: dict[int, Worker] = {}
        cores: list[int] | None = None
        for model in order:
            started[model] = processes.enter_context(start(model, cores))
            cores = started[model].ready.environment["pinned"]
        workers = tuple(started[model] for model in range(models))
        blocks = turns(workers, order)
        final = tuple(worker.stop(profile=number == 0) for worker in workers)
    environment = started[order[0]].ready.environment
    ready = (worker.ready for worker in workers)
    return SessionResult(
        sides=tuple(map(_side, blocks, ready, final)),
        profiles=tuple(state.profile_peak_bytes for state in final),
        environment=environment,
        load_averages=(environment["load_average"], final[-1].load_average),
        clocks=(environment.get("clock"), final[-1].clock),
    )


def turns(workers: Sequence[Worker], order: Sequence[int]) -> tuple[Blocks, ...]:
    """The blocks of each model from rounds of all models there and back; in seconds.

    Args:
        workers: Loaded models.
        order: Which of them comes first, second, …; each once.
    """
    runs = [block_length(worker.ready.run_s) for worker in workers]
    blocks: tuple[list[tuple[float, ...]], ...] = tuple([] for _ in workers)
    once = 2 * sum(n * worker.ready.run_s for n, worker in zip(runs, workers, strict=True))
    for _ in range(round_count(once)):
        for model in (*order, *order[::-1]):
            blocks[model].append(workers[model].run(runs[model]))
    return tuple(map(tuple, blocks))


def block_length(run_s: float) -> int:
    """Runs that last about 50 ms together; 2 at least, because the first finds cold caches."""
    return min(MOST_RUNS, max(FEWEST_RUNS, round(BLOCK_S / max(run_s, 1e-9))))


def round_count(round_s: float) -> int:
    """Rounds that last about a second together: from 2 for slow models to 5."""
    return min(MOST_ROUNDS, max(FEWEST_ROUNDS, round(SESSION_S / max(round_s, 1e-9))))


def p5_latency(blocks: Blocks) -> float:
    """The 5 % quantile of all runs, in seconds: the latency of those that nothing interrupted."""
    return quantile([sample for block in blocks for sample in block], P5)


def median_latency(blocks: Blocks) -> float:
    """The median of all runs, in seconds."""
    return median([sample for block in blocks for sample in block])


def round_medians(blocks: Blocks) -> list[float]:
    """The median latency of each round, over both of its blocks; in seconds."""
    pairs = zip(blocks[::2], blocks[1::2], strict=True)
    return [median(first + second) for first, second in pairs]


def _side(blocks: Blocks, ready: Ready, final: FinalState) -> Session:
    return Session(
        blocks_s=blocks,
        load_s=ready.load_s,
        first_s=ready.first_s,
        baseline_rss_bytes=ready.baseline_rss_bytes,
        idle_rss_bytes=ready.idle_rss_bytes,
        load_peak_rss_bytes=ready.load_peak_rss_bytes,
        run_peak_rss_bytes=final.run_peak_rss_bytes,
    )
