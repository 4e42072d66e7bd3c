"""How good a network is on images: accuracy with labels, agreement with the original without.

Images are read as RGB (or grey, for networks with one input channel), scaled to [0, 1], resized so
that they cover the input with the usual margin of 8/7 unless they already have its size, cropped in
the centre, and normalised.
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

    from edgeprune.artifacts import InputSpec, Progress, SourceModel

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
            image = TF.resize(image, covering((image.height, image.width), (height, width)))
            image = TF.center_crop(image, [height, width])
        pixels = TF.pil_to_tensor(image).float() / 255
        normalised: Tensor = TF.normalize(pixels, list(self.input.mean), list(self.input.std))
        return normalised


def covering(image: tuple[int, int], crop: tuple[int, int]) -> list[int]:
    """Size to resize an image to, its shape kept, so that a crop leaves the usual margin.

    Args:
        image: Height and width of the image.
        crop: Height and width that are cut out of it.

    Returns:
        Height and width: 8/7 of the crop's on one side, no less on the other.
    """
    height, width = (round(side * MARGIN) for side in crop)
    if height * image[1] >= width * image[0]:
        return [height, int(height * image[1] / image[0])]
    return [int(width * image[0] / image[1]), width]


class Unlabelled(Dataset[tuple[Tensor, int]]):
    """All images below a folder, in the order of their paths; their labels mean nothing."""

    def __init__(self, folder: Path, prepare: Preparation) -> None:
        found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS)
        if not found:
            raise UsageError(f"there are no images below '{folder}'")
        self.folder, self._files, self._prepare = folder, found, prepare

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._prepare(_read(str(self._files[index]))), 0


@dataclass(frozen=True, slots=True)
class Images:
    """What networks are judged on; None for what the user has not."""

    labelled: ImageFolder | None
    unlabelled: Unlabelled | None


def open_images(source: SourceModel, labels: Path | None, plain: Path | None) -> Images:
    """Find the images, and try the network on one of each kind before any long work.

    Args:
        source: The original network.
        labels: Folder with one sub-folder a class; classes count in the order of their names.
        plain: Folder of images without labels.

    Raises:
        UsageError: If there are no such images, the network takes none, or it does not tell as
            many classes as there are.
    """
    images = Images(
        labelled(labels, source.input) if labels is not None else None,
        unlabelled(plain, source.input) if plain is not None else None,
    )
    if images.labelled is not None:
        known, asked = _classes(source.module, images.labelled), len(images.labelled.classes)
        if asked > known:
            raise UsageError(f"--eval {labels} has {asked} classes, the network knows only {known}")
    if images.unlabelled is not None:
        _classes(source.module, images.unlabelled)
    return images


def labelled(folder: Path, spec: InputSpec) -> ImageFolder:
    """Read a folder with one sub-folder a class; classes count in the order of their names.

    Raises:
        UsageError: If there are no such images, or the network takes none.
    """
    try:
        return ImageFolder(str(folder), transform=Preparation(spec), loader=_read)
    except OSError as error:
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
        UsageError: If an image cannot be read.
    """
    hits = torch.zeros(len(networks), dtype=torch.long)
    for guesses, labels in _top_classes(networks, images, progress):
        hits += (guesses == labels).sum(1)
    return [count / len(images) for count in hits.tolist()]


def agreements(
    networks: Sequence[nn.Module], images: Unlabelled, progress: Progress | None = None
) -> list[float]:
    """Share of images to which each network after the first gives the first one's top class.

    Args:
        networks: The original, then those compared with it; all give logits (N, classes).
        images: From :func:`unlabelled`.
        progress: Told after each batch.

    Raises:
        UsageError: If an image cannot be read.
    """
    same = torch.zeros(len(networks) - 1, dtype=torch.long)
    for guesses, _ in _top_classes(networks, images, progress):
        same += (guesses[1:] == guesses[0]).sum(1)
    return [count / len(images) for count in same.tolist()]


@torch.inference_mode()
def _classes(network: nn.Module, images: Dataset[tuple[Tensor, int]]) -> int:
    """How many classes the network tells apart, tried on the first image."""
    return _logits(network(images[0][0].unsqueeze(0).to(_device(network)))).shape[1]


@torch.inference_mode()
def _top_classes(
    networks: Sequence[nn.Module], images: Dataset[Any], progress: Progress | None
) -> Iterator[tuple[Tensor, Tensor]]:
    """Top classes (networks, batch) and labels (batch,), batch by batch."""
    # With no generator of its own the loader would draw from, and so change, the global one.
    loader = DataLoader(images, batch_size=BATCH, generator=torch.Generator())
    device = _device(networks[0])
    for place, (inputs, labels) in enumerate(loader):
        inputs = inputs.to(device)
        yield torch.stack([_logits(net(inputs)).argmax(1) for net in networks]).cpu(), labels
        if progress is not None:
            progress((place + 1) / len(loader), f"{(place + 1) * BATCH} images")


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _read(path: str) -> Any:
    """The image as RGB.

    Raises:
        UsageError: The file is damaged, or holds no image.
    """
    try:
        return default_loader(path)
    except OSError as error:
        raise UsageError(f"'{path}' is no image that can be read") from error


def _logits(output: object) -> Tensor:
    """The network's first output, if it is one row of logits an image."""
    first = next((v for v in pytree.tree_leaves(output) if isinstance(v, Tensor)), None)
    if first is None or first.dim() != 2:
        raise UsageError("--eval and --images need a network whose output is one logit a class")
    return first
