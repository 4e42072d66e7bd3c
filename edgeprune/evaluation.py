"""Quality of a network on images: accuracy with labels, agreement with the original without."""

from __future__ import annotations

import ast
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from edgeprune import units
from edgeprune.errors import UsageError
from edgeprune.graph.outputs import tensors_in
from edgeprune.images.class_folders import class_indices
from edgeprune.images.reading import labelled, unlabelled

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from torchvision.datasets import ImageFolder

    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.images.reading import Part, Unlabelled

BATCH = 50


@dataclass(frozen=True, slots=True)
class Images:
    """Images that networks are evaluated on; None for a kind that the user did not give."""

    labelled: ImageFolder | None
    unlabelled: Unlabelled | None


def open_images(
    source: SourceModel, labels: Path | None, plain: Path | None, part: Part = "all"
) -> Images:
    """Find the images, and try the network on one of each kind before any long work.

    Args:
        source: The original network.
        labels: Folder with one sub-folder a class; see ``images/class_folders.py``.
        plain: Folder of images without labels.
        part: Part of the images without labels: ``validation`` where recovery fits to the others.

    Returns:
        The images; no unlabelled ones where recovery alone can use them, because the network
        does not give one logit a class.

    Raises:
        UsageError: If there are no such images, the network takes no images, or its outputs are
            not the folder's classes.
    """
    images = Images(
        labelled(labels, source.input) if labels is not None else None,
        unlabelled(plain, source.input, part) if plain is not None else None,
    )
    if labels is not None and images.labelled is not None:
        outputs = _classes(source.module, images.labelled)
        names = known_classes(source)
        indices = class_indices(labels, images.labelled.classes, outputs, names)
        images.labelled.target_transform = indices.__getitem__
    if images.unlabelled is not None:
        try:
            _classes(source.module, images.unlabelled)
        except UsageError:
            if part == "all":
                raise
            images = replace(images, unlabelled=None)  # they still serve recovery
    return images


def known_classes(source: SourceModel) -> tuple[str, ...]:
    """Names of the classes, where the network carries them: Ultralytics', Hugging Face's."""
    listed: object = getattr(getattr(source.module, "config", None), "id2label", None)
    if stored := dict(source.input.metadata).get("names"):
        listed = ast.literal_eval(stored)
    if not isinstance(listed, Mapping):
        return ()
    return tuple(str(name) for _, name in sorted(listed.items()))


def doubt(accuracy: float, images: ImageFolder) -> str | None:
    """What to say where the original is right no more often than by chance; None where it is.

    Args:
        accuracy: Share of images that the original classifies as labelled.
        images: The images.
    """
    n, chance = len(images), 1 / len(images.classes)
    if accuracy > chance + 2 * math.sqrt(chance * (1 - chance) / n):  # two standard errors
        return None
    return (
        f"--eval: the original is right on {units.percent(accuracy)} of {n} images, which guessing "
        f"may reach ({units.percent(chance)}): check the order of the folders, --mean and --std"
    )


def right_answers(
    networks: Sequence[nn.Module], images: ImageFolder, progress: Progress | None = None
) -> Tensor:
    """Which images each network classifies as labelled.

    Args:
        networks: Networks that return logits (N, classes).
        images: From :func:`edgeprune.images.labelled`.
        progress: Called after each batch with the share done and a text.

    Returns:
        Truth values, (networks, images).

    Raises:
        UsageError: If an image cannot be read.
    """
    found = [guesses == labels for guesses, labels in _top_classes(networks, images, progress)]
    return torch.cat(found, dim=1)


def accuracies(right: Tensor) -> list[float]:
    """Share of images that each network classifies as labelled, from 0 to 1.

    Args:
        right: From :func:`right_answers`, (networks, images).
    """
    return right.double().mean(1).tolist()


def turned(right: Tensor, deliverable: int) -> tuple[int, int]:
    """On how many images one of two networks alone is right.

    Args:
        right: From :func:`right_answers`, (networks, images); the first network is the original.
        deliverable: Index of the other network.

    Returns:
        Images that the original alone has right, and those that the other alone has.
    """
    before, after = right[0], right[deliverable]
    return int((before & ~after).sum()), int((after & ~before).sum())


def agreements(
    networks: Sequence[nn.Module], images: Unlabelled, progress: Progress | None = None
) -> list[float]:
    """Share of images on which each network after the first has the top class of the first.

    Args:
        networks: The original, then the networks to compare; all return logits (N, classes).
        images: From :func:`edgeprune.images.unlabelled`.
        progress: Called after each batch with the share done and a text.

    Returns:
        One share for each network, 0 to 1.

    Raises:
        UsageError: If an image cannot be read.
    """
    same = torch.zeros(len(networks) - 1, dtype=torch.long)
    for guesses, _ in _top_classes(networks, images, progress):
        same += (guesses[1:] == guesses[0]).sum(1)
    return [count / len(images) for count in same.tolist()]


@torch.inference_mode()
def _classes(network: nn.Module, images: Dataset[tuple[Tensor, int]]) -> int:
    """Number of classes of the network, from the logits of the first image."""
    return _logits(network(images[0][0].unsqueeze(0).to(_device(network))), 1).shape[1]


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
        guesses = [_logits(net(inputs), len(inputs)).argmax(1) for net in networks]
        yield torch.stack(guesses).cpu(), labels
        if progress is not None:
            progress((place + 1) / len(loader), f"{(place + 1) * BATCH} images")


def _device(network: nn.Module) -> torch.device:
    return next((parameter.device for parameter in network.parameters()), torch.device("cpu"))


def _logits(output: object, batch: int) -> Tensor:
    """The network's first output, if it is one row of logits an image, (N, classes)."""
    first = next(iter(tensors_in(output)), None)
    if first is None or first.dim() != 2 or first.shape[0] != batch:
        given = "none" if first is None else units.dimensions(first.shape)
        raise UsageError(
            "--eval and --images compare classes: they need a network whose first output is one "
            f"logit a class, {batch}xCLASSES; this one's is {given}"
        )
    return first
