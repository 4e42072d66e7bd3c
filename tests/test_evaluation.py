"""Accuracy and agreement against counts made with NumPy and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from digits import MEAN, STD, Digits, guesses, pictures
from noise_images import noise_image
from sklearn.metrics import accuracy_score
from torch import Tensor, nn

from edgeprune import evaluation
from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.errors import UsageError
from edgeprune.images.reading import labelled, unlabelled

if TYPE_CHECKING:
    from pathlib import Path

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


def test_accuracy_is_the_share_that_scikit_learn_counts(digits: Digits) -> None:
    images = labelled(digits.images, GREY)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    shares = evaluation.accuracies([digits.module, other], images)
    labels = pictures()[3]
    assert shares == [accuracy_score(labels, guesses(net)) for net in (digits.module, other)]


def test_agreement_is_the_share_of_equal_guesses(digits: Digits) -> None:
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    images = unlabelled(digits.images, GREY)
    shares = evaluation.agreements([digits.module, digits.module, other], images)
    assert shares == [1.0, float(np.mean(guesses(digits.module) == guesses(other)))]


def test_looking_at_images_draws_nothing_and_reports_all(digits: Digits) -> None:
    told: list[float] = []
    before = torch.random.get_rng_state()
    images = unlabelled(digits.images, GREY)
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


def test_a_damaged_image_is_named(three_classes: Path) -> None:
    (three_classes / "bee" / "2.png").write_bytes(b"no image")
    images = labelled(three_classes, RGB)
    with pytest.raises(UsageError, match=r"2\.png"):
        evaluation.accuracies([Brightness(3)], images)


@dataclass
class Answer:
    """An output in a class of the user's own."""

    logits: Tensor


class Wrapped(Brightness):
    """The same guesses, in a class."""

    def forward(self, x: Tensor) -> Answer:
        return Answer(super().forward(x))


def test_logits_are_found_in_whatever_class_they_are_returned(digits: Digits) -> None:
    images = labelled(digits.images, RGB)
    bare, wrapped = evaluation.accuracies([Brightness(10), Wrapped(10)], images)
    assert bare == wrapped > 0
