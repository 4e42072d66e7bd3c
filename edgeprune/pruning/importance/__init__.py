"""How much each channel of a group matters: a criterion scores all groups of a network.

criterion.py    the protocol
norms.py        criteria on a layer's own weights
rebuild.py      what the consumers of a channel lose with it
consumers.py    the consumers of a group, as matrices
contenders.py   several criteria that compete
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.choices import Choices
from edgeprune.pruning.importance.contenders import Contenders
from edgeprune.pruning.importance.criterion import Criterion
from edgeprune.pruning.importance.norms import (
    BatchNormScale,
    GeometricMedian,
    L1Norm,
    L2Norm,
    Random,
)
from edgeprune.pruning.importance.rebuild import Rebuild

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    from edgeprune.artifacts import TracedModel

__all__ = [
    "CRITERIA", "Contenders", "Criterion", "L2Norm", "Rebuild", "criterion_name", "importance",
]  # fmt: skip


def importance(traced: TracedModel, criterion: Criterion, *, seed: int = 0) -> Mapping[str, Tensor]:
    """Score the channels of every prunable group.

    Args:
        traced: The network with its groups.
        criterion: A row of :data:`CRITERIA`, or your own.
        seed: Random seed of criteria that are random.

    Returns:
        Scores by group, as :class:`Criterion` says.
    """
    return criterion(traced, torch.Generator().manual_seed(seed))


def criterion_name(criterion: Criterion) -> str:
    """A criterion's row in the table; for the user's own its class."""
    kinds = (name for name, kind in CRITERIA.items() if kind is type(criterion))
    return next(kinds, type(criterion).__name__)


CRITERIA: Choices[Callable[[], Criterion]] = Choices(
    "importance criterion",
    {
        "l1": L1Norm,
        "l2": L2Norm,
        "bn": BatchNormScale,
        "geometric-median": GeometricMedian,
        "random": Random,
        "rebuild": Rebuild,
        "auto": Contenders,
    },
)
