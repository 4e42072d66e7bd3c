"""Accuracy and agreement against counts made with NumPy and scikit-learn."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

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
    shares = evaluation.accuracies(evaluation.right_answers([digits.module, other], images))
    labels = pictures()[3]
    assert shares == [accuracy_score(labels, guesses(net)) for net in (digits.module, other)]


def test_images_that_one_alone_has_right_make_up_the_drop(digits: Digits) -> None:
    images = labelled(digits.images, GREY)
    other = nn.Sequential(nn.Flatten(), nn.Linear(64, 10)).eval()
    lost, won = evaluation.turned(evaluation.right_answers([digits.module, other], images), 1)
    labels = pictures()[3]
    first, second = (guesses(net) == labels for net in (digits.module, other))
    assert (lost, won) == (np.sum(first & ~second), np.sum(second & ~first))
    assert lost - won == np.sum(first) - np.sum(second)


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


@pytest.mark.parametrize(("classes", "fits"), [(2, False), (3, True), (4, False)])
def test_folders_that_are_not_the_outputs_are_refused_at_once(
    classes: int, fits: bool, three_classes: Path
) -> None:
    if fits:
        opened = evaluation.open_images(source(Brightness(classes)), three_classes, None)
        assert opened.labelled is not None
        assert len(opened.labelled) == 3
    else:
        counts = rf"3 class folders.*{classes} outputs"
        with pytest.raises(UsageError, match=counts):
            evaluation.open_images(source(Brightness(classes)), three_classes, None)


def labels_by_folder(root: Path, module: nn.Module) -> dict[str, int]:
    """The class that each image's folder is taken for."""
    found = evaluation.open_images(source(module), root, None).labelled
    assert found is not None
    return {
        Path(path).parent.name: label
        for (path, _), (_, label) in zip(found.samples, found, strict=True)
    }


def folders(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).mkdir(parents=True)
        noise_image(8, 8).save(root / name / "1.png")
    return root


def test_numbers_are_the_classes_and_not_their_places(tmp_path: Path) -> None:
    some = folders(tmp_path, ["0", "2", "10", "11"])
    assert labels_by_folder(some, Brightness(12)) == {"0": 0, "2": 2, "10": 10, "11": 11}


def test_numbers_from_one_count_by_value(tmp_path: Path) -> None:
    root = folders(tmp_path, [str(number) for number in range(1, 13)])
    wanted = {str(number): number - 1 for number in range(1, 13)}
    assert labels_by_folder(root, Brightness(12)) == wanted


def test_two_folders_of_one_number_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="same number"):
        labels_by_folder(folders(tmp_path, ["1", "01"]), Brightness(2))


def test_an_empty_folder_keeps_its_class(three_classes: Path) -> None:
    (three_classes / "bat").mkdir()
    assert labels_by_folder(three_classes, Brightness(4)) == {"ant": 0, "bee": 2, "cat": 3}


def test_names_that_the_network_knows_decide(three_classes: Path) -> None:
    module = Brightness(4)
    names = {0: "cat", 1: "dog", 2: "bee", 3: "ant"}
    module.config = SimpleNamespace(id2label=names)  # as Hugging Face's networks have it
    assert labels_by_folder(three_classes, module) == {"cat": 0, "bee": 2, "ant": 3}
    (three_classes / "owl").mkdir()
    with pytest.raises(UsageError, match="no class owl"):
        labels_by_folder(three_classes, module)


def test_names_in_the_checkpoint_decide_too(three_classes: Path) -> None:
    names = {0: "cat", 1: "bee", 2: "ant", 3: "dog"}
    spec = InputSpec(((1, 3, 8, 8),), metadata=(("names", str(names)),))
    found = evaluation.open_images(source(Brightness(4), spec), three_classes, None).labelled
    assert found is not None
    assert [label for _, label in found] == [2, 1, 0]


def test_a_folder_above_the_classes_is_told_from_them(tmp_path: Path) -> None:
    for part in ("train", "val"):
        folders(tmp_path / part, ["ant", "bee", "cat"])
    with pytest.raises(UsageError, match=r"2 class folders.*3 outputs.*train.*pass that"):
        evaluation.open_images(source(Brightness(3)), tmp_path, None)


def test_images_without_folders_are_told_from_none(tmp_path: Path) -> None:
    noise_image(8, 8).save(tmp_path / "1.png")
    with pytest.raises(UsageError, match=r"lie in no folders; --images"):
        evaluation.open_images(source(Brightness(3)), tmp_path, None)


def test_an_original_that_only_guesses_casts_doubt(three_classes: Path) -> None:
    images = labelled(three_classes, RGB)
    assert "guessing" in (evaluation.doubt(0.34, images) or "")
    assert evaluation.doubt(1.0, images) is None


@pytest.mark.parametrize("where", ["labels", "plain"])
def test_a_network_that_does_not_classify_is_refused_at_once(
    where: str, three_classes: Path
) -> None:
    folders = {"labels": None, "plain": None, where: three_classes}
    with pytest.raises(UsageError, match=r"one logit a class.*1x2x8x8"):
        evaluation.open_images(source(nn.Conv2d(3, 2, 1)), **folders)


class Boxes(nn.Module):
    """A detector whose boxes are rows, (N, 4), as torchvision's are."""

    def forward(self, x: Tensor) -> list[dict[str, Tensor]]:
        return [{"boxes": x.new_zeros(3, 4), "scores": x.new_zeros(3)}]


def test_rows_of_boxes_are_no_classes(three_classes: Path) -> None:
    with pytest.raises(UsageError, match=r"one logit a class.*3x4"):
        evaluation.open_images(source(Boxes()), three_classes, None)


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
        evaluation.right_answers([Brightness(3)], images)


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
    right = evaluation.right_answers([Brightness(10), Wrapped(10)], images)
    bare, wrapped = evaluation.accuracies(right)
    assert bare == wrapped > 0
