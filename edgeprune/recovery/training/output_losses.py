"""How far one network's outputs are from another's: by their shape, whatever they mean.

A row of numbers for each input, (N, K), is taken for logits and compared as a distribution that a
temperature T softens (Hinton et al., "Distilling the Knowledge in a Neural Network",
arXiv:1503.02531),

    T² · KL(softmax(z_t/T) ‖ softmax(z_s/T)),

unless it sums to one already: then it is a distribution. Everything else that is floating-point
(maps of classes, heat maps, boxes, a single number) is compared by level: the share of what varies
in a channel that is missed. Maps also by place: where in the map a channel is strong, as a
distribution over positions (Shu et al., "Channel-wise Knowledge Distillation for Dense Prediction",
arXiv:2011.13256).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional as F

if TYPE_CHECKING:
    from collections.abc import Sequence

ROUNDING = 1e-4
"""Rows that sum to 1 within this are distributions."""


def output_loss(wanted: Sequence[Tensor], given: Sequence[Tensor], temperature: float) -> Tensor:
    """The mean difference of outputs.

    Args:
        wanted: The original's outputs, (N, …) each.
        given: The other network's outputs, in the same shapes.
        temperature: T. Larger: unlikely classes count more.

    Returns:
        The loss, (); 0 for equal outputs.
    """
    pairs = [pair for pair in zip(wanted, given, strict=True) if pair[0].is_floating_point()]
    losses = [_loss(w.float(), g.float(), temperature) for w, g in pairs]
    return torch.stack(losses).mean() if losses else torch.zeros(())


def _loss(wanted: Tensor, given: Tensor, temperature: float) -> Tensor:
    if wanted.dim() == 2 and wanted.shape[1] > 1:
        if _is_distribution(wanted):
            tiny = torch.finfo(given.dtype).tiny
            return _divergence(wanted.clamp_min(tiny).log(), given.clamp_min(tiny).log())
        return temperature**2 * _divergence(
            F.log_softmax(wanted / temperature, 1), F.log_softmax(given / temperature, 1)
        )
    loss = level_loss(wanted, given)
    if wanted.dim() < 4:
        return loss
    return loss + place_loss(wanted, given, temperature)


def level_loss(wanted: Tensor, given: Tensor) -> Tensor:
    """Share of what varies in each channel that is missed, on average.

    Args:
        wanted: The original's output, (N, C, H, W), (N, …, C) or (N,).
        given: The other network's output, in the same shape.

    Returns:
        The loss, (); 0 for equal outputs, 1 for one that gives no more than each channel's mean. A
        channel that hardly varies is measured by a thousandth of what channels vary by on average.
    """
    axis = 1 if wanted.dim() == 4 else wanted.dim() - 1 if wanted.dim() > 1 else None
    rest = [at for at in range(wanted.dim()) if at != axis]
    missed = (given - wanted).square().mean(rest)
    varies = wanted.var(rest, correction=0)
    floor = 1e-3 * varies.mean() + torch.finfo(wanted.dtype).tiny
    return (missed / (varies + floor)).mean()


def place_loss(wanted: Tensor, given: Tensor, temperature: float) -> Tensor:
    """T² · KL between where the channels of two maps are strong, on average over channels.

    Args:
        wanted: The original's maps, (N, C, H, W).
        given: The other network's maps, in the same shape.
        temperature: T, in standard deviations of a channel.

    Returns:
        The loss, ().
    """
    scale = wanted.std([0, 2, 3], correction=0, keepdim=True) + torch.finfo(wanted.dtype).tiny
    places = [(each / scale / temperature).flatten(2).log_softmax(2) for each in (wanted, given)]
    return temperature**2 * _divergence(*(each.flatten(0, 1) for each in places))


def _divergence(wanted: Tensor, given: Tensor) -> Tensor:
    """KL of log-probabilities (N, K), on average over N."""
    return F.kl_div(given, wanted, log_target=True, reduction="batchmean")


def _is_distribution(rows: Tensor) -> bool:
    return bool((rows >= 0).all() and ((rows.sum(1) - 1).abs() < ROUNDING).all())
