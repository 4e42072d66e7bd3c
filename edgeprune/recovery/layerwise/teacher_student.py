"""The original as teacher and a pruned network as student, walking through the same images.

Wraps ``lockstep.py`` with what every paired needs: copies that may be changed, the channels that
each layer keeps, and BatchNorm at the level that the images ask for (``batchnorm.py``).
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.graph.batch_norms import called_once, norm_after, shared_norms
from edgeprune.graph.layers import channel_axis
from edgeprune.recovery.kept_channels import all_outputs, kept_outputs
from edgeprune.recovery.layerwise.bn_statistics import TransferredStatistics
from edgeprune.recovery.layerwise.side_by_side import LayerPair, OnLayer, side_by_side
from edgeprune.training import normalise_by_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel

PAIRED = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers besides BatchNorm in front of which a paired stops."""

ROUNDING = 1e-4
"""Features nearer than this share of their size are the same: BatchNorm by batch rounds otherwise
than BatchNorm by stored statistics."""


class PairedForward:
    """A paired of teacher and student.

    Args:
        traced: The original with its groups; copied.
        pruned: The network being recovered or judged; copied.
        synthetic: Whether images are procedural or synthesized: the teacher then normalises each batch by its
            own statistics.

    Attributes:
        teacher: The copy of the original.
        student: The copy of the pruned network.
        norms: BatchNorms that both have and that run once.
        normed: Layers whose output nothing but a BatchNorm reads.
    """

    def __init__(self, traced: TracedModel, pruned: PrunedModel, *, synthetic: bool) -> None:
        run = traced.record
        once = called_once(run)
        self.student = copy.deepcopy(pruned.module)
        self.teacher = copy.deepcopy(traced.source.module)
        self.norms = shared_norms(run, self.teacher, self.student)
        self.normed = {layer for layer, norm in norm_after(run).items() if norm in self.norms}
        layers = _with_own_weight(self.teacher) & once
        self._kept = kept_outputs(traced, pruned.plan, layers | self.norms)
        staying = {name: self._kept.get(name, all_outputs(traced, name)) for name in self.norms}
        self._statistics = TransferredStatistics(
            self.teacher, self.student, staying, by_batch=synthetic
        )
        if synthetic:
            normalise_by_batch(self.teacher, self.norms)
        self._layers = self.norms | {n for n in layers if _is_there(self.student, n)}

    def run(
        self, inputs: Sequence[Tensor], on_layer: OnLayer, progress: Progress | None = None
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Run both through ``inputs``; ``on_layer`` is called in front of each layer.

        Returns:
            All outputs of the teacher and of the student.
        """
        passed = 0

        def meet(at: LayerPair) -> None:
            nonlocal passed
            on_layer(at)
            if at.layer in self.norms:
                self._statistics.match_batch_level(at.layer, at.original)
            passed += 1
            if progress is not None:
                progress(passed / len(self._layers), at.layer)

        return side_by_side(self.teacher, self.student, inputs, self._layers, meet)

    def transfer(self, pair: LayerPair) -> None:
        """Move the statistics of the BatchNorm at ``pair`` by what pruning changed."""
        self._statistics.transfer(pair.layer, pair.original, pair.actual)

    def finalize(self) -> None:
        """Give the student its lasting statistics; without this it keeps a batch's."""
        self._statistics.finalize()

    def staying(self, pair: LayerPair) -> Tensor:
        """What the student's layer at ``pair`` should give: the teacher's channels that stay."""
        axis = channel_axis(self.student.get_submodule(pair.layer))
        if pair.layer not in self._kept:
            return pair.wanted
        return pair.wanted.index_select(axis, self._kept[pair.layer].to(pair.wanted.device))

    def differs(self, pair: LayerPair) -> bool:
        """Whether the student reads something else than the teacher at ``pair``, rounding apart."""
        if pair.actual.shape != pair.original.shape:
            return True
        gap = torch.linalg.vector_norm(pair.actual - pair.original)
        return bool(gap > ROUNDING * torch.linalg.vector_norm(pair.original))


def recalibrated(traced: TracedModel, pruned: PrunedModel, inputs: Sequence[Tensor]) -> nn.Module:
    """A pruned network with new BatchNorm statistics: the original's, moved by what has changed.

    Args:
        traced: The original with its groups.
        pruned: The network; its weights stay.
        inputs: Images, (N, …) for each input; each layer's features are held at once.

    Returns:
        A copy.
    """
    paired = PairedForward(traced, pruned, synthetic=True)

    def carry(pair: LayerPair) -> None:
        if pair.layer in paired.norms:
            paired.transfer(pair)

    paired.run(inputs, carry)
    paired.finalize()
    return paired.student


def _with_own_weight(module: nn.Module) -> set[str]:
    """The layers to stop at; one that shares a parameter would change the others with it."""
    holders = Counter(p for part in module.modules() for p in part.parameters(recurse=False))
    return {
        name
        for name, part in module.named_modules()
        if isinstance(part, PAIRED) and all(holders[p] == 1 for p in part.parameters(recurse=False))
    }


def _is_there(module: nn.Module, name: str) -> bool:
    """Whether surgery left the layer in place."""
    return isinstance(dict(module.named_modules()).get(name), PAIRED)
