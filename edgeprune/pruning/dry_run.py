"""Whether a network still runs after a cut, by shapes alone: on PyTorch's meta device.

It costs no arithmetic, so that sizes that a forward has written in its code are found before
anything is computed. What the meta device cannot run is left to the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import torch

from edgeprune.errors import ModelUnsupported, VerificationFailed, failing_as
from edgeprune.graph.failing_call import watching
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.outputs import tensors_in
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts import InputSpec

Shapes: TypeAlias = list[torch.Size]
"""Shapes of all outputs of a network, in order."""


def on_meta(module: nn.Module, spec: InputSpec) -> tuple[nn.Module, Shapes] | None:
    """A copy of a network without weights, and the shapes of what it gives.

    Args:
        module: The network; not changed.
        spec: What it takes.

    Returns:
        None where the network does not run like that.
    """
    try:
        with failing_as(ModelUnsupported):  # whatever asks for values
            bare = light_copy(module, device="meta")
            return bare, _shapes(bare, spec)
    except ModelUnsupported:
        return None


def shape_failure(pruned: nn.Module, expected: Shapes, spec: InputSpec) -> str | None:
    """What does not fit in a network that was cut on the meta device; None if it runs.

    Args:
        pruned: The network after the cut.
        expected: Shapes of the outputs before the cut, from :func:`on_meta`.
        spec: What the network takes.
    """
    try:
        with watching(pruned, VerificationFailed):
            shapes = _shapes(pruned, spec)
    except VerificationFailed as failure:
        return str(failure)
    return None if shapes == expected else "the network's output changes its shape"


@torch.no_grad()
def _shapes(module: nn.Module, spec: InputSpec) -> Shapes:
    inputs = [value.to("meta") for value in random_inputs(spec, batch=1)]
    return [value.shape for value in tensors_in(module(*inputs))]
