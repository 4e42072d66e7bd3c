"""The user's own images: which are chosen, and how they reach the network."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from noise_images import noise_image
from torch import nn

from edgeprune.artifacts import ImageKind, InputSpec, SourceModel
from edgeprune.errors import UsageError
from edgeprune.images.folder import Folder
from edgeprune.images.reading import unlabelled

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

RGB = InputSpec(((1, 3, 8, 8),))
GREY = InputSpec(((1, 1, 8, 8),), (0.5,), (0.5,))


@pytest.fixture
def ten(tmp_path: Path) -> Path:
    """Ten images, half of them grey, two levels deep."""
    (tmp_path / "below").mkdir()
    for place in range(10):
        image = noise_image(12, 10, "RGB" if place % 2 else "L", seed=place)
        image.save(tmp_path / ("below" if place < 4 else ".") / f"{place}.png")
    return tmp_path


def taking(spec: InputSpec) -> SourceModel:
    """A network with such inputs, which is not run."""
    return SourceModel(nn.Identity(), spec, "network", "0" * 64)


def which(images: Tensor, folder: Path, spec: InputSpec) -> list[int]:
    """Places of the images in the folder's order; fails for one that is not in it."""
    every = [image for image, _ in unlabelled(folder, spec)]
    return [next(at for at, one in enumerate(every) if torch.equal(one, i)) for i in images]


@pytest.mark.parametrize("spec", [RGB, GREY], ids=["rgb", "grey"])
@pytest.mark.parametrize(("count", "given"), [(1, 1), (7, 7), (8, 8), (500, 8)])
def test_as_many_different_images_as_asked_or_all(
    spec: InputSpec, count: int, given: int, ten: Path
) -> None:
    (images,) = Folder(ten)(taking(spec), count, 0)
    assert images.dtype == torch.float32
    assert images.shape == (given, *spec.shapes[0][1:])
    assert len(set(which(images, ten, spec))) == given


def test_the_seed_alone_says_which_images(ten: Path) -> None:
    before = torch.random.get_rng_state()
    choices = [which(Folder(ten)(taking(RGB), 5, seed)[0], ten, RGB) for seed in (1, 1, 2)]
    assert torch.equal(torch.random.get_rng_state(), before)
    assert choices[0] == choices[1] != choices[2]


def test_every_image_is_chosen_by_some_seed(ten: Path) -> None:
    chosen = {at for s in range(20) for at in which(Folder(ten)(taking(RGB), 3, s)[0], ten, RGB)}
    assert chosen == set(range(10)) - {4, 9}


def test_every_fifth_image_is_a_validation_image(ten: Path) -> None:
    validation = torch.stack([image for image, _ in unlabelled(ten, RGB, "validation")])
    assert which(validation, ten, RGB) == [4, 9]


def test_too_few_images_for_a_validation_image_are_refused(tmp_path: Path) -> None:
    for place in range(4):
        noise_image(8, 8, "RGB", seed=place).save(tmp_path / f"{place}.png")
    with pytest.raises(UsageError, match=r"4 image.*at least 5"):
        Folder(tmp_path)(taking(RGB), 1, 0)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no image")
    with pytest.raises(UsageError, match="no images"):
        Folder(tmp_path)(taking(RGB), 5, 0)


def test_a_damaged_image_is_named(tmp_path: Path) -> None:
    for place in range(5):
        (tmp_path / f"{place}.png").write_bytes(b"no image")
    with pytest.raises(UsageError, match=r"[0-3]\.png"):
        Folder(tmp_path)(taking(RGB), 5, 0)


def test_a_network_that_takes_no_images_is_refused(ten: Path) -> None:
    with pytest.raises(UsageError, match=r"takes one image .* not 1x10"):
        Folder(ten)(taking(InputSpec(((1, 10),))), 5, 0)


def test_reports_can_say_where_images_are_from(ten: Path) -> None:
    assert Folder(ten).kind is ImageKind.REAL
    assert Folder(ten).origin == f"from {ten}"
