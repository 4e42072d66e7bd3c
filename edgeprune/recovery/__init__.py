"""PrunedModel → PrunedModel: give back the accuracy that pruning took, without data.

A method is a frozen dataclass, its options its fields, called with the original, the pruned
network and a progress callback. It returns a new network and leaves the one it was given alone.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol

from edgeprune.calibration.folder import Folder
from edgeprune.choices import Choices
from edgeprune.recovery.analytic import Analytic, Statistics
from edgeprune.recovery.auto import Auto
from edgeprune.recovery.distill import Distill
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging
from edgeprune.recovery.reconstruct import Reconstruct
from edgeprune.recovery.supervise import Supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

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


def takes_images(method: RecoveryMethod) -> bool:
    """Whether a method fits to images: it then has a ``source`` of them."""
    return hasattr(method, "source")


def equipped(
    methods: Sequence[RecoveryMethod], folder: Path | None, seed: int
) -> tuple[RecoveryMethod, ...]:
    """Give methods what the run has for them.

    Args:
        methods: In the order of application.
        folder: The user's own images, for methods that would draw theirs; None: there are none.
        seed: For methods that have none of their own.

    Returns:
        The same methods, some with another ``source`` or ``seed``.
    """
    given: list[Any] = list(methods)
    for place, method in enumerate(given):
        if folder is not None and takes_images(method) and method.source.drawn:
            given[place] = method = replace(method, source=Folder(folder))
        if getattr(method, "seed", seed) is None:
            given[place] = replace(method, seed=seed)
    return tuple(given)


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
