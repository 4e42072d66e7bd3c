"""How good a network is on images: accuracy with labels, agreement with the original without.

Images are read as RGB (or grey, for networks with one input channel), scaled to [0, 1], resized so
that the shorter side fits with the usual margin of 8/7 unless they already have the input's size,
cropped in the centre, and normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree
from torch.utils.data import DataLoader, Dataset
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import IMG_EXTENSIONS, default_loader
from torchvision.transforms import functional as TF

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from edgeprune.artifacts import InputSpec, Progress

BATCH = 50
MARGIN = 8 / 7  # 256 to 224


@dataclass(frozen=True, slots=True)
class Preparation:
    """Makes an input of an image.

    Attributes:
        input: What the network takes: one input, (1, C, H, W) with C of 1 or 3.
    """

    input: InputSpec

    def __post_init__(self) -> None:
        """Refuse networks that do not take images.

        Raises:
            UsageError: Says what the network takes, or which of mean and std do not fit.
        """
        shapes = self.input.shapes
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
            taken = ", ".join("x".join(map(str, shape)) for shape in shapes)
            raise UsageError(f"--eval and --images need a network that takes images, not {taken}")
        channels = shapes[0][1]
        if len(self.input.mean) != channels or len(self.input.std) != channels:
            raise UsageError(f"--mean and --std need {channels} value(s), one for each channel")

    def __call__(self, image: Any) -> Tensor:
        """Turn a PIL image into (C, H, W), normalised."""
        _, channels, height, width = self.input.shapes[0]
        image = image.convert("L" if channels == 1 else "RGB")
        if (image.height, image.width) != (height, width):
            image = TF.resize(image, round(min(height, width) * MARGIN), antialias=True)
            image = TF.center_crop(image, [height, width])
        pixels = TF.pil_to_tensor(image).float() / 255
        return TF.normalize(pixels, list(self.input.mean), list(self.input.std))


class Unlabelled(Dataset[tuple[Tensor, int]]):
    """All images below a folder, in the order of their paths; their labels mean nothing."""

    def __init__(self, folder: Path, prepare: Preparation) -> None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS)
        if not found:
            raise UsageError(f"there are no images below '{folder}'")
        self._files, self._prepare = found, prepare

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._prepare(default_loader(str(self._files[index]))), 0


def labelled(folder: Path, spec: InputSpec) -> ImageFolder:
    """Read a folder with one sub-folder a class; classes count in the order of their names.

    Raises:
        UsageError: If there are no such images, or the network takes none.
    """
    try:
        return ImageFolder(str(folder), transform=Preparation(spec))
    except (FileNotFoundError, OSError) as error:
        raise UsageError(f"--eval {folder}: expected one sub-folder of images a class") from error


def unlabelled(folder: Path, spec: InputSpec) -> Unlabelled:
    """Read all images below a folder.

    Raises:
        UsageError: If there are no images, or the network takes none.
    """
    return Unlabelled(folder, Preparation(spec))


def accuracies(
    networks: Sequence[nn.Module], images: ImageFolder, progress: Progress | None = None
) -> list[float]:
    """Share of images that each network classifies as labelled.

    Args:
        networks: All give logits (N, classes).
        images: From :func:`labelled`.
        progress: Told after each batch.

    Raises:
        UsageError: If the networks do not classify, or into fewer classes than there are folders.
    """
    hits = torch.zeros(len(networks))
    for guesses, labels in _top_classes(networks, images, progress):
        hits += (guesses == labels).sum(1)
    return (hits / len(images)).tolist()


def agreements(
    original: nn.Module,
    others: Sequence[nn.Module],
    images: Unlabelled,
    progress: Progress | None = None,
) -> list[float]:
    """Share of images to which each of ``others`` gives the original's top class."""
    same = torch.zeros(len(others))
    for guesses, _ in _top_classes([original, *others], images, progress):
        same += (guesses[1:] == guesses[0]).sum(1)
    return (same / len(images)).tolist()


@torch.inference_mode()
def _top_classes(
    networks: Sequence[nn.Module], images: Dataset[Any], progress: Progress | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Top classes (networks, batch) and labels (batch,), batch by batch."""
    loader = DataLoader(images, batch_size=BATCH)
    for place, (inputs, labels) in enumerate(loader):
        outputs = [_logits(network(inputs)) for network in networks]
        if labels.max() >= outputs[0].shape[1]:
            raise UsageError(
                f"--eval has a class number {int(labels.max())}, the network knows only "
                f"{outputs[0].shape[1]}"
            )
        yield torch.stack([logits.argmax(1) for logits in outputs]), labels
        if progress is not None:
            progress((place + 1) / len(loader), f"{(place + 1) * BATCH} images")


def _logits(output: object) -> Tensor:
    """The network's first output, if it is one row of logits an image."""
    first = next((v for v in pytree.tree_leaves(output) if isinstance(v, Tensor)), None)
    if first is None or first.dim() != 2:
        raise UsageError("--eval and --images need a network whose output is one logit a class")
    return first
