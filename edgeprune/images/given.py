"""Images that are tensors already."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.artifacts import ImageKind

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts import Progress, SourceModel


@dataclass(frozen=True, slots=True)
class Given:
    """Images that are tensors already.

    Attributes:
        images: One tensor (N, …) for each input, as the network takes them.
        origin: Where the images are from, to follow "256 images".
        kind: Procedural, synthesized or real.
    """

    images: tuple[Tensor, ...]
    origin: str = "given"
    kind: ImageKind = ImageKind.REAL

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Return the first ``count`` images, whatever the seed."""
        return tuple(each[:count] for each in self.images)
