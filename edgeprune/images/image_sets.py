"""A set of images in a file, to be used again; and on one sheet, to be looked at.

The file is a safetensors archive: float32, since methods are compared on the very same images, with
what is known of the set in its header.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torchvision.utils import make_grid, save_image

from edgeprune.artifacts import ImageKind
from edgeprune.errors import UsageError
from edgeprune.images.given import Given
from edgeprune.natural_images import pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from torch import Tensor

    from edgeprune.artifacts import InputSpec

FILE = "images.safetensors"
FORMAT = "edgeprune images 1"
SHOWN = 64


@dataclass(frozen=True, slots=True)
class ImageSet:
    """What is known of a set of images.

    Attributes:
        origin: Where they are from, to follow "256 images".
        kind: Procedural, synthesized or real.
        seed: That they were made with.
        model_sha256: Digest of the network that they were made for.
        mean: That they are normalised with, in units of [0, 1] pixels.
        std: Likewise.
        settings: Of what made them, for people.
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
        about: What is known of it.
        path: The file, by custom ``images.safetensors``; replaced if it is there.
    """
    tensors = {
        f"input{place}": each.detach().float().cpu().contiguous()
        for place, each in enumerate(inputs)
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.part")
    save_file(tensors, beside, metadata={"format": FORMAT, "about": json.dumps(asdict(about))})
    beside.replace(path)


def read(path: Path) -> tuple[tuple[Tensor, ...], ImageSet]:
    """Read a set as it was saved.

    Raises:
        UsageError: If the file is no set of images.
    """
    try:
        with safe_open(path, "pt") as file:
            header = file.metadata() or {}
            inputs = tuple(file.get_tensor(f"input{place}") for place in range(len(file.keys())))
        if header["format"] != FORMAT:
            raise KeyError(header["format"])
        return inputs, _about(json.loads(header["about"]))
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise UsageError(f"'{path}' is no set of images that edgeprune saved") from error


def _about(known: dict[str, Any]) -> ImageSet:
    """What the header says; sets written before there were kinds have two booleans instead."""
    if "kind" not in known:
        synthesized, synthetic = known.pop("imagined", False), known.pop("drawn")
        known["kind"] = "synthesized" if synthesized else "procedural" if synthetic else "real"
    spread = {name: tuple(known[name]) for name in ("mean", "std")}
    return ImageSet(**(known | spread | {"kind": ImageKind(known["kind"])}))


def load(path: Path, spec: InputSpec) -> Given:
    """Read a set for a network.

    Args:
        path: The file.
        spec: What the network takes.

    Raises:
        UsageError: If the file is no set of images, or the network takes others.
    """
    inputs, about = read(path)
    held = [tuple(each.shape[1:]) for each in inputs]
    taken = [tuple(shape[1:]) for shape in spec.shapes]
    if held != taken:
        shown = (", ".join("x".join(map(str, shape)) for shape in each) for each in (held, taken))
        raise UsageError("'{}' holds images of {}, the network takes {}".format(path, *shown))
    if (about.mean, about.std) != (spec.mean, spec.std):
        raise UsageError(
            f"'{path}' is normalised with mean {about.mean} and std {about.std}, the network's "
            f"images with {spec.mean} and {spec.std}"
        )
    return Given(inputs, about.origin, about.kind)


def contact_sheet(images: Tensor, spec: InputSpec, path: Path) -> None:
    """Write a picture of the first 64 images, side by side.

    Args:
        images: (N, C, H, W), normalised; where they are not of three colours, the channels of an
            image stand next to each other in grey.
        spec: What they are normalised with.
        path: The PNG file; replaced if it is there.
    """
    images = images[:SHOWN].detach().float().cpu()
    pixels = pixels_of(images, spec).clamp(0, 1)
    if pixels.shape[1] != 3:
        pixels = torch.cat(torch.split(pixels, 1, dim=1), dim=3)
    across = max(1, round(len(pixels) ** 0.5))
    path.parent.mkdir(parents=True, exist_ok=True)
    save_image(make_grid(pixels, nrow=across, padding=2), path, format="png")
