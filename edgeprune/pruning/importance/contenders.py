"""Several criteria, of which allocation takes for each group the one that costs the network least.

No criterion is the best in every group. Where the network can be asked (``pruning/sensitivity/``),
it is; elsewhere the first one counts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.pruning.importance.norms import L2Norm
from edgeprune.pruning.importance.rebuild import Rebuild

if TYPE_CHECKING:
    from collections.abc import Mapping

    import torch
    from torch import Tensor

    from edgeprune.artifacts import TracedModel
    from edgeprune.pruning.importance.criterion import Criterion


@dataclass(frozen=True, slots=True)
class Contenders:
    """Criteria that compete for each group.

    Attributes:
        criteria: The criteria, each of its own kind; the first scores where nothing is measured.
    """

    criteria: tuple[Criterion, ...] = (Rebuild(), L2Norm())

    def __call__(self, traced: TracedModel, generator: torch.Generator) -> Mapping[str, Tensor]:
        """Score as :class:`~edgeprune.pruning.importance.criterion.Criterion` says."""
        return self.criteria[0](traced, generator)
