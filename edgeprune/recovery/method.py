"""The protocol of a recovery method."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar, Protocol

if TYPE_CHECKING:
    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.images.source import ImageSource
    from edgeprune.recovery.context import RecoveryContext


class RecoveryMethod(Protocol):
    """Recovers a pruned network; a row of :data:`edgeprune.recovery.METHODS`, or your own.

    Derive from this class, and a method that is a formula on weights has to define no more than
    ``__call__``.

    Attributes:
        timed: Whether the method keeps to ``context.seconds``; the run's time limit is shared
            among those that do.
        keeps_best: Whether the method measures what it makes, and keeps what it was given where
            that is better; of others a run says when they did harm.
    """

    timed: ClassVar[bool] = False
    keeps_best: ClassVar[bool] = False

    @property
    def source(self) -> ImageSource | None:
        """Source of images if the run has none for the method; None: it takes no images."""
        return None

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, context: RecoveryContext
    ) -> PrunedModel:
        """Recover a pruned network.

        Args:
            traced: The original with its groups.
            pruned: The result of surgery, or of an earlier method; not changed.
            context: The run's images, time, seed and folders for the method.

        Returns:
            A network with new weights, the step that was taken appended to ``recovered_by``.
        """
        ...
