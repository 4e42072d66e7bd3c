"""Which channels of the values that a network passes on are left in the pruned one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.graph.layers import CHANNEL_LAYERS, channel_axis
from edgeprune.program.form import LayerCall
from edgeprune.recovery.blockwise.blocks import reads_of
from edgeprune.recovery.kept_channels import all_outputs, kept_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping

    from torch import Tensor, nn

    from edgeprune.artifacts import PruningPlan, TracedModel
    from edgeprune.program.network import RecordedNetwork


@dataclass(frozen=True, slots=True)
class KeptValue:
    """The channels of a value that stay.

    Attributes:
        axis: Where its channels lie.
        width: Number of channels in the original.
        kept: Ascending indices of those that stay, (K,), int64.
    """

    axis: int
    width: int
    kept: Tensor

    def fits(self, shape: tuple[int, ...]) -> bool:
        """Whether a value of this shape has its channels there."""
        return -len(shape) <= self.axis < len(shape) and shape[self.axis] == self.width

    def of(self, features: Tensor) -> Tensor:
        """What stays of the original's features."""
        return features.index_select(self.axis, self.kept.to(features.device))


def kept_values(
    traced: TracedModel,
    plan: PruningPlan,
    network: RecordedNetwork,
    shapes: Mapping[int, tuple[int, ...]],
) -> dict[int, KeptValue]:
    """The channels that stay, of values that lose some.

    A layer's output loses what the layer loses. Whatever else makes a tensor with as many channels
    (activations, pooling, sums) keeps them in their places.

    Args:
        traced: The original with its groups.
        plan: What was removed.
        network: The original, recorded.
        shapes: Shape of each value in the original.

    Returns:
        What stays, by number of the value; those that lose nothing, or nobody knows what, are left
        out.
    """
    modules = dict(traced.source.module.named_modules())
    lost = _lost(traced, plan, modules)
    found: dict[int, KeptValue] = {}
    for step in network.program.steps:
        kept: KeptValue | None = None
        if isinstance(step, LayerCall) and isinstance(modules[step.layer], CHANNEL_LAYERS):
            kept = lost.get(step.layer)
        else:
            known = [found[value] for value in sorted(reads_of(step)) if value in found]
            kept = known[0] if known else None
        if kept is not None:
            found |= {v: kept for v in step.makes if v in shapes and kept.fits(shapes[v])}
    return found


def _lost(
    traced: TracedModel, plan: PruningPlan, modules: Mapping[str, nn.Module]
) -> dict[str, KeptValue]:
    """What stays of the output of each layer that loses some."""
    owners = {name for name, each in modules.items() if isinstance(each, CHANNEL_LAYERS)}
    return {
        name: KeptValue(channel_axis(modules[name]), len(all_outputs(traced, name)), kept)
        for name, kept in kept_outputs(traced, plan, owners).items()
    }
