"""The inputs and random numbers of a step, as functions of the step alone.

Nothing is kept between steps, so a run that resumes at step k uses the batches of a run without
interruption. For any number of processes the global batch is the same, and each takes its slice of
it (:meth:`edgeprune.training.Processes.share`).
"""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.training.processes import Processes


def indices(count: int, size: int, step: int, seed: int) -> Tensor:
    """The inputs of the global batch of one step.

    Batches are cut from a row of epochs, each a permutation of all inputs: none is dropped at the
    end of an epoch, and a batch may be larger than an epoch.

    Args:
        count: Number of inputs, at least 1.
        size: Inputs in the global batch: with N processes, N times the batch of each.
        step: Number of the step, from 0.
        seed: Random seed of the order.

    Returns:
        Indices of inputs, (size,), int64, from 0 to ``count`` - 1.
    """
    start = step * size
    first, last = start // count, (start + size - 1) // count
    epochs = [_permutation(count, epoch, seed) for epoch in range(first, last + 1)]
    skipped = start - first * count
    return torch.cat(epochs)[skipped : skipped + size]


def generator(seed: int, step: int) -> torch.Generator:
    """Generator of one step on the CPU, the same in all processes: for augmentation, noise."""
    return torch.Generator().manual_seed(_mixed("step", seed, step))


@contextmanager
def drawing(seed: int, step: int, processes: Processes) -> Iterator[None]:
    """Seed the global generators by step and rank, for layers without a generator like dropout.

    The global generators are as before once the block is left.
    """
    device = processes.device
    on_gpu = device.type == "cuda"
    with torch.random.fork_rng([device] if on_gpu else []):
        mixed = _mixed("layers", seed, step, processes.rank)
        # Not torch.manual_seed: it would seed the other GPUs too, which are not put back.
        torch.default_generator.manual_seed(mixed)
        if on_gpu:
            torch.cuda.manual_seed(mixed)
        yield


def _permutation(count: int, epoch: int, seed: int) -> Tensor:
    draw = torch.Generator().manual_seed(_mixed("epoch", seed, epoch))
    return torch.randperm(count, generator=draw)


def _mixed(*parts: str | int) -> int:
    """One seed from several parts, by hash: neighbouring seeds must not give related numbers."""
    text = "/".join(map(str, parts))
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=4).digest(), "little")
