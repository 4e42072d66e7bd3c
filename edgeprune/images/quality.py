"""Whether images fit a network: their BatchNorm statistics against the stored ones.

A channel that enters a BatchNorm with mean m and variance v, where μ and ν are stored, is off by

    s = |m − μ|/√(ν + ε) + ½ |log((v + ε)/(ν + ε))|

standard deviations: how far its mean moved, and by which power of e its deviation changed. The
shift of a set of images is the median over the channels of a layer, so that a few dead ones do not
count, and the mean over the layers. The reference is white noise with the brightness and contrast
of photographs.
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
    """Measure how well a set of images fits a network.

    Args:
        original: Network with stored statistics; not changed.
        inputs: One tensor (N, …) for each input, normalised.
        seed: Random seed of the noise.

    Returns:
        Shifts of the statistics by the images and by noise, in standard deviations, and the classes
        that the network sees.

    Raises:
        ModelUnsupported: If the network has stored no statistics.
    """
    names = own_norms(original)
    white = _white_noise(original.input, len(inputs[0]), seed)
    (shift, logits), (noise_shift, _) = (
        _shift_and_logits(original.module, names, each) for each in (inputs, white)
    )
    likeliest = logits.softmax(1).max(1) if logits is not None else None
    return ImageQuality(
        images=len(inputs[0]),
        statistics_shift=shift,
        noise_shift=noise_shift,
        confidence=float(likeliest.values.mean()) if likeliest else None,
        classes=len(set(likeliest.indices.tolist())) if likeliest else None,
    )


def shift_of(offset: Tensor, square: Tensor, variance: Tensor, eps: float) -> Tensor:
    """The shift s above.

    Args:
        offset: Offset of the mean, m − μ, (C,).
        square: Mean of (x − μ)², (C,).
        variance: Stored variance, ν, (C,).
        eps: The BatchNorm's ε.

    Returns:
        Shift s of each channel, (C,), in standard deviations.
    """
    stored = variance + eps
    found = (square - offset.square()).clamp_min(0) + eps
    return offset.abs() / stored.sqrt() + (found / stored).log().abs() / 2


def _white_noise(spec: InputSpec, count: int, seed: int) -> list[Tensor]:
    """White noise with the brightness and contrast of photographs, (N, …) each, normalised."""
    noise = random_inputs(spec, batch=count, seed=seed)
    return [normalised(MEAN + STD * each, spec) if is_image(each) else each for each in noise]


@torch.no_grad()
def _shift_and_logits(
    module: nn.Module, names: Sequence[str], inputs: Sequence[Tensor]
) -> tuple[float, Tensor | None]:
    """The shift of a set, in standard deviations, and the logits, (N, K), if there are classes."""
    network = copy.deepcopy(module).eval()
    layers = {name: batch_norms(network)[name] for name in names}
    device = next(network.buffers()).device
    moments = {name: torch.zeros(2, layer.num_features) for name, layer in layers.items()}
    count, outputs = len(inputs[0]), []

    def record_moments(name: str, mean: Tensor) -> None:
        def record(_: nn.Module, given: tuple[Tensor, ...]) -> None:
            share = len(given[0]) / count
            moments[name] += share * torch.stack(around(given[0], mean)).float().cpu()

        layers[name].register_forward_pre_hook(record)

    for name, layer in layers.items():
        record_moments(name, layer.get_buffer("running_mean"))
    for start in range(0, count, BATCH):
        batch = [each[start : start + BATCH].to(device) for each in inputs]
        outputs.append(logits_of(network(*batch)))
    shifts = []
    for name, layer in layers.items():
        (offset, square), variance = moments[name], layer.get_buffer("running_var").cpu()
        shifts.append(shift_of(offset, square, variance, layer.eps).median())
    logits = [each for each in outputs if each is not None]
    return float(torch.stack(shifts).mean()), torch.cat(logits).cpu() if logits else None
