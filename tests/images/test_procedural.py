"""Procedural images have the statistics of photographs, measured here with NumPy."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from edgeprune.artifacts import ImageKind, InputSpec, SourceModel
from edgeprune.images.procedural import DeadLeaves, PinkNoise

if TYPE_CHECKING:
    from edgeprune.images.source import ImageSource

SHAPES = [(3, 32, 32), (1, 28, 28), (1, 49, 10), (3, 17, 90), (4, 8, 8), (2, 3, 1), (1, 1, 1)]

all_sources = pytest.mark.parametrize(
    "source", [DeadLeaves(), PinkNoise()], ids=["dead-leaves", "pink-noise"]
)


def taking(spec: InputSpec) -> SourceModel:
    """A network with such inputs, which procedural sources do not run."""
    return SourceModel(nn.Identity(), spec, "network", "0" * 64)


def pixels_from(source: ImageSource, *shape: int, count: int = 200, seed: int = 0) -> Tensor:
    """Images in pixels from black 0 to white 1, (N, C, H, W)."""
    spec = InputSpec(((1, *shape),), (0.0,) * shape[0], (1.0,) * shape[0])
    (images,) = source(taking(spec), count, seed)
    return images


@all_sources
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_images_of_every_size_are_finite_pixels(
    source: ImageSource, shape: tuple[int, int, int]
) -> None:
    images = pixels_from(source, *shape, count=70)
    assert images.shape == (70, *shape)
    assert images.dtype == torch.float32
    assert images.isfinite().all()
    assert images.min() >= 0
    assert images.max() <= 1


@all_sources
def test_the_seed_alone_says_which_images(source: ImageSource) -> None:
    before = torch.random.get_rng_state()
    first, same, other = (pixels_from(source, 3, 16, 16, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, same)
    assert not torch.isclose(first, other).flatten(1).all(1).any()


@all_sources
def test_no_two_images_are_equal(source: ImageSource) -> None:
    assert len(pixels_from(source, 3, 16, 16).unique(dim=0)) == 200


@all_sources
@pytest.mark.parametrize("shape", [(3, 32, 32), (1, 28, 28), (1, 49, 10)], ids=str)
def test_brightness_and_contrast_are_those_of_photographs(
    source: ImageSource, shape: tuple[int, int, int]
) -> None:
    images = pixels_from(source, *shape)
    assert images.mean() == pytest.approx(0.45, abs=0.04)
    assert images.std() == pytest.approx(0.25, abs=0.04)


@all_sources
def test_images_are_normalised_as_the_network_takes_them(source: ImageSource) -> None:
    imagenet = InputSpec(((1, 3, 12, 12),))
    (normalised,) = source(taking(imagenet), 5, 0)
    mean, std = (np.reshape(of, (3, 1, 1)) for of in (imagenet.mean, imagenet.std))
    pixels = pixels_from(source, 3, 12, 12, count=5).numpy()
    np.testing.assert_allclose(normalised.numpy(), (pixels - mean) / std, atol=1e-5)


def slope(images: Tensor) -> float:
    """Slope of log power over log frequency, from 2 cycles an image to a quarter of Nyquist."""
    side = images.shape[-1]
    taper = np.outer(np.hanning(side), np.hanning(side))  # an image does not go on at its border
    flat = images.numpy() - images.numpy().mean((2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(flat * taper)) ** 2).mean((0, 1))
    cycles = np.fft.fftfreq(side, 1 / side)
    radius = np.rint(np.hypot(cycles[:, None], cycles))
    rings = np.arange(2, side // 8 + 1)
    means = [power[radius == ring].mean() for ring in rings]
    return float(np.polyfit(np.log(rings), np.log(means), 1)[0])


@all_sources
@pytest.mark.parametrize("side", [64, 128])
def test_power_falls_as_the_square_of_the_frequency(source: ImageSource, side: int) -> None:
    assert -2.8 < slope(pixels_from(source, 3, side, side, count=24)) < -1.4


def test_the_exponent_of_pink_noise_is_the_slope_of_its_amplitudes() -> None:
    for exponent in (0.0, 0.5, 1.0):
        found = slope(pixels_from(PinkNoise(exponent), 1, 64, 64))
        assert found == pytest.approx(-2 * exponent, abs=0.25)


@all_sources
@pytest.mark.parametrize("channels", [2, 3, 5])
def test_channels_vary_together(source: ImageSource, channels: int) -> None:
    images = pixels_from(source, channels, 24, 24).movedim(1, 0).flatten(1)
    correlation = np.corrcoef(images.numpy())
    assert correlation.min() > 0.75
    assert correlation[0, 1] < 0.99


def test_dead_leaves_have_plain_surfaces_and_edges_where_pink_noise_has_neither() -> None:
    def kurtosis(images: Tensor) -> float:
        steps = images.diff(dim=-1).flatten()
        return float((steps**4).mean() / (steps**2).mean() ** 2)

    assert kurtosis(pixels_from(DeadLeaves(), 1, 48, 48, count=40)) > 6
    assert kurtosis(pixels_from(PinkNoise(), 1, 48, 48, count=40)) < 4


def test_larger_leaves_make_plainer_images() -> None:
    def roughness(source: DeadLeaves) -> float:
        return float(pixels_from(source, 1, 48, 48, count=40).diff(dim=-1).abs().mean())

    assert roughness(DeadLeaves(smallest=0.2)) < 0.6 * roughness(DeadLeaves())


def test_without_leaves_there_is_a_shaded_background() -> None:
    images = pixels_from(DeadLeaves(layers=0.0, noise=0.0), 1, 20, 20)[:, 0, 1:-1, 1:-1]
    inner = images[((images > 0) & (images < 1)).flatten(1).all(1)]
    assert len(inner) > 100
    for axis in (1, 2):
        assert inner.diff(dim=axis).abs().mean() > 1e-3
        assert inner.diff(n=2, dim=axis).abs().max() < 1e-5


@all_sources
def test_what_is_no_image_is_standard_normal_noise(source: ImageSource) -> None:
    both = InputSpec(((1, 3, 8, 8), (1, 5), (1, 3, 16, 16), (1, 7, 40)))
    image, vector, larger, sequence = source(taking(both), 300, 0)
    assert image.shape == (300, 3, 8, 8)
    assert larger.shape == (300, 3, 16, 16)
    assert vector.shape == (300, 5)
    assert sequence.shape == (300, 7, 40)
    assert abs(float(sequence.mean())) < 5 / math.sqrt(sequence.numel())
    assert float(sequence.std()) == pytest.approx(1, abs=0.02)


@all_sources
def test_inputs_without_a_mean_for_each_channel_are_made_too(source: ImageSource) -> None:
    (images,) = source(taking(InputSpec(((1, 6, 9, 9),))), 20, 0)
    assert images.shape == (20, 6, 9, 9)
    assert images.isfinite().all()


@all_sources
def test_reports_can_say_where_images_are_from(source: ImageSource) -> None:
    assert source.kind is ImageKind.PROCEDURAL
    assert source.origin.startswith("(procedural, ")
