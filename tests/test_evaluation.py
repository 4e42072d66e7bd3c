"""Accuracy and agreement against counts made with PIL, NumPy and scikit-learn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from digits import MEAN, STD, Digits, guesses, pictures
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

from edgeprune import evaluation
from edgeprune.artifacts import IMAGENET_MEAN, IMAGENET_STD, InputSpec, SourceModel
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

GREY = InputSpec(((1, 1, 8, 8),), (MEAN,), (STD,))
RGB = InputSpec(((1, 3, 8, 8),))


class Brightness(nn.Module):
    """Class 1 of ``classes`` for a picture whose mean is above zero, else class 0."""

    def __init__(self, classes: int = 2) -> None:
        super().__init__()
        self.classes = classes

    def forward(self, x: Tensor) -> Tensor:
        bright = (x.mean((1, 2, 3)) > 0).long()
        return nn.functional.one_hot(bright, self.classes).float()


def source(module: nn.Module, spec: InputSpec = RGB) -> SourceModel:
    return SourceModel(module, spec, "net", "0" * 64)


def noise_image(height: int, width: int, mode: str = "RGB", seed: int = 0) -> Image.Image:
    shape = (height, width, 3) if mode == "RGB" else (height, width)
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, shape, np.uint8))


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
    prepared = evaluation.Preparation(InputSpec(((1, 3, *size),)))(image)
    wanted = by_hand(image, size, IMAGENET_MEAN, IMAGENET_STD).transpose(2, 0, 1)
    np.testing.assert_allclose(prepared.numpy(), wanted, atol=1e-5)


def test_an_image_of_the_right_size_keeps_every_pixel() -> None:
    image = noise_image(8, 8, "L")
    prepared = evaluation.Preparation(GREY)(image)
    wanted = (np.asarray(image) / 255 - MEAN) / STD
    np.testing.assert_allclose(prepared.numpy()[0], wanted, atol=1e-6)


def test_colour_becomes_grey_and_grey_becomes_colour_as_the_network_takes() -> None:
    colour, grey = noise_image(8, 8), noise_image(8, 8, "L")
    luminance = np.asarray(colour, dtype=np.float64) @ (0.299, 0.587, 0.114) / 255
    as_grey = evaluation.Preparation(GREY)(colour).numpy()[0]
    np.testing.assert_allclose(as_grey * STD + MEAN, luminance, atol=1 / 255)
    red, green, blue = evaluation.Preparation(InputSpec(RGB.shapes, (0, 0, 0), (1, 1, 1)))(grey)
    assert torch.equal(red, green)
    assert torch.equal(red, blue)


side = st.integers(1, 600)


@given(image=st.tuples(side, side), crop=st.tuples(side, side))
def test_a_resized_image_covers_the_crop_and_keeps_its_shape(
    image: tuple[int, int], crop: tuple[int, int]
) -> None:
    height, width = evaluation.covering(image, crop)
    assert height >= crop[0]
    assert width >= crop[1]
    assert height == round(crop[0] * 8 / 7) or width == round(crop[1] * 8 / 7)
    assert abs(height * image[1] - width * image[0]) < max(image)  # less than a pixel is cut off


def test_accuracy_is_the_share_that_scikit_learn_counts(digits: Digits) -> None:
    images = evaluation.labelled(digits.images, GREY)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    shares = evaluation.accuracies([digits.module, other], images)
    labels = pictures()[3]
    assert shares == [accuracy_score(labels, guesses(net)) for net in (digits.module, other)]


def test_agreement_is_the_share_of_equal_guesses(digits: Digits) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    images = evaluation.unlabelled(digits.images, GREY)
    shares = evaluation.agreements([digits.module, digits.module, other], images)
    assert shares == [1.0, float(np.mean(guesses(digits.module) == guesses(other)))]


def test_looking_at_images_draws_nothing_and_reports_all(digits: Digits) -> None:
    told: list[float] = []
    before = torch.random.get_rng_state()
    images = evaluation.unlabelled(digits.images, GREY)
    evaluation.agreements(
        [digits.module, digits.module], images, lambda share, doing: told.append(share)
    )
    assert torch.equal(torch.random.get_rng_state(), before)
    assert told == sorted(told)
    assert told[-1] == 1.0


@pytest.fixture
def three_classes(tmp_path: Path) -> Path:
    for name in ("ant", "bee", "cat"):
        (tmp_path / name).mkdir()
        noise_image(8, 8).save(tmp_path / name / "1.png")
    return tmp_path


@pytest.mark.parametrize(("classes", "fits"), [(2, False), (3, True), (4, True)])
def test_more_classes_than_the_network_knows_are_refused_at_once(
    classes: int, fits: bool, three_classes: Path
) -> None:
    if fits:
        opened = evaluation.open_images(source(Brightness(classes)), three_classes, None)
        assert opened.labelled is not None
        assert len(opened.labelled) == 3
    else:
        with pytest.raises(UsageError, match=r"3 classes.*only 2"):
            evaluation.open_images(source(Brightness(classes)), three_classes, None)


@pytest.mark.parametrize("where", ["labels", "plain"])
def test_a_network_that_does_not_classify_is_refused_at_once(
    where: str, three_classes: Path
) -> None:
    folders = {"labels": None, "plain": None, where: three_classes}
    with pytest.raises(UsageError, match="one logit a class"):
        evaluation.open_images(source(nn.Conv2d(3, 2, 1)), **folders)


@pytest.mark.parametrize("where", ["labels", "plain"])
def test_a_folder_without_images_is_refused(where: str, tmp_path: Path) -> None:
    folders = {"labels": None, "plain": None, where: tmp_path}
    (tmp_path / "class").mkdir()
    (tmp_path / "class" / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match="image"):
        evaluation.open_images(source(Brightness()), **folders)


def test_images_outside_class_folders_are_no_labelled_images(tmp_path: Path) -> None:
    noise_image(8, 8).save(tmp_path / "1.png")
    with pytest.raises(UsageError, match="sub-folder"):
        evaluation.labelled(tmp_path, RGB)
    assert len(evaluation.unlabelled(tmp_path, RGB)) == 1


def test_a_damaged_image_is_named(three_classes: Path) -> None:
    (three_classes / "bee" / "2.png").write_bytes(b"no image")
    images = evaluation.labelled(three_classes, RGB)
    with pytest.raises(UsageError, match=r"2\.png"):
        evaluation.accuracies([Brightness(3)], images)


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (InputSpec(((1, 10),)), "1x10"),
        (InputSpec(((1, 3, 8, 8), (1, 3, 8, 8))), "1x3x8x8, 1x3x8x8"),
        (InputSpec(((1, 4, 8, 8),)), "1x4x8x8"),
        (InputSpec(((1, 1, 8, 8),), (0.5,) * 3, (0.5,)), "1 value"),
    ],
)
def test_what_takes_no_images_is_refused(spec: InputSpec, said: str, three_classes: Path) -> None:
    with pytest.raises(UsageError, match=said):
        evaluation.unlabelled(three_classes, spec)
