"""A set of images in a file, to be used again; and on one sheet, to be looked at.

The file is a safetensors archive with the facts about the set in its header. Images are float32,
bytes and integers what they are, so that methods can be compared on the very same ones.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch

from edgeprune import tensor_file, units
from edgeprune.artifacts import ImageKind
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.images.given import Given
from edgeprune.natural_images import pixels_of
from edgeprune.whole_file import writing

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from edgeprune.artifacts import InputSpec

FILE = "images.safetensors"
FORMAT = "edgeprune images 1"
SHOWN = 64
"""Largest number of images on a sheet."""


@dataclass(frozen=True, slots=True)
class ImageSet:
    """The facts about a set of images.

    Attributes:
        origin: Where the images are from, to follow "256 images".
        kind: Procedural, synthesized or real.
        seed: Random seed that the images were made with.
        model_sha256: Digest of the network that the images were made for.
        mean: Mean of each channel that the images are normalised with, in units of [0, 1] pixels.
        std: Standard deviation of each channel that they are normalised with, same unit.
        settings: Settings of the source, for people to read.
    """

    origin: str
    kind: ImageKind
    seed: int
    model_sha256: str
    mean: tuple[float, ...]
    std: tuple[float, ...]
    settings: dict[str, str] = field(default_factory=dict)


def save(inputs: Sequence[Tensor], about: ImageSet, path: Path) -> None:
    """Write a set, whole or not at all.

    Args:
        inputs: One tensor (N, …) for each input of the network, normalised.
        about: Facts about the set, for the header.
        path: File to write, by custom ``images.safetensors``; replaced if it is there.
    """
    tensors = {f"input{place}": _stored(each) for place, each in enumerate(inputs)}
    path.parent.mkdir(parents=True, exist_ok=True)
    texts = {"format": FORMAT, "about": json.dumps(asdict(about))}
    tensor_file.write(tensors, texts, path)


def _stored(given: Tensor) -> Tensor:
    """An input as it lies in the file: float32, or the integers that it is."""
    given = given.float() if given.is_floating_point() else given
    return given.detach().cpu().contiguous()


def read(path: Path) -> tuple[tuple[Tensor, ...], ImageSet]:
    """Read a set as it was saved.

    Raises:
        UsageError: If the file is no set of images.
    """
    try:
        tensors, header = tensor_file.read(path)
        inputs = tuple(tensors[f"input{place}"] for place in range(len(tensors)))
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
        return inputs, _about(json.loads(header["about"]))
    except (ModelRefused, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"'{path}' is no set of images that edgeprune saved") from error


def _about(header: dict[str, Any]) -> ImageSet:
    """The facts in a header; older sets have two booleans, ``drawn`` and ``imagined``, for a kind.

    ``drawn`` says that no camera took the images, ``imagined`` that a network made them.
    """
    if "kind" not in header:
        synthesized, synthetic = header.pop("imagined", False), header.pop("drawn")
        header["kind"] = "synthesized" if synthesized else "procedural" if synthetic else "real"
    spread = {name: tuple(header[name]) for name in ("mean", "std")}
    return ImageSet(**(header | spread | {"kind": ImageKind(header["kind"])}))


def load(path: Path, spec: InputSpec) -> Given:
    """Read a set for a network.

    Args:
        path: File with the set.
        spec: Input shapes and normalisation of the network.

    Raises:
        UsageError: If the file is no set of images, or its images do not fit the network.
    """
    inputs, about = read(path)
    stored = ", ".join(_text(each.shape, each.dtype) for each in inputs)
    expected = ", ".join(_text(s, getattr(torch, dtype)) for s, dtype in spec.typed_shapes)
    if stored != expected:
        raise UsageError(f"'{path}' holds images of {stored}, the network takes {expected}")
    if (about.mean, about.std) != (spec.mean, spec.std):
        raise UsageError(
            f"'{path}' is normalised with mean {about.mean} and std {about.std}, the network's "
            f"images with {spec.mean} and {spec.std}"
        )
    return Given(inputs, about.origin, about.kind)


def _text(shape: Sequence[int], dtype: torch.dtype) -> str:
    """One input without its batch, as the file keeps it: "3x8x6", "8x8x3:uint8"."""
    kind = "" if dtype.is_floating_point else ":" + str(dtype).removeprefix("torch.")
    return units.dimensions(shape[1:]) + kind


def contact_sheet(images: Tensor, spec: InputSpec, path: Path) -> None:
    """Write a picture of the first 64 images, side by side.

    Args:
        images: Normalised images, (N, C, H, W); unless C is 3, the channels of an image stand next
            to each other in grey.
        spec: Normalisation of the images.
        path: PNG file to write; replaced if it is there.
    """
    from torchvision.utils import make_grid, save_image  # here: it takes a second to import

    images = images[:SHOWN].detach().float().cpu()
    pixels = pixels_of(images, spec).clamp(0, 1)
    if pixels.shape[1] != 3:
        pixels = torch.cat(torch.split(pixels, 1, dim=1), dim=3)
    columns = max(1, round(len(pixels) ** 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    with writing(path) as draft:
        save_image(make_grid(pixels, nrow=columns, padding=2), draft, format="png")
