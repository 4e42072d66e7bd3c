"""Images from the user's own folders, prepared for a network.

Images are read as RGB (or grey, for networks with one input channel), scaled to [0, 1], resized so
that they cover the input with the usual margin of 8/7 unless they already have its size, cropped in
the centre, and normalised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from edgeprune.errors import UsageError, failing_as

if TYPE_CHECKING:
    from pathlib import Path

    from torchvision.datasets import ImageFolder

    from edgeprune.artifacts import InputSpec

MOST_PIXELS = 64 << 20
"""Largest image that is decoded: 192 MiB as RGB; a small file can claim any size."""

MARGIN = 8 / 7
"""Size before the crop as a share of the crop's, as in 256 to 224."""

Part: TypeAlias = Literal["all", "fitting", "validation"]

VALIDATION_EVERY = 5
"""One image in so many is a validation image, where recovery fits to the others."""


def labelled(folder: Path, spec: InputSpec) -> ImageFolder:
    """Read a folder with one sub-folder a class, which may be empty; see ``class_folders.py``.

    Raises:
        UsageError: If there are no such images, or the network takes no images.
    """
    from torchvision.datasets import ImageFolder  # here, as below: it takes a second to import
    from torchvision.datasets.folder import IMG_EXTENSIONS

    prepare = Preparation(spec)
    try:
        images = ImageFolder(str(folder), transform=prepare, loader=_read, allow_empty=True)
    except OSError as error:
        flat = any(path.suffix.lower() in IMG_EXTENSIONS for path in folder.iterdir())
        found = "its images lie in no folders" if flat else "it has no folders"
        raise UsageError(
            f"--eval {folder}: expected one sub-folder of images a class, and {found}"
            f"{'; --images takes images without labels' if flat else ''}"
        ) from error
    if not images.samples:
        raise UsageError(f"--eval {folder}: there are no images in its folders")
    return images


def unlabelled(folder: Path, spec: InputSpec, part: Part = "all") -> Unlabelled:
    """Read images below a folder.

    Args:
        folder: Folder with the images; those in its sub-folders count too.
        spec: Input shapes and normalisation of the network.
        part: Which of the images: every fifth is for ``validation``, the others for ``fitting``.

    Raises:
        UsageError: If there are no images, too few for two parts, or the network takes none.
    """
    from torchvision.datasets.folder import IMG_EXTENSIONS

    found = sorted(p for p in folder.rglob("*") if p.suffix.lower() in IMG_EXTENSIONS)
    if not found:
        raise UsageError(f"there are no images below '{folder}'")
    if part != "all" and len(found) < VALIDATION_EVERY:
        raise UsageError(
            f"'{folder}' holds {len(found)} image(s); recovery needs at least {VALIDATION_EVERY}, "
            "because every fifth is a validation image"
        )
    validation = found[VALIDATION_EVERY - 1 :: VALIDATION_EVERY]
    fitting = sorted(set(found) - set(validation))
    parts = {"all": found, "validation": validation, "fitting": fitting}
    return Unlabelled(folder, parts[part], Preparation(spec))


class Unlabelled(Dataset[tuple[Tensor, int]]):
    """Images of a folder, in the order of their paths; their labels mean nothing."""

    def __init__(self, folder: Path, files: list[Path], prepare: Preparation) -> None:
        self.folder, self._files, self._prepare = folder, files, prepare

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self._prepare(_read(str(self._files[index]))), 0


@dataclass(frozen=True, slots=True)
class Preparation:
    """Makes an input of a PIL image.

    Attributes:
        input: Input of the network: one, (1, C, H, W) with C of 1 or 3.
    """

    input: InputSpec

    def __post_init__(self) -> None:
        """Refuse networks that do not take images.

        Raises:
            UsageError: Says what the network takes, or which of mean and std do not fit.
        """
        shapes = self.input.shapes
        if len(shapes) != 1 or len(shapes[0]) != 4 or shapes[0][1] not in (1, 3):
            raise UsageError(
                "a folder of images needs a network that takes one image as 1xCxHxW, of 1 or 3 "
                f"channels, not {', '.join(self.input.texts)}{_layout(shapes[0])}"
            )
        if self.input.dtypes:
            raise UsageError(
                f"images are fed as float32, and the network takes {', '.join(self.input.texts)}"
            )
        channels = shapes[0][1]
        if len(self.input.mean) != channels or len(self.input.std) != channels:
            raise UsageError(f"--mean and --std need {channels} value(s), one for each channel")

    def __call__(self, image: Any) -> Tensor:
        """Turn a PIL image into a normalised tensor, (C, H, W)."""
        from torchvision.transforms import functional as TF

        _, channels, height, width = self.input.shapes[0]
        image = image.convert("L" if channels == 1 else "RGB")
        if (image.height, image.width) != (height, width):
            image = TF.resize(image, covering((image.height, image.width), (height, width)))
            image = TF.center_crop(image, [height, width])
        pixels = TF.pil_to_tensor(image).float() / 255
        normalised: Tensor = TF.normalize(pixels, list(self.input.mean), list(self.input.std))
        return normalised


def _layout(shape: tuple[int, ...]) -> str:
    """A hint, where the channels come last."""
    if len(shape) == 4 and shape[3] in (1, 3):
        return (
            ": that layout is channels last (NHWC), in which images are not fed; give the network "
            "a forward that takes channels first"
        )
    return ""


def covering(image: tuple[int, int], crop: tuple[int, int]) -> list[int]:
    """Size to resize an image to, its shape kept, so that a crop leaves the usual margin.

    Args:
        image: Height and width of the image, in pixels.
        crop: Height and width that are cut out of it, in pixels.

    Returns:
        Height and width, in pixels: 8/7 of the crop's on one side, no less on the other.
    """
    height, width = (round(side * MARGIN) for side in crop)
    if height * image[1] >= width * image[0]:
        return [height, int(height * image[1] / image[0])]
    return [int(width * image[0] / image[1]), width]


def _read(path: str) -> Any:
    """The image as RGB.

    Raises:
        UsageError: If the file is damaged, holds no image, or one that is too large.
    """
    with (
        failing_as(UsageError, f"'{path}' is no image that can be read"),
        Image.open(path) as image,
    ):
        if image.width * image.height > MOST_PIXELS:
            raise UsageError(f"'{path}' is too large an image: {image.width}x{image.height} pixels")
        return image.convert("RGB")
