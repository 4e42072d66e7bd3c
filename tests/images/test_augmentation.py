"""Priors, class terms, augmentation and swing convolutions against oracles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from scipy.spatial.distance import jensenshannon
from torch import Tensor, nn

from edgeprune.images.synthesis import augmentation, priors
from edgeprune.images.synthesis.logits import cyclic_labels, disagreement, logits_of
from edgeprune.images.synthesis.swing import SwingConvolution


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


# --- priors ---------------------------------------------------------------------------------------


def test_variation_is_the_mean_difference_of_neighbours() -> None:
    images = normal(3, 2, 7, 5)
    array = images.double().numpy()
    wanted = sum(np.abs(np.diff(array, axis=axis)).mean() for axis in (2, 3))
    assert float(priors.variation(images)) == pytest.approx(wanted, rel=1e-5)
    assert float(priors.variation(normal(3, 2, 1, 1))) == 0
    assert float(priors.energy(images)) == pytest.approx((array**2).mean(), rel=1e-5)


# --- classes --------------------------------------------------------------------------------------


def test_disagreement_is_the_jensen_shannon_divergence() -> None:
    a, b = 3 * normal(20, 6), 3 * normal(20, 6, seed=1)
    p, q = (each.double().softmax(1).numpy() for each in (a, b))
    wanted = np.mean(jensenshannon(p, q, base=2, axis=1) ** 2)
    assert float(disagreement(a, b)) == pytest.approx(wanted, rel=1e-4)
    assert float(disagreement(a, a)) == pytest.approx(0, abs=1e-6)
    apart = torch.eye(2)[[0, 0]] * 200, torch.eye(2)[[1, 1]] * 200
    assert float(disagreement(*apart)) == pytest.approx(1)


def test_labels_name_every_class_in_turn() -> None:
    assert cyclic_labels(torch.arange(4, 11), 3).tolist() == [1, 2, 0, 1, 2, 0, 1]


@pytest.mark.parametrize(
    ("output", "tells"),
    [(normal(4, 2), True), (normal(4, 1), False), (normal(4, 2, 3, 3), False),
     ([normal(4, 5)], False), ({"label": normal(4, 5)}, False)],
    ids=["logits", "one", "maps", "list", "dict"],
)  # fmt: skip
def test_classes_are_one_score_each(output: object, tells: bool) -> None:
    assert (logits_of(output) is not None) == tells


# --- augmentation ---------------------------------------------------------------------------------


def test_jitter_shifts_no_further_than_its_reach() -> None:
    images = torch.arange(16.0 * 32).view(1, 1, 16, 32)
    shifts = set()
    for seed in range(200):
        at = int(augmentation.jittered(images, 1 / 8, generator(seed)).flatten().argmin())
        y, x = divmod(at, 32)
        shifts.add(((y + 8) % 16 - 8, (x + 16) % 32 - 16))
    assert {y for y, _ in shifts} == set(range(-2, 3))
    assert {x for _, x in shifts} == set(range(-4, 5))
    assert torch.equal(augmentation.jittered(images, 0, generator()), images)


def test_about_half_of_all_steps_mirror_the_images() -> None:
    images = normal(2, 3, 4, 5)
    mirrored = 0
    for seed in range(200):
        flipped = augmentation.flipped(images, generator(seed))
        mirrored += torch.equal(flipped, torch.from_numpy(images.numpy()[..., ::-1].copy()))
    assert 70 < mirrored < 130


def test_blur_is_gaussian() -> None:
    images = normal(2, 3, 9, 7)
    wanted = gaussian_filter(
        images.double().numpy(), augmentation.BLUR, axes=(2, 3), mode="nearest", radius=1
    )
    np.testing.assert_allclose(augmentation.blurred(images), wanted, atol=1e-5)


def test_crops_lie_everywhere_and_in_the_centre_without_a_generator() -> None:
    images = torch.arange(5.0 * 7).view(1, 1, 5, 7)
    corners = {
        int(augmentation.cropped(images, (3, 4), generator(seed))[0, 0, 0, 0])
        for seed in range(200)
    }
    assert corners == {7 * y + x for y in range(3) for x in range(4)}
    assert torch.equal(augmentation.cropped(images, (3, 5), None), images[:, :, 1:4, 1:6])


# --- swing ---------------------------------------------------------------------------------------


def gradients_reaching(network: nn.Module, swing: SwingConvolution, draws: int) -> Tensor:
    """Number of random offsets that give each pixel a gradient, (6, 6)."""
    images = normal(1, 1, 6, 6).requires_grad_()
    total = torch.zeros(6, 6)
    for seed in range(draws):
        swing.generator = generator(seed)
        (gradient,) = torch.autograd.grad(network(images).square().sum(), images)
        total += (gradient[0, 0] != 0).float()
    return total


def test_all_pixels_get_a_gradient_through_a_stride() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, stride=2), nn.Sigmoid(), nn.Conv2d(2, 2, 1))
    plain = network(images := normal(1, 1, 6, 6))
    swing = SwingConvolution(network)
    assert torch.equal(network(images), plain)
    swing.generator = generator()
    assert network(images).shape == plain.shape
    assert (gradients_reaching(network, swing, 40) > 0).all()


def test_maps_too_small_to_be_mirrored_are_left() -> None:
    network = nn.Conv2d(1, 2, 3, stride=(2, 3), padding=1)
    swing = SwingConvolution(network)
    swing.generator = generator()
    assert network(normal(2, 1, 1, 1)).shape == (2, 2, 1, 1)
    assert network(normal(2, 1, 1, 2)).shape == (2, 2, 1, 1)
