"""The training of one block: from what it now reads to what the original's block gives.

The error is the share of what varies in the original's features that the block misses, on average
over what it gives (``recovery/held_out.py`` measures networks in the same way). Images come in
chunks that stay together. Both networks normalise each chunk by its own statistics, so that the
original's features, computed once, are what the block could reach.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.training import indices

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from edgeprune.program.network import RecordedNetwork
    from edgeprune.recovery.blockwise.blocks import Block
    from edgeprune.training import Processes


@dataclass(frozen=True, slots=True)
class Chunk:
    """Images that both networks run on together.

    Attributes:
        inputs: Inputs of the network, (N, …) each.
        given: What the block reads in the pruned network, by number of the value.
        wanted: What the original's block gives, of the channels that are left, by number.
    """

    inputs: tuple[Tensor, ...]
    given: Mapping[int, Tensor]
    wanted: Mapping[int, Tensor]


class BlockTask:
    """The task that :func:`edgeprune.training.fit` trains.

    Args:
        network: The pruned network, recorded; its layers are trained in place.
        block: The block of it that is trained.
        shown: Chunks to train on, and chunks to validate on.
        trainable: Names of the layers that may change.
        seed: Random seed of the order of chunks.
        processes: Processes that train, each on a chunk of its own.

    Attributes:
        module: The block's layers that are trained.
        has_work: Whether there is something to train, and something to compare.
    """

    shared = True

    def __init__(
        self,
        network: RecordedNetwork,
        block: Block,
        shown: tuple[Sequence[Chunk], Sequence[Chunk]],
        trainable: Collection[str],
        seed: int,
        processes: Processes,
    ) -> None:
        self._network, self._block = network, block
        self._training, self._validation = shown
        self._seed, self._processes = seed, processes
        changed = [each for each in block.layers if each in trainable]
        self.module: nn.Module = nn.ModuleList(map(network.get_submodule, changed))
        self.module.requires_grad_()
        self.has_work = bool(list(self.module.parameters()) and self._training[0].wanted)

    def loss(self, module: nn.Module, step: int) -> Tensor:
        """The error on a chunk, as :class:`edgeprune.training.Task` says."""
        count = self._processes.count
        some = indices(len(self._training), count, step, self._seed)
        (own,) = self._processes.share(some).tolist()
        return self._error(self._training[own])

    def error(self) -> float:
        """The mean error on the validation chunks."""
        return float(torch.stack([self._error(each) for each in self._validation]).mean())

    def _error(self, chunk: Chunk) -> Tensor:
        given = {value: each.clone() for value, each in chunk.given.items()}  # some run in place
        found = self._network.run_part(self._block.steps, given, chunk.inputs)
        pairs = [(found[value], wanted) for value, wanted in chunk.wanted.items()]
        return torch.stack([missed(given, wanted) for given, wanted in pairs]).mean()


def missed(given: Tensor, wanted: Tensor) -> Tensor:
    """Share of what varies in ``wanted`` that ``given`` misses, ().

    Args:
        given: Features of the pruned network, (N, K, …).
        wanted: Features of the original, of the same shape.
    """
    centre = wanted.mean([axis for axis in range(wanted.dim()) if axis != 1], keepdim=True)
    variation = (wanted - centre).square().mean() + torch.finfo(wanted.dtype).tiny
    return (given - wanted).square().mean() / variation
