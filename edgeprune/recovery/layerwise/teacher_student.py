"""The original as teacher and a pruned network as student, in a paired forward on the same images.

Wraps ``side_by_side.py`` with what every paired forward needs: copies that may be changed, the
channels that each layer keeps, and BatchNorm at the level of the images (``bn_statistics.py``).
"""

from __future__ import annotations

import copy
from collections import Counter
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.graph.batch_norms import called_once, norm_after, shared_norms
from edgeprune.graph.computed_weights import with_computed_weight
from edgeprune.graph.layers import channel_axis
from edgeprune.recovery.kept_channels import all_outputs, kept_outputs
from edgeprune.recovery.layerwise.bn_statistics import TransferredStatistics
from edgeprune.recovery.layerwise.side_by_side import LayerPair, OnLayer, side_by_side
from edgeprune.training import normalise_by_batch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import Progress, PrunedModel, TracedModel

PAIRED = (nn.Conv1d, nn.Conv2d, nn.Linear)
"""Layers that are paired, besides BatchNorm."""

ROUNDING = 1e-4
"""Features nearer than this share of their size are the same: BatchNorm by batch rounds otherwise
than BatchNorm by stored statistics."""


class PairedForward:
    """A paired forward of teacher and student.

    Args:
        traced: The original with its groups; copied.
        pruned: The network being recovered or compared; copied.
        synthetic: Whether images are procedural or synthesized; the teacher then normalises each
            batch by its own statistics.

    Attributes:
        teacher: The copy of the original.
        student: The copy of the pruned network.
        norms: BatchNorms that both have and that run once.
        normed: Layers whose output nothing but a BatchNorm reads.
    """

    def __init__(self, traced: TracedModel, pruned: PrunedModel, *, synthetic: bool) -> None:
        record = traced.record
        once = called_once(record)
        self.student = copy.deepcopy(pruned.module)
        self.teacher = copy.deepcopy(traced.source.module)
        self.norms = shared_norms(record, self.teacher, self.student)
        self.normed = {layer for layer, norm in norm_after(record).items() if norm in self.norms}
        layers = _with_own_weight(self.teacher) & once - with_computed_weight(record)
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
        """Run both on ``inputs``; ``on_layer`` is called before each layer of the student runs.

        Returns:
            All outputs of the teacher and of the student.
        """
        passed = 0

        def pass_layer(pair: LayerPair) -> None:
            nonlocal passed
            on_layer(pair)
            if pair.layer in self.norms:
                self._statistics.match_batch_level(pair.layer, pair.original)
            passed += 1
            if progress is not None:
                progress(passed / len(self._layers), pair.layer)

        return side_by_side(self.teacher, self.student, inputs, self._layers, pass_layer)

    def transfer(self, pair: LayerPair) -> None:
        """Move the statistics of the pair's BatchNorm by what pruning changed."""
        self._statistics.transfer(pair.layer, pair.original, pair.actual)

    def finalize(self) -> None:
        """Give the student its lasting statistics; without this it keeps a batch's."""
        self._statistics.finalize()

    def staying(self, pair: LayerPair) -> Tensor:
        """What the pair's layer should give in the student: the teacher's channels that stay."""
        axis = channel_axis(self.student.get_submodule(pair.layer))
        if pair.layer not in self._kept:
            return pair.wanted
        return pair.wanted.index_select(axis, self._kept[pair.layer].to(pair.wanted.device))

    def differs(self, pair: LayerPair) -> bool:
        """Whether student and teacher read different things there, rounding aside."""
        if pair.actual.shape != pair.original.shape:
            return True
        gap = torch.linalg.vector_norm(pair.actual - pair.original)
        return bool(gap > ROUNDING * torch.linalg.vector_norm(pair.original))


def recalibrated(traced: TracedModel, pruned: PrunedModel, inputs: Sequence[Tensor]) -> nn.Module:
    """Recalibrate BatchNorms: the original's statistics, moved by what pruning changed.

    Args:
        traced: The original with its groups.
        pruned: The pruned network; its weights stay.
        inputs: Images, (N, …) for each input; one layer's features of all are in memory at once.

    Returns:
        A copy of the pruned network with new statistics.
    """
    paired = PairedForward(traced, pruned, synthetic=True)

    def transfer(pair: LayerPair) -> None:
        if pair.layer in paired.norms:
            paired.transfer(pair)

    paired.run(inputs, transfer)
    paired.finalize()
    return paired.student


def _with_own_weight(module: nn.Module) -> set[str]:
    """The layers to pair; one that shares a parameter would change the others with it."""
    holders = Counter(p for part in module.modules() for p in part.parameters(recurse=False))
    return {
        name
        for name, part in module.named_modules()
        if isinstance(part, PAIRED) and all(holders[p] == 1 for p in part.parameters(recurse=False))
    }


def _is_there(module: nn.Module, name: str) -> bool:
    """Whether surgery left the layer in place."""
    return isinstance(dict(module.named_modules()).get(name), PAIRED)
