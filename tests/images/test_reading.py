"""Preparation of images against the same done by hand with PIL and NumPy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from digits import MEAN, STD
from hypothesis import given
from hypothesis import strategies as st
from noise_images import noise_image
from PIL import Image

from edgeprune.artifacts import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from edgeprune.errors import UsageError
from edgeprune.images.reading import Preparation, covering, labelled, unlabelled

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GREY = InputSpec(((1, 1, 8, 8),), (MEAN,), (STD,))
RGB = InputSpec(((1, 3, 8, 8),))


def by_hand(
    image: Image.Image, size: tuple[int, int], mean: object, std: object
) -> NDArray[np.float32]:
    """Resize, cut out the middle, and normalise, with PIL and NumPy."""
    height, width = size
    scale = max(round(height * 8 / 7) / image.height, round(width * 8 / 7) / image.width)
    resized = image.resize((int(image.width * scale), int(image.height * scale)), Image.BILINEAR)
    left, top = (round((resized.width - width) / 2), round((resized.height - height) / 2))
    pixels = np.asarray(resized.crop((left, top, left + width, top + height)), dtype=np.float64)
    return ((pixels / 255 - np.array(mean)) / np.array(std)).astype(np.float32)


@pytest.mark.parametrize("shape", [(64, 64), (56, 96), (128, 64)])
@pytest.mark.parametrize("size", [(28, 28), (14, 42), (42, 14)])
def test_images_are_resized_cropped_and_normalised_as_by_hand(
    shape: tuple[int, int], size: tuple[int, int]
) -> None:
    image = noise_image(*shape)
    prepared = Preparation(InputSpec(((1, 3, *size),)))(image)
    wanted = by_hand(image, size, IMAGENET_MEAN, IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(prepared.numpy(), wanted, atol=1e-5)


def test_an_image_of_the_right_size_keeps_every_pixel() -> None:
    image = noise_image(8, 8, "L")
    prepared = Preparation(GREY)(image)
    wanted = (np.asarray(image) / 255 - MEAN) / STD
    np.testing.assert_allclose(prepared.numpy()[0], wanted, atol=1e-6)


def test_colour_becomes_grey_and_grey_becomes_colour_as_the_network_takes() -> None:
    colour, grey = noise_image(8, 8), noise_image(8, 8, "L")
    luminance = np.asarray(colour, dtype=np.float64) @ (0.299, 0.587, 0.114) / 255
    as_grey = Preparation(GREY)(colour).numpy()[0]
    np.testing.assert_allclose(as_grey * STD + MEAN, luminance, atol=1 / 255)
    red, green, blue = Preparation(InputSpec(RGB.shapes, (0, 0, 0), (1, 1, 1)))(grey)
    assert torch.equal(red, green)
    assert torch.equal(red, blue)


side = st.integers(1, 600)


@given(image=st.tuples(side, side), crop=st.tuples(side, side))
def test_a_resized_image_covers_the_crop_and_keeps_its_shape(
    image: tuple[int, int], crop: tuple[int, int]
) -> None:
    height, width = covering(image, crop)
    assert height >= crop[0]
    assert width >= crop[1]
    assert height == round(crop[0] * 8 / 7) or width == round(crop[1] * 8 / 7)
    assert abs(height * image[1] - width * image[0]) < max(image)  # less than a pixel is cut off


def test_images_outside_class_folders_are_no_labelled_images(tmp_path: Path) -> None:
    noise_image(8, 8).save(tmp_path / "1.png")
    with pytest.raises(UsageError, match="sub-folder"):
        labelled(tmp_path, RGB)
    assert len(unlabelled(tmp_path, RGB)) == 1


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (InputSpec(((1, 10),)), "1x10"),
        (InputSpec(((1, 3, 8, 8), (1, 3, 8, 8))), "1x3x8x8, 1x3x8x8"),
        (InputSpec(((1, 4, 8, 8),)), "1x4x8x8"),
        (InputSpec(((1, 1, 8, 8),), (0.5,) * 3, (0.5,)), "1 value"),
    ],
)
def test_what_takes_no_images_is_refused(spec: InputSpec, said: str, tmp_path: Path) -> None:
    noise_image(8, 8).save(tmp_path / "1.png")
    with pytest.raises(UsageError, match=said):
        unlabelled(tmp_path, spec)
