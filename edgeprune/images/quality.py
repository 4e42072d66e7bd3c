"""Whether a network knows the images that it is shown: their statistics against the stored ones.

A channel that enters a BatchNorm with mean m and variance v, where μ and ν are stored, is off by

    s = |m − μ|/√(ν + ε) + ½ |log((v + ε)/(ν + ε))|

standard deviations: how far its mean moved, and by which power of e its deviation changed. The
shift of a set of images is the median over the channels of a layer, so that a few dead ones do not
count, and the mean over the layers. White noise, as bright
and as rich in contrast as photographs, is the yardstick.
"""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from edgeprune.artifacts import ImageQuality
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.images.synthesis.logits import logits_of
from edgeprune.images.synthesis.objective import is_image
from edgeprune.images.synthesis.statistics_loss import around, own_norms
from edgeprune.natural_images import MEAN, STD, normalised
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn

    from edgeprune.artifacts import InputSpec, SourceModel

BATCH = 64


def quality(original: SourceModel, inputs: Sequence[Tensor], seed: int = 0) -> ImageQuality:
    """Judge a set of images.

    Args:
        original: The network; not changed.
        inputs: One tensor (N, …) for each input, normalised.
        seed: Of the noise.

    Returns:
        How far they shift the network's statistics, how far noise does, and what classes it sees.

    Raises:
        ModelUnsupported: If the network has stored no statistics.
    """
    names = own_norms(original)
    white = _white_noise(original.input, len(inputs[0]), seed)
    (shift, logits), (of_noise, _) = (_seen(original.module, names, x) for x in (inputs, white))
    known = logits.softmax(1).max(1) if logits is not None else None
    return ImageQuality(
        images=len(inputs[0]),
        statistics_shift=shift,
        noise_shift=of_noise,
        confidence=float(known.values.mean()) if known else None,
        classes=len(set(known.indices.tolist())) if known else None,
    )


def shift_of(offset: Tensor, square: Tensor, variance: Tensor, eps: float) -> Tensor:
    """The shift s above.

    Args:
        offset: m − μ, (C,).
        square: Mean of (x − μ)², (C,).
        variance: ν, (C,).
        eps: ε.

    Returns:
        s of each channel, (C,), in standard deviations.
    """
    stored = variance + eps
    found = (square - offset.square()).clamp_min(0) + eps
    return offset.abs() / stored.sqrt() + (found / stored).log().abs() / 2


def _white_noise(spec: InputSpec, count: int, seed: int) -> list[Tensor]:
    """Noise as bright and as rich in contrast as photographs are, normalised."""
    drawn = random_inputs(spec, batch=count, seed=seed)
    return [normalised(MEAN + STD * each, spec) if is_image(each) else each for each in drawn]


@torch.no_grad()
def _seen(
    module: nn.Module, names: Sequence[str], inputs: Sequence[Tensor]
) -> tuple[float, Tensor | None]:
    """The shift of a set, and the scores of the classes where there are any, (N, K)."""
    network = copy.deepcopy(module).eval()
    layers = {name: batch_norms(network)[name] for name in names}
    device = next(network.buffers()).device
    moments = {name: torch.zeros(2, layer.num_features) for name, layer in layers.items()}
    count, outputs = len(inputs[0]), []

    def listener(name: str, mean: Tensor) -> None:
        def hear(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            share = len(given[0]) / count
            moments[name] += share * torch.stack(around(given[0], mean)).float().cpu()

        layers[name].register_forward_pre_hook(hear)

    for name, layer in layers.items():
        listener(name, layer.get_buffer("running_mean"))
    for start in range(0, count, BATCH):
        batch = [each[start : start + BATCH].to(device) for each in inputs]
        outputs.append(logits_of(network(*batch)))
    shifts = []
    for name, layer in layers.items():
        (offset, square), variance = moments[name], layer.get_buffer("running_var").cpu()
        shifts.append(shift_of(offset, square, variance, layer.eps).median())
    logits = [each for each in outputs if each is not None]
    return float(torch.stack(shifts).mean()), torch.cat(logits).cpu() if logits else None
