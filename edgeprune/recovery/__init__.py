"""PrunedModel → PrunedModel: give back the accuracy that pruning took, without data.

A method is a frozen dataclass whose fields are its options, called with the original, the pruned
network and the run's context. It returns a new network and leaves the one it was given alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.choices import Choices
from edgeprune.deep_stack import with_room
from edgeprune.graph.solvable import solvable
from edgeprune.recovery.auto import Auto
from edgeprune.recovery.blockwise.blockwise import Blockwise
from edgeprune.recovery.closed_form.analytic import Analytic, Statistics
from edgeprune.recovery.closed_form.lbyl import Lbyl
from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
from edgeprune.recovery.context import RecoveryContext, require_methods
from edgeprune.recovery.harm import with_warning
from edgeprune.recovery.layerwise.reconstruct import Reconstruct
from edgeprune.recovery.method import RecoveryMethod
from edgeprune.recovery.training.distill import Distill
from edgeprune.recovery.training.supervise import Supervise

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.artifacts import PrunedModel, TracedModel


__all__ = [
    "METHODS",
    "NoRecovery",
    "RecoveryContext",
    "RecoveryMethod",
    "recover",
    "require_methods",
]


@dataclass(frozen=True, slots=True)
class NoRecovery(RecoveryMethod):
    """Leave the network as surgery left it."""

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Return ``pruned``."""
        return pruned


@with_room
def recover(
    traced: TracedModel,
    pruned: PrunedModel,
    methods: Sequence[RecoveryMethod],
    context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
) -> PrunedModel:
    """Apply recovery methods one after another; where no channel was removed, none.

    Args:
        traced: The original with its groups.
        pruned: The result of surgery; not changed.
        methods: Methods in the order of application.
        context: What the run has for all of them together. Those that can keep to a time get
            equal shares of what is left when they start, closed forms take what they need.

    Returns:
        The recovered network; its ``recovered_by`` lists what ran.

    Raises:
        ModelUnsupported: The network's numbers are too extreme for a method.
    """
    require_methods(methods)
    if not any(group.removed for group in pruned.plan.groups):
        return pruned
    for method, own in context.for_each(methods):
        with solvable(*_in_words(method)):
            made = method(traced, pruned, own)
        keeps_best = method.keeps_best
        pruned = made if keeps_best else with_warning(traced, pruned, made, context.seed)
    return pruned


def _in_words(method: RecoveryMethod) -> tuple[str, str]:
    """A method as the user chose it, and how to do without; the user's own has no flag."""
    for name, kind in METHODS.items():
        if kind is type(method):
            return f"--recover {name}", "--recover none leaves it out"
    return type(method).__name__, "leave it out"


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
        "blockwise": Blockwise,
        "supervise": Supervise,
        "distill": Distill,
    },
)
