"""BatchNorm statistics of a pruned network, carried over from the original.

Two ideas, both ours.

*Change, not level.* Images that are not real give BatchNorm statistics that are not real either:
writing them into a network destroys it. But the *change* that pruning makes to a channel's
statistics is nearly the same on any images. With mean m and variance v of a channel that enters a
BatchNorm, on the same images in the original (o) and in the pruned network (p), and with μ, ν what
the original has stored,

    μ_p = μ_o + (m_p − m_o) √(ν_o/v_o)          ν_p = ν_o · v_p/v_o

*Every batch at its proper level.* Synthetic images drift from the original's own statistics layer
by layer, and end up where no real image ever was. So where images are not real the original
normalises each batch by the statistics of that very batch, as in training: at every BatchNorm each
channel is back at the mean and variance that it has on real images, and only the shape of the
distribution is the synthetic images' own. The pruned network follows by the same map,

    z ↦ (z − m_o) √(ν_o/v_o) + μ_o,

in front of its own statistics, so that what they get wrong still shows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.graph.batch_norms import batch_norms

if TYPE_CHECKING:
    from collections.abc import Collection

    from torch import nn

LEAST, MOST = 0.05, 2.0
"""Bounds of the factor by which pruning changes a variance; beyond, the images are at fault."""

DEAD = 1e-6
"""A channel whose variance is below this share of what is stored says nothing."""


def statistics(features: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of each channel.

    Args:
        features: (N, C, …).

    Returns:
        Two tensors (C,), float64.
    """
    axes = [axis for axis in range(features.dim()) if axis != 1]
    variance, mean = torch.var_mean(features.double(), dim=axes, correction=0)
    return mean, variance


class TransferredStatistics:
    """The pruned network's BatchNorms while it runs beside the original.

    While they run, their buffers hold statistics at the level of the batch; :meth:`finalize` writes
    the lasting ones.

    Args:
        original: The network before surgery; its stored statistics are read.
        pruned: The copy that is being recovered.
        kept: For each BatchNorm, the channels that it keeps, (K,).
        by_batch: Whether the original normalises each batch by its own statistics.
    """

    def __init__(
        self, original: nn.Module, pruned: nn.Module, kept: dict[str, Tensor], *, by_batch: bool
    ) -> None:
        self._by_batch = by_batch
        self._layers = {n: m for n, m in batch_norms(pruned).items() if n in kept}
        self._kept = kept
        self._stored = {n: _buffers(m) for n, m in batch_norms(original).items()}
        self._lasting = {n: _buffers(m) for n, m in self._layers.items()}

    @property
    def names(self) -> Collection[str]:
        """The BatchNorms of the pruned network whose statistics are transferred."""
        return self._layers.keys()

    def transfer(self, name: str, original: Tensor, actual: Tensor) -> None:
        """Move the statistics of ``name`` by what pruning changed on this batch.

        Args:
            name: A BatchNorm that both networks are about to run.
            original: What it reads in the original, (N, C, …).
            actual: What it reads in the pruned network, (N, K, …).
        """
        kept = self._kept[name]
        mean, variance = self._stored[name][0][kept], self._stored[name][1][kept]
        batch_mean, batch_variance = (each[kept] for each in statistics(original))
        found_mean, found_variance = statistics(actual)
        alive = batch_variance > DEAD * variance
        scale = self._scale(variance, batch_variance)
        ratio = (found_variance / batch_variance).clamp(LEAST, MOST)
        old_mean, old_variance = self._lasting[name]
        self._lasting[name] = (
            torch.where(alive, mean + (found_mean - batch_mean) * scale, old_mean),
            torch.where(alive, variance * ratio, old_variance),
        )

    def match_batch_level(self, name: str, original: Tensor) -> None:
        """Let ``name`` run at the level of this batch.

        Args:
            name: A BatchNorm that both networks are about to run.
            original: What it reads in the original, (N, C, …).
        """
        mean, variance = self._lasting[name]
        if self._by_batch:
            kept = self._kept[name]
            batch_mean, batch_variance = (each[kept] for each in statistics(original))
            scale = self._scale(self._stored[name][1][kept], batch_variance)
            mean = batch_mean + (mean - self._stored[name][0][kept]) / scale
            variance = variance / scale.square()
        _write(self._layers[name], mean, variance)

    def finalize(self) -> None:
        """Write the lasting statistics into the pruned network."""
        for name, layer in self._layers.items():
            _write(layer, *self._lasting[name])

    def _scale(self, variance: Tensor, batch_variance: Tensor) -> Tensor:
        """√(ν_o/v_o), (K,): from the batch's level to that of real images."""
        if not self._by_batch:
            return torch.ones_like(variance)
        floor = DEAD * variance + torch.finfo(variance.dtype).tiny
        return ((variance + floor) / batch_variance.clamp_min(floor)).sqrt()


def _buffers(layer: nn.Module) -> tuple[Tensor, Tensor]:
    mean, variance = layer.get_buffer("running_mean"), layer.get_buffer("running_var")
    return mean.double().clone(), variance.double().clone()


def _write(layer: nn.Module, mean: Tensor, variance: Tensor) -> None:
    layer.get_buffer("running_mean").copy_(mean)
    layer.get_buffer("running_var").copy_(variance)
