"""PrunedModel → PrunedModel: give back the accuracy that pruning took, without data.

A method is a frozen dataclass, its options its fields, called with the original, the pruned
network and a progress callback. It returns a new network and leaves the one it was given alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from edgeprune.choices import Choices
from edgeprune.recovery.analytic import Analytic, Statistics
from edgeprune.recovery.auto import Auto
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging
from edgeprune.recovery.reconstruct import Reconstruct

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel


class RecoveryMethod(Protocol):
    """Recovers a pruned network; a row of :data:`METHODS`, or your own."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """Recover a pruned network.

        Args:
            traced: The original with its groups.
            pruned: The result of surgery, or of an earlier method; not changed.
            progress: Told the share done.

        Returns:
            A network with new weights, the step that was taken appended to ``recovered_by``.
        """
        ...


@dataclass(frozen=True, slots=True)
class NoRecovery:
    """Leave the network as surgery left it."""

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """Return ``pruned``."""
        return pruned


def recover(
    traced: TracedModel,
    pruned: PrunedModel,
    methods: Sequence[RecoveryMethod],
    progress: Progress | None = None,
) -> PrunedModel:
    """Apply recovery methods one after another.

    Args:
        traced: The original with its groups.
        pruned: The result of surgery; not changed.
        methods: In the order of application.
        progress: Told the share done of the method that runs.

    Returns:
        The recovered network; its ``recovered_by`` lists what ran.
    """
    for method in methods:
        pruned = method(traced, pruned, progress)
    return pruned


METHODS: Choices[Callable[[], RecoveryMethod]] = Choices(
    "recovery method",
    {
        "none": NoRecovery,
        "auto": Auto,
        "nm": NeuronMerging,
        "lbyl": Lbyl,
        "statistics": Statistics,
        "analytic": Analytic,
        "reconstruct": Reconstruct,
    },
)
