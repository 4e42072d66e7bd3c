"""The protocol of an image source: where the inputs come from that features are measured on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import ImageKind, Progress, SourceModel


class ImageSource(Protocol):
    """Makes inputs of a network; a row of :data:`~edgeprune.images.sources.SOURCES`, a folder, or your own.

    Synthesized images are judged and kept with the run. Where a source has the fields ``seconds``
    or ``workspace``, a run sets them.
    """

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "256 images": "(procedural, dead leaves)"."""
        ...

    @property
    def kind(self) -> ImageKind:
        """Procedural, synthesized or real: what statistics of features on them are worth."""
        ...

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make inputs.

        Args:
            original: The network that takes them; not changed. Procedural sources look at
                its input alone.
            count: Images, N, at least 1; a source that has fewer returns all it has.
            seed: The same seed gives the same images.
            progress: Told the share done, where it takes long.

        Returns:
            One float32 tensor (N, …) for each input, normalised as ``original.input`` says. What
            is no image, because it is not 4-D, is standard normal noise.
        """
        ...
