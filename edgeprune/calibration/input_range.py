"""Which range a network's input has, and whether that is known at all.

Pixels are known: black is 0 and white is 1 before normalisation. That an input *is* made of pixels,
normalised as the user says, is a belief, and the first BatchNorm tells whether it is right: it has
stored how far its channels spread on the data of training, and on procedural images of the right
normalisation they spread about as far. Spectra that are taken for pixels miss by an order of
magnitude.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.errors import UsageError
from edgeprune.graph.batch_norms import batch_norms
from edgeprune.natural_images import normalisation, pixels_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import InputSpec, Range

COLOURS = (1, 3)
"""Channels that an image has; other inputs are no pixels."""

FITS = 2.0
"""Factor by which spreads may differ: procedural images of the right normalisation are within 0.8
to 1.1 of those of data, the slightest mistake (no normalisation where there is one) is 4."""

NOISE_REACH = 3.0
"""Standard deviations of a noise input that its range holds."""


def pixel_range(spec: InputSpec, shape: tuple[int, ...]) -> Range | None:
    """What black and white pixels become, over all channels; None for what is no image."""
    if len(shape) != 4 or shape[1] not in COLOURS:
        return None
    mean, std = normalisation(spec, shape[1])
    return float((-mean / std).min()), float(((1 - mean) / std).max())


def known_ranges(spread: float | None, spec: InputSpec) -> tuple[Range | None, ...]:
    """The range of each input as far as it is known.

    Args:
        spread: From :func:`first_spread`.
        spec: The inputs' shapes and normalisation.

    Returns:
        A range for each input, None where it is not known.
    """
    if not credible(spread):
        return tuple(None for _ in spec.shapes)
    return tuple(pixel_range(spec, shape) for shape in spec.shapes)


def credible(spread: float | None) -> bool:
    """Whether inputs that give this spread may be normalised as the network's are."""
    return spread is None or 1 / FITS < spread < FITS


def require_ranges(ranges: Sequence[Range], spec: InputSpec) -> None:
    """Refuse another number of ranges than the network has inputs; none is fine.

    Raises:
        UsageError: Says how many there are.
    """
    if ranges and len(ranges) != len(spec.shapes):
        raise UsageError(
            f"--input-range is given {len(ranges)} times for {len(spec.shapes)} inputs"
        )


def into_ranges(
    inputs: Sequence[Tensor], spec: InputSpec, ranges: Sequence[Range]
) -> tuple[Tensor, ...]:
    """Procedural inputs moved into the ranges that the user says the inputs have.

    Args:
        inputs: One tensor (N, …) for each input, normalised as ``spec`` says; noise where it is no
            image.
        spec: Normalisation of the inputs.
        ranges: Lowest and highest value of each input.

    Raises:
        UsageError: When there is not one range for each input.
    """
    require_ranges(ranges, spec)
    moved = []
    for tensor, (low, high) in zip(inputs, ranges, strict=True):
        unit = pixels_of(tensor, spec) if tensor.dim() == 4 else tensor / (2 * NOISE_REACH) + 0.5
        moved.append(low + (high - low) * unit.clamp(0, 1))
    return tuple(moved)


@torch.no_grad()
def first_spread(network: nn.Module, inputs: Sequence[Tensor]) -> float | None:
    """How far the first BatchNorm's channels spread on inputs, as a factor of the stored spread.

    Args:
        network: The network, in eval mode; not changed.
        inputs: One tensor (N, …) each.

    Returns:
        The median over channels; None without a BatchNorm.
    """
    spreads: list[float] = []

    def look(norm: nn.Module, arguments: tuple[Any, ...]) -> None:
        if not spreads:
            read = arguments[0]
            variance = read.var([axis for axis in range(read.dim()) if axis != 1])
            stored = norm.get_buffer("running_var").clamp_min(torch.finfo(read.dtype).tiny)
            spreads.append(float((variance / stored).sqrt().median()))

    hooks = [norm.register_forward_pre_hook(look) for norm in batch_norms(network).values()]
    device = next(network.parameters(), torch.empty(0)).device
    try:
        network(*(each.to(device) for each in inputs))
    finally:
        for hook in hooks:
            hook.remove()
    return spreads[0] if spreads else None
