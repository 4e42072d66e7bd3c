"""Fit a layer's weight to what it should give for what it now reads.

For inputs a (what the layer's taps see at one position) and targets z, both centred where a bias or
a BatchNorm behind the layer takes the mean,

    W = argmin Σ ‖z − W a‖² / n + λ̄ ‖W − W₀‖²,        λ̄ = λ · mean diag(Σ a aᵀ / n)

is the least-squares fit that leaves the prior W₀ only where the inputs have something to say: He et
al., "Channel Pruning for Accelerating Very Deep Neural Networks", arXiv:1707.06168, equation 4, on
joint taps and with a ridge towards a prior. It is solved for the correction W − W₀, in whichever
space is smaller, that of the inputs or that of the samples.
"""

from __future__ import annotations

from math import ceil

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from edgeprune.graph.layers import group_count

SAMPLES_PER_INPUT = 20
"""So many positions for each input of a layer are enough; all of them where there are fewer."""

LEAST_SAMPLES = 4096
CHUNK = 2**25  # values of one chunk of unfolded patches: 128 MiB


def ridge_towards(prior: Tensor, inputs: Tensor, targets: Tensor, ridge: float) -> Tensor:
    """The ridge solution W of the module's formula.

    Args:
        prior: W₀, (G, O, D).
        inputs: a, one row a sample, (G, n, D).
        targets: z, (G, n, O).
        ridge: λ, a share of the inputs' mean square; larger: closer to the prior.

    Returns:
        W, (G, O, D).
    """
    samples, size = inputs.shape[1:]
    residual = targets - inputs @ prior.mT
    level = inputs.square().mean(dim=(1, 2))
    level = torch.where(level > 0, level, 1.0)  # any number serves inputs that are always 0
    dual = samples < size
    gram = (inputs @ inputs.mT if dual else inputs.mT @ inputs) / samples
    gram.diagonal(dim1=1, dim2=2).add_((ridge * level)[:, None])
    factor = torch.linalg.cholesky(gram)
    if dual:
        correction = inputs.mT @ torch.cholesky_solve(residual, factor) / samples
    else:
        correction = torch.cholesky_solve(inputs.mT @ residual / samples, factor)
    return prior + correction.mT


def can_refit(layer: nn.Module) -> bool:
    """Whether :func:`refit` knows the layer.

    It knows convolutions in one or two dimensions and linear layers whose weight is a parameter,
    and not computed from others as weight normalisation does.
    """
    known = isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Linear)
    return known and isinstance(layer._parameters.get("weight"), nn.Parameter)


def refit(
    layer: nn.Module,
    inputs: Tensor,
    targets: Tensor,
    *,
    ridge: float,
    normed: bool,
    generator: torch.Generator,
) -> None:
    """Change the weight and bias of ``layer`` so that it gives ``targets`` for ``inputs``.

    Args:
        layer: One that :func:`can_refit`.
        inputs: What it reads, (N, C_in, …).
        targets: What it should give, (N, C_out, …).
        ridge: λ of :func:`ridge_towards`; the prior is the weight that the layer has.
        normed: Whether a BatchNorm behind the layer takes its mean.
        generator: Generator of the positions that are sampled.
    """
    rows, wanted = samples(layer, inputs, targets, generator)
    groups = group_count(layer)
    weight = layer.get_parameter("weight")
    prior = weight.detach().to(rows.dtype).reshape(groups, weight.shape[0] // groups, -1)
    bias = layer.bias
    if not normed and not isinstance(bias, Tensor):  # nothing behind it takes a mean
        fitted = ridge_towards(prior, rows, wanted, ridge)
    else:
        centre, level = rows.mean(1, keepdim=True), wanted.mean(1, keepdim=True)
        fitted = ridge_towards(prior, rows - centre, wanted - level, ridge)
        if isinstance(bias, Tensor):
            bias.data.copy_((level - centre @ fitted.mT).flatten())
    weight.data.copy_(fitted.reshape(weight.shape))


def samples(
    layer: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """What a layer's taps see and what it should give, at random positions.

    Args:
        layer: One that :func:`can_refit`, of G groups.
        inputs: (N, C_in, …).
        targets: (N, C_out, …).
        generator: Generator of the positions, which all images of a chunk share.

    Returns:
        Inputs (G, n, D) and targets (G, n, O), D = taps x C_in/G, O = C_out/G; float64.
    """
    if isinstance(layer, nn.Linear):
        rows, wanted = inputs.flatten(0, -2)[:, :, None], targets.flatten(0, -2)[:, :, None]
        enough = max(LEAST_SAMPLES, SAMPLES_PER_INPUT * rows.shape[1])
        some = torch.randperm(len(rows), generator=generator)[:enough].to(rows.device)
        return _grouped(rows[some], 1), _grouped(wanted[some], 1)
    taken = [
        (_grouped(patches, group_count(layer)), _grouped(wanted, group_count(layer)))
        for patches, wanted in _chunks(layer, inputs, targets, generator)
    ]
    found, given = zip(*taken, strict=True)
    return torch.cat(found, dim=1), torch.cat(given, dim=1)


def _chunks(
    layer: nn.Module, inputs: Tensor, targets: Tensor, generator: torch.Generator
) -> list[tuple[Tensor, Tensor]]:
    """Patches (n, D·G, L) and targets (n, O·G, L) at L positions, a few images at a time."""
    weight = layer.get_parameter("weight")
    kernel, stride, dilation = (_pair(getattr(layer, name)) for name in _GEOMETRY)
    padded = F.pad(inputs, layer._reversed_padding_repeated_twice, mode=_mode(layer))  # type: ignore[arg-type]
    if inputs.dim() == 3:
        padded = padded[:, :, None]
    targets = targets.flatten(2)
    images, _, positions = targets.shape
    values = inputs.shape[1] * weight[0, 0].numel()
    enough = max(LEAST_SAMPLES, SAMPLES_PER_INPUT * values // group_count(layer))
    count = min(positions, ceil(enough / images))
    step = max(1, CHUNK // (values * positions))
    chunks = []
    for start in range(0, images, step):
        patches = F.unfold(padded[start : start + step], kernel, dilation=dilation, stride=stride)
        some = torch.randperm(positions, generator=generator)[:count].to(patches.device)
        chunks.append((patches[:, :, some], targets[start : start + step, :, some]))
    return chunks


_GEOMETRY = ("kernel_size", "stride", "dilation")


def _pair(sizes: tuple[int, ...]) -> tuple[int, int]:
    """Sizes along the last two axes; a convolution in one dimension has height 1."""
    return (sizes[0], sizes[1]) if len(sizes) == 2 else (1, sizes[0])


def _mode(layer: nn.Module) -> str:
    mode = str(layer.padding_mode)
    return "constant" if mode == "zeros" else mode


def _grouped(values: Tensor, groups: int) -> Tensor:
    """(n, G·D, L) → (G, n·L, D), float64."""
    count, channels, length = values.shape
    split = values.reshape(count, groups, channels // groups, length).permute(1, 0, 3, 2)
    return split.reshape(groups, count * length, channels // groups).double()
