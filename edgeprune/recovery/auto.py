"""Choose the closed form that harms least, by trying them.

No closed form wins everywhere: merging is ahead on thin networks, spreading on wide ones, and on
some both do more harm than good. Each is tried, and the one is kept whose outputs come nearest to
the original's on inputs that none of them has seen: standard normal noise, so no data is needed.
Of equals the earlier in the list wins; leaving the network as it is stands first.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from math import inf, isfinite, prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.artifacts import RecoveryStep
from edgeprune.noise import noise
from edgeprune.recovery.lbyl import Lbyl
from edgeprune.recovery.neuron_merging import NeuronMerging

if TYPE_CHECKING:
    from edgeprune.artifacts import InputSpec, Progress, PrunedModel, TracedModel


ENOUGH = 1_000_000
"""So many input values are enough to judge by."""


@dataclass(frozen=True, slots=True)
class Auto:
    """Keep the closed form with the smallest error on noise, or none.

    Attributes:
        candidates: What is tried, by name.
        images: How many noise images judge; more: surer, slower. Large inputs get fewer, down to
            16, because each says more and costs more.
        seed: Of the noise.
    """

    candidates: tuple[tuple[str, NeuronMerging | Lbyl], ...] = (
        ("nm", NeuronMerging()),
        ("lbyl", Lbyl()),
    )
    images: int = 64
    seed: int = 1

    def __call__(
        self, traced: TracedModel, pruned: PrunedModel, progress: Progress | None = None
    ) -> PrunedModel:
        """As :class:`edgeprune.recovery.RecoveryMethod` says; the step tells which won, and why."""
        start = time.perf_counter()
        inputs = self._inputs(pruned.input)
        wanted = _outputs(traced.source.module, inputs)
        tried = {"none": pruned}
        for place, (name, method) in enumerate(self.candidates):
            tried[name] = method(traced, pruned)
            if progress is not None:
                progress((place + 1) / len(self.candidates), name)
        errors = {
            name: relative_error(wanted, _outputs(candidate.module, inputs))
            for name, candidate in tried.items()
        }
        best = min(errors, key=lambda name: errors[name])
        shown = ", ".join(f"{name} {error:.2f}" for name, error in errors.items())
        detail = f"chose {best}; output error on noise: {shown}"
        step = RecoveryStep(f"auto:{best}", time.perf_counter() - start, 0, detail)
        return replace(tried[best], recovered_by=(*pruned.recovered_by, step))

    def _inputs(self, spec: InputSpec) -> list[tuple[Tensor, ...]]:
        """Noise images, one at a time to spare memory."""
        size = sum(prod(shape) for shape in spec.shapes)
        count = min(self.images, max(16, ENOUGH // size))
        return [noise(spec, batch=1, seed=self.seed + place) for place in range(count)]


def relative_error(wanted: list[Tensor], actual: list[Tensor]) -> float:
    """How far outputs are from what is wanted, as a share of how much the latter vary.

    Args:
        wanted: Outputs of the original, each (N, …).
        actual: Outputs of the other network, of the same shapes.

    Returns:
        Largest over the outputs of ‖actual − wanted‖ / ‖wanted − mean over inputs‖; infinite
        where an output is not finite.
    """
    errors = [
        float((a - w).norm() / (w - w.mean(0)).norm().clamp_min(torch.finfo(w.dtype).tiny))
        for w, a in zip(wanted, actual, strict=True)
    ]
    return max(error if isfinite(error) else inf for error in errors)


@torch.no_grad()
def _outputs(module: nn.Module, inputs: list[tuple[Tensor, ...]]) -> list[Tensor]:
    """All outputs of the network, (N, …) each, one input at a time to spare memory."""
    rows = [
        [leaf for leaf in pytree.tree_leaves(module(*given)) if isinstance(leaf, Tensor)]
        for given in inputs
    ]
    return [torch.cat(column).flatten(1) for column in zip(*rows, strict=True)]
