"""Sets of images made a batch at a time, in one process or several, each finished batch kept."""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

from edgeprune.artifacts import part_of
from edgeprune.images import image_sets
from edgeprune.training import Checkpoint

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from edgeprune.artifacts import Progress
    from edgeprune.images.image_sets import ImageSet
    from edgeprune.images.synthesis.objective import Judge
    from edgeprune.training import Processes

BATCH_PIXELS = 1 << 19
"""About as many pixels fit into a batch that a laptop trains on."""


class Maker(Protocol):
    """Makes one batch of images."""

    def __call__(
        self, places: Tensor, number: int, progress: Progress | None
    ) -> tuple[Tensor, ...]:
        """Make a batch.

        Args:
            places: Which images of the whole set this process makes, (B,).
            number: Of the batch, 0 for the first.
            progress: Of this batch.

        Returns:
            One tensor (B, …) for each input of the network.
        """
        ...


@dataclass(frozen=True, slots=True)
class BatchCache:
    """Where finished batches are kept.

    Attributes:
        folder: Of this very set; None: nothing is kept.
        about: What is written to each file.
    """

    folder: Path | None
    about: ImageSet

    def found(self, number: int) -> tuple[Tensor, ...] | None:
        """A batch that was finished before; None if it was not."""
        if self.folder is None or not self._file(number).exists():
            return None
        return image_sets.read(self._file(number))[0]

    def keep(self, number: int, inputs: Sequence[Tensor]) -> None:
        """Keep a finished batch, and nothing of its making."""
        if self.folder is not None:
            image_sets.save(inputs, self.about, self._file(number))
            for file in self.folder.glob(f"{number:04}-*.pt*"):
                file.unlink()

    def checkpoint(self, number: int, stage: int) -> Checkpoint | None:
        """Where the making of a batch goes on from; None if nothing is kept."""
        if self.folder is None:
            return None
        return Checkpoint(self.folder / f"{number:04}-{stage}.pt", self.folder.name)

    def _file(self, number: int) -> Path:
        assert self.folder is not None
        return self.folder / f"batch-{number:04}.safetensors"


class TimeLimit:
    """What is left of a time, the same in all processes.

    Args:
        seconds: From now on; infinite for no limit.
        processes: Those that are under it.
    """

    def __init__(self, seconds: float, processes: Processes) -> None:
        self.processes = processes
        self._seconds, self._start = seconds, time.perf_counter()

    def left(self) -> float:
        """Seconds."""
        return self.processes.agreed(self._seconds - (time.perf_counter() - self._start))


def make_batches(
    make: Maker,
    batches: Sequence[Tensor],
    judge: Judge,
    cache: BatchCache,
    limit: TimeLimit,
    progress: Progress | None,
) -> tuple[Tensor, ...]:
    """Make all batches for which there is time, one after another, those on the cache excepted.

    Args:
        make: Makes this process's part of one.
        batches: Places of the images of each, (N·B,) each, as ``in_batches`` gives them.
        judge: Remembers the finished ones.
        cache: Where they are kept.
        limit: Of the time, after the first batch; it knows the processes that share each batch.
        progress: Of the whole.

    Returns:
        One tensor (images, …) for each input of the network, on the CPU, in every process.
    """
    finished: list[tuple[Tensor, ...]] = []
    processes, slowest, left = limit.processes, 0.0, limit.left()
    for number, places in enumerate(batches):
        if finished and left < slowest:
            break
        inputs = _from(cache, number, processes)
        if inputs is None:
            own = make(processes.share(places), number, part_of(progress, number, len(batches)))
            inputs = tuple(_gathered(each, processes) for each in own)
            if processes.rank == 0:
                cache.keep(number, inputs)
        rows = processes.share(torch.arange(len(places)))
        judge.remember([each[rows].to(processes.device) for each in inputs])
        finished.append(inputs)
        before, left = left, limit.left()
        slowest = max(slowest, before - left) if math.isfinite(left) else 0.0
    return tuple(torch.cat(each) for each in zip(*finished, strict=True))


def in_batches(count: int, size: int, processes: Processes) -> list[Tensor]:
    """Cut a set into batches that are as equal as can be.

    Args:
        count: Images; rounded up to a multiple of the processes.
        size: Images in a batch of one process, at most.
        processes: Those that share each batch.

    Returns:
        Places of the images of each batch, int64.
    """
    each = -(-count // processes.count)
    parts = torch.arange(each * processes.count).view(each, -1).tensor_split(-(-each // size))
    return [part.flatten() for part in parts]


def batch_size(shapes: Sequence[tuple[int, ...]]) -> int:
    """How many images of such inputs a process takes at a time: fewer of large ones."""
    pixels = max(shape[2] * shape[3] for shape in shapes if len(shape) == 4)
    return min(128, max(16, BATCH_PIXELS // pixels))


def _from(cache: BatchCache, number: int, processes: Processes) -> tuple[Tensor, ...] | None:
    """A finished batch, if the first process finds it: all make it, or none."""
    found = cache.found(number)
    return found if processes.agreed(float(found is not None)) else None


def _gathered(own: Tensor, processes: Processes) -> Tensor:
    """The parts of a batch from all processes, by rank, on the CPU."""
    if processes.count > 1:
        every = processes.fabric.all_gather(own.detach().to(processes.device))
        own = torch.as_tensor(every).flatten(0, 1)
    return own.detach().cpu()
