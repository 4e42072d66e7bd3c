"""The user's own images, without labels: a random choice of those that recovery fits to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch

from edgeprune.artifacts import ImageKind
from edgeprune.images.reading import unlabelled

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgeprune.artifacts import Progress, SourceModel


@dataclass(frozen=True, slots=True)
class Folder:
    """Images below a folder, prepared as :mod:`edgeprune.images.reading` says.

    Attributes:
        path: Folder with the images; those in its sub-folders count too.
    """

    path: Path

    kind: ClassVar[ImageKind] = ImageKind.REAL

    @property
    def origin(self) -> str:
        """Where the images are from, to follow "500 images"."""
        return f"from {self.path}"

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Choose images as :class:`~edgeprune.images.source.ImageSource` says.

        Raises:
            UsageError: If there are no images, an image cannot be read, or the network takes none.
        """
        images = unlabelled(self.path, original.input, "fitting")
        generator = torch.Generator().manual_seed(seed)
        chosen = torch.randperm(len(images), generator=generator)[:count].tolist()
        return (torch.stack([images[index][0] for index in chosen]),)
