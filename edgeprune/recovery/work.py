"""How much of the training methods there is by default, and how long that takes.

Counted in multiply-accumulates, not in seconds: two runs then take the same steps, and give the
same weights, on any machine.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isinf
from typing import TYPE_CHECKING

from edgeprune import costs, units
from edgeprune.recovery.blockwise import block_training, chunks

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel

TOTAL = 8e11
"""Multiply-accumulates of all training by default."""

LEAST_STEPS = 50
"""With fewer steps, training the whole network is not worth its time."""

RATE = 8e9
"""Multiply-accumulates a second of two cores, of forward and backward passes, at a guess."""


@dataclass(frozen=True, slots=True)
class Work:
    """What the methods that train may do.

    Attributes:
        steps: Steps of the whole network's training; 0: as many as there is time for.
        trains: Whether the whole network is trained at all.
        seconds: How long both take, about.
    """

    steps: int
    trains: bool
    seconds: float

    @property
    def duration(self) -> str:
        """How long it takes, in words."""
        return f"about {units.duration(self.seconds)} of training, on two cores"


def work(traced: TracedModel, pruned: PrunedModel, steps: int, seconds: float) -> Work:
    """What the methods that train may do.

    Args:
        traced: The original with its groups.
        pruned: The network to recover.
        steps: Number of steps that was asked for; 0: none was.
        seconds: Time limit; inf: none.
    """
    spec = traced.source.input
    batch = chunks.chunk_size(spec)
    original = costs.count(traced.source.module, spec, traced.record).macs * batch
    left = costs.count(pruned.module, spec).macs * batch
    of_blocks = block_training.default_steps(left) * block_training.PASSES * left
    step = max(1, original + block_training.PASSES * left)
    if steps or not isinf(seconds):
        return Work(steps, True, min(seconds, (of_blocks + steps * step) / RATE))
    fitting = int((TOTAL - of_blocks) / step)
    trains = fitting >= LEAST_STEPS
    return Work(fitting, trains, (of_blocks + trains * fitting * step) / RATE)
