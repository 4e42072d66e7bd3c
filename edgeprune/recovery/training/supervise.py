"""Supervise: the pruned network is trained to have the original's features at the ends of blocks.

Data-free backbone fine-tuning (DFBF, arXiv:2306.12881) needs neither labels nor a head, and so
serves any task. With b block ends in the order of execution, features t_i of the original and s_i
of the pruned network,

    L = Σ_i w_i · mean|s_i − t_i| / b,        w_i = 1 + i/b,   i = 1 … b

What differs from the paper: block ends are read off the recorded operators (``block_ends.py``), and
both networks normalise each batch by its own statistics instead of learning those of images that
are not real (``task.py``). Procedural images will then do.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgeprune.recovery.training.feature_training import DistillationMethod

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgeprune.recovery.training.task import NetworkOutputs


@dataclass(frozen=True, slots=True)
class Supervise(DistillationMethod):
    """Train on features; the options are those of ``DistillationMethod``."""

    name = "supervise"

    def loss(self, wanted: NetworkOutputs, given: NetworkOutputs) -> Tensor:
        """The loss of the features."""
        return feature_loss(wanted.features, given.features)


def feature_loss(wanted: Sequence[Tensor], given: Sequence[Tensor]) -> Tensor:
    """DFBF's loss L.

    Args:
        wanted: t_i, (N, C_i, …) each, in the order of execution.
        given: s_i, of the same shapes.

    Returns:
        (); 0 without features.
    """
    count = len(wanted)
    losses = [
        (1 + place / count) * (s - t).abs().mean()
        for place, (t, s) in enumerate(zip(wanted, given, strict=True), 1)
    ]
    return torch.stack(losses).mean() if losses else torch.zeros(())
