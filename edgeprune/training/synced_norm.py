"""BatchNorm by the statistics of the global batch, for training.

Where images are not real, stored statistics do not fit them, and each batch has to be normalised
by its own. With several processes that is the batch of all of them, or the result would depend on
their number. (``nn.SyncBatchNorm`` does the same on GPUs only.)

With the mean m_r and the biased variance v_r of each of N equal slices, those of the batch are

    m = (1/N) Σ m_r          v = (1/N) Σ v_r + (1/N) Σ (m_r − m)²

which, unlike the mean square less the square of the mean, loses no digits where |m| ≫ √v.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

if TYPE_CHECKING:
    from collections.abc import Collection

    from edgeprune.training.processes import Processes


def normalise_by_batch(
    module: nn.Module, names: Collection[str], processes: Processes | None = None
) -> ExitStack:
    """Let BatchNorms normalise by the global batch wherever they are in training mode.

    They are put into training mode; in evaluation mode they use their stored statistics as usual.
    Stored statistics are neither read nor written in training.

    Args:
        module: Changed in place.
        names: Dotted names of BatchNorms in the module; the others are not changed.
        processes: Processes that share the batch, in equal parts; None: each has its own batch.

    Returns:
        Stack that restores the layers, modes included, once it is closed or left.

    Raises:
        TypeError: If a name is not that of a BatchNorm.
        AttributeError: If there is no layer of a name.
    """
    with ExitStack() as undo:
        for name in names:
            layer = module.get_submodule(name)
            if not isinstance(layer, _BatchNorm):
                raise TypeError(f"'{name}' is a {type(layer).__name__}, not a BatchNorm")
            undo.callback(layer.train, layer.training)
            undo.callback(layer.__dict__.pop, "forward", None)
            # A partial, not a closure: a deepcopy of the layer then calls the copy.
            layer.__dict__["forward"] = partial(_forward, layer, processes)
            layer.train()
        return undo.pop_all()


def _forward(layer: _BatchNorm, processes: Processes | None, features: Tensor) -> Tensor:
    """Output of the layer for features (B, C, …), of the same shape and type."""
    if not layer.training:
        return type(layer).forward(layer, features)
    if processes is None or processes.count == 1:
        # Without buffers rather than with momentum 0, by which one infinite batch makes them NaN.
        return F.batch_norm(
            features, None, None, layer.weight, layer.bias, training=True, eps=layer.eps
        )
    values = features.float() if features.dtype in (torch.bfloat16, torch.float16) else features
    mean, variance = _moments(values, processes)
    scale = (variance + layer.eps).rsqrt()
    if layer.weight is not None:
        scale = scale * layer.weight
    shape = (1, -1, *[1] * (features.dim() - 2))
    normed = (values - mean.view(shape)) * scale.view(shape)
    if layer.bias is not None:
        normed = normed + layer.bias.view(shape)
    return normed.to(features.dtype)


def _moments(features: Tensor, processes: Processes) -> tuple[Tensor, Tensor]:
    """Mean and biased variance of each channel over the batches of all processes.

    Args:
        features: Features of this process, (B, C, …), of the same B in all processes.
        processes: Processes that share the batch.

    Returns:
        Mean and biased variance, (C,) each.
    """
    axes = [axis for axis in range(features.dim()) if axis != 1]
    variance, mean = torch.var_mean(features, dim=axes, correction=0)
    # Each process fills its own place, so that one mean over the processes gathers them all.
    places = features.new_zeros(processes.count, 2, len(mean))
    places[processes.rank] = torch.stack([mean, variance]) * processes.count
    means, variances = processes.mean_of(places).unbind(1)
    centre = means.mean(0)
    return centre, variances.mean(0) + (means - centre).square().mean(0)
