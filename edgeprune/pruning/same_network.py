"""The proof that a recorded network computes what the original computes, layer by layer.

Both run in double precision on noise, on flat and on extreme inputs, and at other batch sizes than
those of the recording: a number that code computes from the batch shows there, and a branch on data
is likely to.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import torch

from edgeprune.errors import VerificationFailed, failing_as
from edgeprune.graph.light_copy import light_copy
from edgeprune.pruning.masking import in_double_if_it_can, most_different, outputs_by_layer
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn

    from edgeprune.artifacts import InputSpec
    from edgeprune.pruning.masking import Outputs

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
        dtype, expected = in_double_if_it_can(
            partial(_outputs, original, inputs), "the network does not run"
        )
        if not all(bool(each.isfinite().all()) for given in expected.values() for each in given):
            continue  # an overflow of the original's own
        with failing_as(VerificationFailed, "the recorded network does not run"):
            actual = _outputs(recorded, inputs, dtype)
        worst, difference = most_different(expected, actual)
        if not difference <= TOLERANCES[dtype]:
            raise VerificationFailed(
                f"recorded, '{worst}' differs by {difference:.1e} of its scale"
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


def _outputs(network: nn.Module, inputs: tuple[Tensor, ...], dtype: torch.dtype) -> Outputs:
    """What every layer gives, in a copy, which gets the hooks."""
    return outputs_by_layer(light_copy(network), inputs, dtype)
