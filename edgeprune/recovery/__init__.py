"""PrunedModel → PrunedModel: give back the accuracy that pruning took, without data.

A method is a frozen dataclass, its options its fields, called with the original, the pruned
network and a progress callback. It returns a new network and leaves the one it was given alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from edgeprune.artifacts import Progress, PrunedModel, TracedModel
from edgeprune.choices import Choices
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging


class RecoveryMethod(Protocol):
    """Recovers a pruned network; a row of :data:`METHODS`, or your own."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """Return a recovered copy of ``pruned``."""
        ...


@dataclass(frozen=True, slots=True)
class NoRecovery:
    """Leave the network as surgery left it."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """Return ``pruned``."""
        return pruned


METHODS: Choices[Callable[[], RecoveryMethod]] = Choices(
    "recovery method",
    {"none": NoRecovery, "lbyl": Lbyl, "nm": NeuronMerging},
)
