"""How far a pruned network is from the original, on images that nothing was fitted to.

The error of a feature is the share of its variance in the original that the pruned network misses:

    e = Σ (z_p − z_o)² / Σ (z_o − mean z_o)²

The error of a network is the mean over the ends of its blocks (``block_ends.py``) and its outputs.
Outputs alone would say little on synthetic images, since nothing brings them to the level of real
ones; block ends alone would miss what comes behind the last of them. It needs no label and no task.
On synthetic images BatchNorm runs at the level of the batch (``bn_statistics.py``) with the pruned
network's own statistics: what they get wrong is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.recovery.block_ends import block_ends
from edgeprune.recovery.layerwise.teacher_student import PairedForward
from edgeprune.recovery.training.task import FeatureRecorder
from edgeprune.relative_error import relative_error

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from edgeprune.artifacts import PrunedModel, TracedModel
    from edgeprune.recovery.layerwise.side_by_side import LayerPair


def held_out_error(
    traced: TracedModel, pruned: PrunedModel, inputs: Sequence[Tensor], *, synthetic: bool
) -> float:
    """The mean relative error of features at block ends and of outputs.

    Args:
        traced: The original.
        pruned: The network to compare with it; not changed.
        inputs: Validation images, one tensor (N, …) for each input of the network.
        synthetic: Whether the images are procedural or synthesized.

    Returns:
        0 for equal networks, 1 for one that says nothing; infinite where one is not finite.
    """

    def change_nothing(_: LayerPair) -> None:
        """Leave the layer as it is."""

    paired = PairedForward(traced, pruned, synthetic=synthetic)
    ends = block_ends(traced, pruned, normed=synthetic)
    original = FeatureRecorder(paired.teacher, ends, only_kept=True)
    student = FeatureRecorder(paired.student, ends, only_kept=False)
    wanted, actual = paired.run(inputs, change_nothing)
    pairs = zip(original.take() + wanted, student.take() + actual, strict=True)
    errors = [relative_error(w, a) for w, a in pairs]
    return sum(errors) / len(errors)
