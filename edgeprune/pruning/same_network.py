"""The proof that a recorded network computes what the original computes, layer by layer.

Both run in double precision on noise, on flat and on extreme inputs, and at other batch sizes than
those of the recording: a number that code computes from the batch shows there, and a branch on data
is likely to.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.errors import ModelUnsupported, VerificationFailed, failing_as
from edgeprune.graph.light_copy import light_copy
from edgeprune.pruning.masking import Outputs, largest_difference, outputs_by_layer
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from edgeprune.artifacts import InputSpec

TOLERANCES = {torch.float64: 1e-9, torch.float32: 1e-5}
"""Largest difference allowed, relative to the largest output of a layer."""

LARGE = 30.0


def require_same(original: nn.Module, recorded: nn.Module, spec: InputSpec) -> None:
    """Compare a recorded network with the original.

    Args:
        original: The network; not changed.
        recorded: What was recorded of it; not changed.
        spec: What both take.

    Raises:
        VerificationFailed: Names the layer that differs most, or that did not run.
        ModelUnsupported: The original does not run.
    """
    for inputs in _trials(spec):
        dtype, expected = _expected(original, inputs)
        if not all(bool(each.isfinite().all()) for given in expected.values() for each in given):
            continue  # an overflow of the original's own
        with failing_as(VerificationFailed, "the recorded network does not run"):
            actual = outputs_by_layer(light_copy(recorded), inputs, dtype)
        differences = {
            layer: largest_difference(given, actual.get(layer, []))
            for layer, given in expected.items()
        }
        worst = max(differences, key=lambda layer: differences[layer])
        if not differences[worst] <= TOLERANCES[dtype]:
            raise VerificationFailed(
                f"recorded, '{worst}' differs by {differences[worst]:.1e} of its scale"
            )


def _trials(spec: InputSpec) -> Iterator[tuple[Tensor, ...]]:
    """Noise alone; then, side by side, noise twice, flat inputs, and large ones."""
    yield random_inputs(spec, batch=1)
    drawn = random_inputs(spec, batch=5, seed=1)
    for values in drawn:
        if values.is_floating_point():
            values[2] = 0.5
            values[3] *= LARGE
    yield drawn


def _expected(original: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[torch.dtype, Outputs]:
    """What the original computes, in double precision where its forward lets it."""
    try:
        with failing_as(ModelUnsupported):
            return torch.float64, outputs_by_layer(light_copy(original), inputs, torch.float64)
    except ModelUnsupported:
        with failing_as(ModelUnsupported, "the network does not run"):
            return torch.float32, outputs_by_layer(light_copy(original), inputs, torch.float32)
