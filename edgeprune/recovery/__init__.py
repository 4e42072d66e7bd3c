"""PrunedModel → PrunedModel: give back the accuracy that pruning took, without data.

A method is a frozen dataclass, its options its fields, called with the original, the pruned
network and a progress callback. It returns a new network and leaves the one it was given alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune.choices import Choices
from edgeprune.recovery.auto import Auto
from edgeprune.recovery.closed_form.analytic import Analytic, Statistics
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.context import Clock, equipped, labels, takes_images, watched
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.distill import Distill
from edgeprune.recovery.training.supervise import Supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel


__all__ = ["METHODS", "NoRecovery", "RecoveryMethod", "equipped", "recover", "takes_images"]


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
    *,
    seconds: float | None = None,
    folder: Path | None = None,
) -> PrunedModel:
    """Apply recovery methods one after another; where no channel was removed, none.

    Args:
        traced: The original with its groups.
        pruned: The result of surgery; not changed.
        methods: In the order of application.
        progress: Told the share done of the method that runs.
        seconds: What all of them may take. Those that can be timed get equal shares of what is
            left when they start, closed forms take what they need. None: there is no limit.
        folder: Where images that the original imagines are written, with a sheet of them; None:
            nowhere.

    Returns:
        The recovered network; its ``recovered_by`` lists what ran.
    """
    if not any(group.removed for group in pruned.plan.groups):
        return pruned
    clock = Clock(methods, seconds)
    for label, method in zip(labels(methods), methods, strict=True):
        before = len(pruned.recovered_by)
        method = watched(method, clock.share_of(method), folder, label)
        pruned = method(traced, pruned, progress)
        if quality := getattr(getattr(method, "source", None), "quality", None):
            steps = pruned.recovered_by
            seen = (replace(step, quality=quality) for step in steps[before:])
            pruned = replace(pruned, recovered_by=(*steps[:before], *seen))
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
        "supervise": Supervise,
        "distill": Distill,
    },
)
