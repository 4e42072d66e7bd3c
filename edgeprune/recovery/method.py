"""The protocol of a recovery method."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress, PrunedModel, TracedModel


class RecoveryMethod(Protocol):
    """Recovers a pruned network; a row of :data:`edgeprune.recovery.METHODS`, or your own."""

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
