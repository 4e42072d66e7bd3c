"""The protocol of an image source: where the inputs come from that features are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import ImageKind, Progress, SourceModel


class ImageSource(Protocol):
    """Makes inputs of a network.

    It is a row of :data:`~edgeprune.images.sources.SOURCES`, a folder, or your own. The images of a
    run are scored, and synthesized ones are saved with the run. Where a source has the fields
    ``seconds`` or ``workspace``, a run sets them.
    """

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "256 images": "(procedural, dead leaves)"."""
        ...

    @property
    def kind(self) -> ImageKind:
        """Procedural, synthesized or real: whether statistics of features are those of data."""
        ...

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make inputs.

        Args:
            original: Network that takes the inputs; not changed. Procedural sources use its input
                shapes alone.
            count: Number of images, N, at least 1; a source that has fewer returns all it has.
            seed: Random seed; equal seeds give equal images.
            progress: Called with the share that is done, 0 to 1, by sources that take long.

        Returns:
            One tensor (N, …) for each input, of the type and normalised as ``original.input``
            says. Inputs that are no images, not 4-D or not float32, are random
            (:mod:`edgeprune.random_inputs`).
        """
        ...
