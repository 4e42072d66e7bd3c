"""Quality of a network on images: accuracy with labels, agreement with the original without."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset

from edgeprune.errors import UsageError
from edgeprune.graph.outputs import tensors_in
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
        labels: Folder with one sub-folder a class; classes count in the order of their names.
        plain: Folder of images without labels.
        part: Part of the images without labels: ``validation`` where recovery fits to the others.

    Returns:
        The images; no unlabelled ones where recovery alone can use them, because the network
        does not give one logit a class.

    Raises:
        UsageError: If there are no such images, the network takes no images, or it has fewer
            classes than the folder.
    """
    images = Images(
        labelled(labels, source.input) if labels is not None else None,
        unlabelled(plain, source.input, part) if plain is not None else None,
    )
    if images.labelled is not None:
        known, wanted = _classes(source.module, images.labelled), len(images.labelled.classes)
        if wanted > known:
            raise UsageError(
                f"--eval {labels} has {wanted} classes, the network knows only {known}"
            )
    if images.unlabelled is not None:
        try:
            _classes(source.module, images.unlabelled)
        except UsageError:
            if part == "all":
                raise
            images = replace(images, unlabelled=None)  # they still serve recovery
    return images


def accuracies(
    networks: Sequence[nn.Module], images: ImageFolder, progress: Progress | None = None
) -> list[float]:
    """Share of images that each network classifies as labelled.

    Args:
        networks: Networks that return logits (N, classes).
        images: From :func:`edgeprune.images.labelled`.
        progress: Called after each batch with the share done and a text.

    Returns:
        One share for each network, 0 to 1.

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


def _logits(output: object) -> Tensor:
    """The network's first output, if it is one row of logits an image, (N, classes)."""
    first = next(iter(tensors_in(output)), None)
    if first is None or first.dim() != 2:
        raise UsageError("--eval and --images need a network whose output is one logit a class")
    return first
