"""Procedural images: no data, yet edges, surfaces and colours as photographs have them.

A network's features see more of their range on such images than on white noise, because the images
share what natural ones have in common: power that falls as 1/f², colours that vary together, and
regions that end in sharp edges.

Dead leaves are opaque shapes that fall on each other until they cover the ground. Radii r are drawn
with density ∝ r⁻³, the only law that looks the same at every scale. Pink noise has the spectrum
alone: white noise whose amplitudes are scaled by 1/f.

Sources: dead leaves, Lee, Mumford and Huang, "Occlusion Models for Natural Images", International
Journal of Computer Vision 41, 2001; both as training images, Baradad, Wulff, Wang, Isola and
Torralba, "Learning to See by Looking at Noise", arXiv:2106.05963.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeprune.artifacts import FLOAT, ImageKind
from edgeprune.natural_images import MEAN, STD, colour_correlation, normalised
from edgeprune.random_inputs import random_tensor

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import InputSpec, Progress, SourceModel

BATCH = 64  # images that are made at once
OVERHANG = 0.2  # centres of leaves lie up to this share of a side outside the image
ASPECTS = (0.4, 1.0)  # short side as a share of the long one
FINEST = 1.5  # radius in pixels; smaller leaves would be speckles


@dataclass(frozen=True, slots=True)
class DeadLeaves:
    """Ellipses and rectangles on top of each other, each shaded a little, with a sensor's noise.

    Attributes:
        smallest: Radius of the smallest leaves as a share of the image's side, the geometric mean
            of its height and width (smaller: finer texture, slower).
        largest: Radius of the largest leaves, same unit (larger: bigger plain surfaces).
        layers: Number of leaves that cover a point on average (more: less background, slower).
        shading: Standard deviation of the change of brightness along an image's side within a
            leaf, in pixels' units of [0, 1].
        exposure: Standard deviation of an image's brightness among the images, same unit.
        noise: Standard deviation of the sensor's noise, same unit.
    """

    smallest: float = 0.02
    largest: float = 0.6
    layers: float = 2.0
    shading: float = 0.15
    exposure: float = 0.1
    noise: float = 0.012

    kind: ClassVar[ImageKind] = ImageKind.PROCEDURAL
    origin: ClassVar[str] = "(procedural, dead leaves)"

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make images as :class:`~edgeprune.images.source.ImageSource` says."""
        return _inputs(original.input, count, seed, self._pixels)

    def _pixels(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Make one batch of images of ``shape``, (N, C, H, W); pixels are about 0 to 1."""
        leaves = self._random_leaves(shape, generator)
        pixels = _soften(_coloured(leaves, _on_top(leaves, shape), shape))
        pixels += self.exposure * torch.randn(shape[0], 1, 1, 1, generator=generator)
        return pixels + self.noise * torch.randn(shape, generator=generator)

    def _random_leaves(self, shape: torch.Size, generator: torch.Generator) -> _Leaves:
        """Draw random leaves in the order in which they fall; the first one is the background."""
        images, channels, height, width = shape
        side = math.sqrt(height * width)
        largest = self.largest * side
        smallest = min(max(self.smallest * side, FINEST), largest)
        size = (images, 1 + self._count(smallest / side))

        def uniform(low: float, high: float) -> Tensor:
            return low + (high - low) * torch.rand(size, generator=generator)

        reach = OVERHANG * side
        angle = uniform(0, math.pi)
        return _Leaves(
            centre_y=uniform(-reach, height + reach),
            centre_x=uniform(-reach, width + reach),
            # the inverse of r⁻³'s distribution function
            radius=uniform(largest**-2, smallest**-2).rsqrt(),
            aspect=uniform(*ASPECTS),
            cos=angle.cos(),
            sin=angle.sin(),
            round=uniform(0, 1) < 0.5,
            colour=MEAN + STD * _correlated(torch.randn(*size, channels, generator=generator), -1),
            slope_y=self.shading / side * torch.randn(size, generator=generator),
            slope_x=self.shading / side * torch.randn(size, generator=generator),
        )

    def _count(self, smallest: float) -> int:
        """Number of leaves of an image; ``smallest`` radius as a share of the image's side."""
        ratio = self.largest / smallest
        # mean of r² under r⁻³ between the two radii
        spread = 2 * math.log(ratio) / (1 - ratio**-2) if ratio > 1 else 1
        mean_area = smallest**2 * spread * sum(ASPECTS) / 2 * (math.pi + 4) / 2
        return math.ceil(self.layers * (1 + 2 * OVERHANG) ** 2 / mean_area)


@dataclass(frozen=True, slots=True)
class PinkNoise:
    """Gaussian noise with the spectrum of photographs, and none of their edges.

    Attributes:
        exponent: Amplitudes fall as frequency to this power (larger: smoother).
    """

    exponent: float = 1.0

    kind: ClassVar[ImageKind] = ImageKind.PROCEDURAL
    origin: ClassVar[str] = "(procedural, pink noise)"

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        """Make images as :class:`~edgeprune.images.source.ImageSource` says."""
        return _inputs(original.input, count, seed, self._pixels)

    def _pixels(self, shape: torch.Size, generator: torch.Generator) -> Tensor:
        """Make one batch of images of ``shape``, (N, C, H, W); pixels are about 0 to 1."""
        height, width = shape[-2:]
        rows, columns = torch.fft.fftfreq(height)[:, None], torch.fft.fftfreq(width)
        frequency = torch.hypot(rows, columns)
        # An image's own mean counts as half a cycle, so that it varies too.
        frequency[0, 0] = 0.5 / max(height, width)
        amplitude = frequency**-self.exponent
        amplitude /= amplitude.square().mean().sqrt()  # unit variance
        white = torch.fft.rfft2(torch.randn(shape, generator=generator))
        half = amplitude[:, : width // 2 + 1]
        pink: Tensor = torch.fft.irfft2(white * half, s=(height, width))
        return MEAN + STD * _correlated(pink, 1)


def _inputs(
    spec: InputSpec,
    count: int,
    seed: int,
    make_pixels: Callable[[torch.Size, torch.Generator], Tensor],
) -> tuple[Tensor, ...]:
    """Make ``count`` of each input: images where it is 4-D and float32, random values elsewhere.

    Args:
        spec: Input shapes and normalisation of the network.
        count: Number of images, N.
        seed: Random seed.
        make_pixels: Makes pixels of the shape (N, C, H, W) that it is given; clamped to [0, 1].

    Returns:
        One tensor (N, …) for each input, images normalised as ``spec`` says.
    """
    generator = torch.Generator().manual_seed(seed)
    inputs = []
    for (_, *one), dtype in spec.typed_shapes:
        if len(one) != 3 or dtype != FLOAT:
            inputs.append(random_tensor((count, *one), dtype, generator))
            continue
        images = torch.empty(count, *one)
        for start in range(0, count, BATCH):
            batch = images[start : start + BATCH]
            batch.copy_(normalised(make_pixels(batch.shape, generator).clamp(0, 1), spec))
        inputs.append(images)
    return tuple(inputs)


def _correlated(independent: Tensor, axis: int) -> Tensor:
    """Give standard normal channels along ``axis`` the correlation of colours."""
    mixing = torch.linalg.cholesky(colour_correlation(independent.shape[axis]).float())
    mixed: Tensor = independent.movedim(axis, -1) @ mixing.T
    return mixed.movedim(-1, axis)


@dataclass(frozen=True, slots=True)
class _Leaves:
    """K leaves for each of N images, the later ones on top; lengths in pixels.

    Attributes:
        centre_y: Rows of the centres, (N, K).
        centre_x: Columns of the centres, (N, K).
        radius: Half the long side or axis, (N, K).
        aspect: Short side or axis as a share of the long one, (N, K).
        cos: Cosine of the angle between the long side and the rows, (N, K).
        sin: Sine of that angle, (N, K).
        round: Whether a leaf is an ellipse, (N, K); else it is a rectangle.
        colour: Colour at the centre, pixels in about [0, 1], (N, K, C).
        slope_y: Change of brightness from row to row, (N, K), in pixels' units of [0, 1].
        slope_x: Change of brightness from column to column, (N, K), same unit.
    """

    centre_y: Tensor
    centre_x: Tensor
    radius: Tensor
    aspect: Tensor
    cos: Tensor
    sin: Tensor
    round: Tensor
    colour: Tensor
    slope_y: Tensor
    slope_x: Tensor


def _on_top(leaves: _Leaves, shape: torch.Size) -> Tensor:
    """Index of the leaf that is visible at each pixel, (N, H · W) int64.

    Leaves are drawn from the largest to the smallest, so that those of one step have about the
    same size in all images and only a window around them need be looked at; the one that fell last
    stays on top, whatever the order of drawing.
    """
    images, _, height, width = shape
    seen = torch.zeros(images, height * width, dtype=torch.long)
    by_size = leaves.radius[:, 1:].argsort(1, descending=True) + 1
    for place in range(by_size.shape[1]):
        falls = by_size[:, place : place + 1]
        pixel, inside = _window(leaves, falls, height, width)
        below = seen.gather(1, pixel)
        seen.scatter_(1, pixel, torch.where(inside, torch.maximum(below, falls), below))
    return seen


def _window(leaves: _Leaves, leaf: Tensor, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Indices of the pixels around one leaf of each image, (N, 1), and whether it covers them.

    Both are (N, P), with the pixels of the largest window in the batch, P.
    """
    radius, aspect = leaves.radius.gather(1, leaf), leaves.aspect.gather(1, leaf)
    cos, sin = leaves.cos.gather(1, leaf)[..., None], leaves.sin.gather(1, leaf)[..., None]
    half = math.ceil(float((radius * (1 + aspect**2).sqrt()).max()))
    y, dy = _span(leaves.centre_y.gather(1, leaf), half, height)
    x, dx = _span(leaves.centre_x.gather(1, leaf), half, width)
    dy, dx = dy[:, :, None], dx[:, None, :]
    along = (dx * cos + dy * sin).abs_()
    across = (dy * cos - dx * sin).abs_() / aspect[..., None]
    distance = torch.where(
        leaves.round.gather(1, leaf)[..., None],
        torch.hypot(along, across),
        torch.maximum(along, across),
    )
    inside = distance < radius[..., None]
    return (y[:, :, None] * width + x[:, None, :]).flatten(1), inside.flatten(1)


def _span(centre: Tensor, half: int, length: int) -> tuple[Tensor, Tensor]:
    """Positions up to ``half`` from ``centre`` (N, 1) along a side, and their offsets from it."""
    size = min(2 * half + 1, length)
    start = (centre.round().long() - half).clamp(0, length - size)
    positions = start + torch.arange(size)
    return positions, positions - centre


def _coloured(leaves: _Leaves, seen: Tensor, shape: torch.Size) -> Tensor:
    """Pixels (N, C, H, W), given the index of the leaf that each of them shows, (N, H · W)."""
    images, channels, height, width = shape
    every = seen[:, None].expand(-1, channels, -1)
    colour = leaves.colour.movedim(-1, 1).gather(2, every).view(shape)
    shade = torch.zeros(images, 1, height * width)
    for slope, centre, places in (
        (leaves.slope_y, leaves.centre_y, torch.arange(height).repeat_interleave(width)),
        (leaves.slope_x, leaves.centre_x, torch.arange(width).repeat(height)),
    ):
        shade[:, 0] += slope.gather(1, seen) * (places - centre.gather(1, seen))
    return colour + shade.view(images, 1, height, width)


def _soften(pixels: Tensor) -> Tensor:
    """Blur (N, C, H, W) as a lens does: amplitudes at the Nyquist frequency are halved."""
    # kernel (1, 6, 1) / 8 along both axes; a convolution of one channel at a time is slower
    padded = F.pad(pixels, (1, 1, 1, 1), mode="replicate")
    down = padded[:, :, :-2] + 6 * padded[:, :, 1:-1] + padded[:, :, 2:]
    return (down[..., :-2] + 6 * down[..., 1:-1] + down[..., 2:]) / 64
