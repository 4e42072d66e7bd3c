"""How much of what a network says its compressed copy still says: without labels, without images.

Both networks see the same images that are not real, each with its BatchNorms at the level of these
images (:mod:`edgeprune.calibration.twin`): otherwise both drift, differently, and the difference
says more about the images than about the networks. What counts is how outputs differ from image to
image, so a copy that gives its mean answer to everything keeps nothing.

It is no accuracy. But a copy that keeps less than half has lost much of it: of 12 networks pruned
by 10 to 50 % of their MACs and repaired in closed form (``benchmarks/outputs_kept.py``), the six
below half had lost 10 to 63 points of accuracy, the six others 0 to 15.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.artifacts import OutputsKept
from edgeprune.calibration.twin import make_twin
from edgeprune.errors import failing_as
from edgeprune.graph.outputs import tensors_in
from edgeprune.relative_error import relative_error

if TYPE_CHECKING:
    from collections.abc import Sequence

BATCH = 32


def outputs_kept(
    original: nn.Module, compressed: nn.Module, inputs: Sequence[Tensor], *, twins: bool = True
) -> OutputsKept | None:
    """The share of the variation of the original's outputs that the compressed network keeps.

    1 − Σ‖ŷ − y‖² / Σ‖y − ȳ‖² over the inputs, ȳ the mean of y over them, at least 0; the mean of
    that over the outputs that vary at all. Both networks stay as they are.

    Args:
        original: The network in eval mode.
        compressed: The other, with outputs of the same shapes.
        inputs: One tensor (N, …) for each input, N at least 2.
        twins: Whether both are brought to the level of the inputs. A file has no BatchNorms left
            to do so with; as it computes what its network does, both drift alike.

    Returns:
        None where no floating-point output varies, or where the network takes no batches.
    """
    try:
        with failing_as(_NotInBatches):
            pair = (original, compressed)
            wanted, got = (
                _outputs(make_twin(each, inputs) if twins else each, inputs) for each in pair
            )
    except _NotInBatches:
        return None
    count = len(inputs[0])
    shares = [
        share
        for y, other in zip(wanted, got, strict=True)
        if len(y) == count and y.shape == other.shape and (share := _kept(y, other)) is not None
    ]
    return OutputsKept(sum(shares) / len(shares), count) if shares else None


def _outputs(network: nn.Module, inputs: Sequence[Tensor]) -> list[Tensor]:
    """Every floating-point output, (N, …)."""
    batches = zip(*(torch.split(each.cpu(), BATCH) for each in inputs), strict=True)
    with torch.no_grad():
        found = [tensors_in(network(*batch)) for batch in batches]
    joined = (torch.cat(parts).double() for parts in zip(*found, strict=True) if _floating(parts))
    return list(joined)


def _floating(parts: Sequence[Tensor]) -> bool:
    return all(each.is_floating_point() and each.dim() > 0 for each in parts)


def _kept(wanted: Tensor, got: Tensor) -> float | None:
    if not (wanted - wanted.mean(0)).any():
        return None
    return max(0.0, 1 - relative_error(wanted, got))


class _NotInBatches(Exception):
    """The network's forward failed on several inputs at once."""
