"""The loss that images are synthesized by: distance of BatchNorm inputs from stored statistics.

A channel that enters a BatchNorm with mean m and variance v, where μ and ν are stored, is off by

    d = (m − μ)²/(ν + ε) + (√(v + ε)/√(ν + ε) − 1)²

and the loss is the mean over the layers of the mean over their channels. It has no unit and does
not grow with the number of layers, channels or images, so that no network asks for other weights.
(Yin et al., "Dreaming to Distill", arXiv:1912.08795, add norms of unnormalised differences, where
wide layers and large variances rule.)

m and v are those of *all* images: of the batch in every process, and of the batches made before.
So a batch may make up for what those before it lack, as it must where it is smaller than the
variety that was stored.
"""

from __future__ import annotations

from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.batch_norms import batch_norms, called_once
from edgeprune.graph.recording import operators_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import SourceModel
    from edgeprune.training import Processes


def off_by(offset: Tensor, square: Tensor, variance: Tensor, eps: Tensor) -> Tensor:
    """The distance d above.

    Args:
        offset: Offset of the mean, m − μ, (C,).
        square: Mean of (x − μ)², (C,).
        variance: Stored variance, ν, (C,).
        eps: The BatchNorm's ε, (C,).

    Returns:
        Distance d of each channel, (C,); dimensionless.
    """
    stored = variance + eps
    found = (square - offset.square()).clamp_min(0) + eps
    return offset.square() / stored + ((found / stored).sqrt() - 1).square()


def around(features: Tensor, mean: Tensor) -> tuple[Tensor, Tensor]:
    """First and second moment of each channel around a stored mean.

    Args:
        features: Input of a BatchNorm, (N, C, …).
        mean: Stored mean, μ, (C,).

    Returns:
        Offset m − μ and mean of (x − μ)², (C,) each, float32 at least. Unlike variances they are
        means over inputs, and so can be averaged over batches and processes.
    """
    axes = [axis for axis in range(features.dim()) if axis != 1]
    wide = features.float() if features.dtype.itemsize < 4 else features
    variance, found = torch.var_mean(wide, dim=axes, correction=0)
    offset = found - mean
    return offset, variance + offset.square()


def own_norms(original: SourceModel) -> list[str]:
    """The BatchNorms whose statistics are those of one place in the network, in running order.

    Raises:
        ModelUnsupported: If there is none.
    """
    module = original.module
    run = operators_of(original)
    stored, once = batch_norms(module), called_once(run)
    holders = Counter(p for part in module.modules() for p in part.parameters(recurse=False))
    own = {
        name
        for name, layer in stored.items()
        if name in once and all(holders[p] == 1 for p in layer.parameters(recurse=False))
    }
    names = [each.layer for each in run.operations if each.kind == "norm" and each.layer in own]
    if not names:
        raise ModelUnsupported(
            f"'{original.name}' has no BatchNorm with statistics of its own, so it does not tell "
            "what its images were like; use --synthesis dead-leaves, or your own with --images"
        )
    return names


class StatisticsLoss:
    """The loss of the inputs that a network has just run on.

    Args:
        network: Copy of the network in eval mode on its device; its BatchNorms are hooked for good.
        names: Names of the BatchNorms that count, in running order.
        processes: Processes whose images count together.
        first: Weight of the first BatchNorm, where that of the others is 1.
        memory: Largest weight of earlier batches, where that of the present batch is 1.
    """

    def __init__(
        self,
        network: nn.Module,
        names: Sequence[str],
        processes: Processes,
        *,
        first: float = 1.0,
        memory: float = 1.0,
    ) -> None:
        layers = [batch_norms(network)[name] for name in names]
        self._processes, self._memory = processes, memory
        self._variance = torch.cat([layer.get_buffer("running_var") for layer in layers])
        sizes = [layer.num_features for layer in layers]
        shares = torch.tensor([first, *[1.0] * (len(layers) - 1)])
        shares = shares / shares.sum() / torch.tensor(sizes)
        self._share, self._eps = (
            each.repeat_interleave(torch.tensor(sizes)).to(self._variance)
            for each in (shares, torch.tensor([layer.eps for layer in layers]))
        )
        self._recorded: list[tuple[Tensor, Tensor]] = [(Tensor(), Tensor())] * len(layers)
        self._images, self._past, self._past_images = 0, Tensor(), 0
        for place, layer in enumerate(layers):
            layer.register_forward_pre_hook(partial(self._record, place))

    def __call__(self) -> Tensor:
        """The loss of the last batch and all images remembered, (); dimensionless."""
        return (self._share * off_by(*self.moments(), self._variance, self._eps)).sum()

    def moments(self) -> tuple[Tensor, Tensor]:
        """Moments ``around`` the stored means of all images that count, (ΣC,) each."""
        now = self._processes.mean_of(self._last_batch())
        if self._past_images:
            weight = min(self._memory, self._past_images / self._images)
            now = (now + weight * self._past) / (1 + weight)
        return now[0], now[1]

    def remember(self) -> None:
        """Let the images of the last batch count from now on."""
        now = self._processes.mean_of(self._last_batch().detach())
        total = self._past_images + self._images
        before = self._past_images / total * self._past if self._past_images else 0.0
        self._past = before + self._images / total * now
        self._past_images = total

    def _last_batch(self) -> Tensor:
        """Moments of the last batch in this process, (2, ΣC)."""
        return torch.stack([torch.cat(each) for each in zip(*self._recorded, strict=True)])

    def _record(self, place: int, layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        """Record the moments of what the BatchNorm at ``place`` is about to read."""
        self._images = len(given[0])
        self._recorded[place] = around(given[0], layer.get_buffer("running_mean"))
