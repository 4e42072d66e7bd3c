"""Sets of images made a batch at a time, in one process or several, each finished batch saved."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from edgeprune.artifacts import part_of
from edgeprune.images import image_sets
from edgeprune.training import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from edgeprune.artifacts import Progress
    from edgeprune.images.image_sets import ImageSet
    from edgeprune.images.synthesis.objective import SynthesisLoss
    from edgeprune.images.time_limit import TimeLimit
    from edgeprune.training import Processes

BATCH_PIXELS = 1 << 19
"""About as many pixels fit into a batch that a laptop trains on."""


class BatchMaker(Protocol):
    """Makes one batch of images."""

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        """Make a batch.

        Args:
            places: Indices in the whole set of the images that this process makes, (B,).
            number: Index of the batch, 0 for the first.
            progress: Called with the share of this batch that is done, 0 to 1.

        Returns:
            One tensor (B, …) for each input of the network.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchCache:
    """Files with the finished batches of one set.

    Attributes:
        folder: Folder of this set and no other; None: nothing is saved.
        about: Facts about the set, for the header of each file.
    """

    folder: Path | None
    about: ImageSet

    def load(self, number: int) -> tuple[Tensor, ...] | None:
        """A batch that was finished before; None if it was not."""
        if self.folder is None or not self._file(number).exists():
            return None
        return image_sets.read(self._file(number))[0]

    def save(self, number: int, inputs: Sequence[Tensor]) -> None:
        """Save a finished batch, and delete the checkpoints of its training."""
        if self.folder is not None:
            image_sets.save(inputs, self.about, self._file(number))
            for file in self.folder.glob(f"{number:04}-*.pt*"):
                file.unlink()

    def checkpoint(self, number: int, stage: int) -> Checkpoint | None:
        """Where the training of a batch resumes; None if nothing is saved."""
        if self.folder is None:
            return None
        return Checkpoint(self.folder / f"{number:04}-{stage}.pt", self.folder.name)

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"batch-{number:04}.safetensors"


def make_batches(
    make: BatchMaker,
    batches: Sequence[Tensor],
    synthesis_loss: SynthesisLoss,
    cache: BatchCache,
    limit: TimeLimit,
    progress: Progress | None,
) -> tuple[Tensor, ...]:
    """Make all batches for which there is time, one after another; cached ones are loaded.

    Args:
        make: Makes this process's part of a batch.
        batches: Indices of the images of each batch, (N·B,) each, from ``in_batches``.
        synthesis_loss: Loss that remembers the finished batches.
        cache: Files with the finished batches.
        limit: Time limit, for all batches after the first; shared by the processes that make them.
        progress: Called with the share of the whole set that is done, 0 to 1.

    Returns:
        One tensor (images, …) for each input of the network, on the CPU, in every process.
    """
    finished: list[tuple[Tensor, ...]] = []
    processes, slowest, left = limit.processes, 0.0, limit.left()
    for number, places in enumerate(batches):
        if finished and left < slowest:
            break
        inputs = _load(cache, number, processes)
        if inputs is None:
            own = make(processes.share(places), number, part_of(progress, number, len(batches)))
            inputs = tuple(_gathered(each, processes) for each in own)
            if processes.rank == 0:
                cache.save(number, inputs)
        rows = processes.share(torch.arange(len(places)))
        synthesis_loss.remember([each[rows].to(processes.device) for each in inputs])
        finished.append(inputs)
        before, left = left, limit.left()
        slowest = max(slowest, before - left) if math.isfinite(left) else 0.0
    return tuple(torch.cat(each) for each in zip(*finished, strict=True))


def in_batches(count: int, size: int, processes: Processes) -> list[Tensor]:
    """Cut a set into batches that are as equal as can be.

    Args:
        count: Number of images; rounded up to a multiple of the processes.
        size: Largest number of images in a batch of one process.
        processes: Processes that share each batch.

    Returns:
        Indices of the images of each batch, int64.
    """
    each = -(-count // processes.count)
    parts = torch.arange(each * processes.count).view(each, -1).tensor_split(-(-each // size))
    return [part.flatten() for part in parts]


def batch_size(shapes: Iterable[tuple[int, ...]]) -> int:
    """Number of images of such shapes, (1, C, H, W), in a batch: fewer of large ones."""
    pixels = max(shape[2] * shape[3] for shape in shapes)
    return min(128, max(16, BATCH_PIXELS // pixels))


def _load(cache: BatchCache, number: int, processes: Processes) -> tuple[Tensor, ...] | None:
    """A cached batch, if the first process has it: all load it, or none does."""
    inputs = cache.load(number)
    return inputs if processes.agreed(float(inputs is not None)) else None


def _gathered(own: Tensor, processes: Processes) -> Tensor:
    """The parts of a batch from all processes, in order of rank, on the CPU, (N·B, …)."""
    if processes.count > 1:
        every = processes.fabric.all_gather(own.detach().to(processes.device))
        own = torch.as_tensor(every).flatten(0, 1)
    return own.detach().cpu()
