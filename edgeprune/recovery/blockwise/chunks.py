"""How many images blocks are trained on, and in which chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgeprune.recovery.training import feature_training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgeprune.artifacts import InputSpec
    from edgeprune.images.source import ImageSource

PIXELS = 1024 * 32 * 32
"""So many pixels are enough, in 96 to 1024 images."""

FEWEST, MOST = 96, 1024

CHUNK_PIXELS = 64 * 32 * 32
"""So many pixels a chunk, in 16 to 64 images."""

SHARE = 8
"""There is one validation image for so many to train on."""


@dataclass(frozen=True, slots=True)
class ChunkedImages:
    """Images in chunks; each chunk has one (N, …) for each input of the network.

    Attributes:
        validation: Chunks to validate on.
        training: Chunks to train on; the same where there are too few images to spare any.
    """

    validation: tuple[tuple[Tensor, ...], ...]
    training: tuple[tuple[Tensor, ...], ...]

    def held_out(self) -> tuple[Tensor, ...]:
        """The validation images of each input."""
        return tuple(map(torch.cat, zip(*self.validation, strict=True)))

    def fitting(self, most: int) -> tuple[Tensor, ...]:
        """The first images to train on, of each input."""
        return tuple(torch.cat(each)[:most] for each in zip(*self.training, strict=True))


def plenty(source: ImageSource, spec: InputSpec) -> int:
    """How many images to train blocks on: more of small ones, fewer of those that take long."""
    return min(spec.images_of(PIXELS, FEWEST, MOST), feature_training.plenty(source, spec))


def chunk_size(spec: InputSpec) -> int:
    """How many images a chunk has."""
    return spec.images_of(CHUNK_PIXELS, 16, 64)


def chunked(inputs: Sequence[Tensor], spec: InputSpec) -> ChunkedImages:
    """Divide images into chunks of about equal size, the first ones to validate on.

    Args:
        inputs: One (N, …) for each input of the network.
        spec: What the network takes.
    """
    size = chunk_size(spec)
    count = max(2, len(inputs[0]) // (SHARE + 1))
    if len(inputs[0]) < 2 * count:
        return ChunkedImages(_cut(inputs, size), _cut(inputs, size))
    validation, training = (
        [each[at] for each in inputs] for at in (slice(count), slice(count, None))
    )
    return ChunkedImages(_cut(validation, size), _cut(training, size))


def _cut(inputs: Sequence[Tensor], size: int) -> tuple[tuple[Tensor, ...], ...]:
    """Chunks of about so many images."""
    parts = max(1, round(len(inputs[0]) / size))
    return tuple(zip(*(each.tensor_split(parts) for each in inputs), strict=True))
