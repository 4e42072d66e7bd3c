"""Whether a network still runs after a cut, by shapes alone: on PyTorch's meta device.

It costs no arithmetic, so that sizes that a forward has written in its code are found before
anything is computed. What the meta device cannot run is left to the proof.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from edgeprune.errors import VerificationFailed
from edgeprune.graph.failing_call import watching
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.outputs import tensors_in
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts import InputSpec


def on_meta(module: nn.Module, spec: InputSpec) -> nn.Module | None:
    """A copy of a network without weights; None where it does not run like that.

    Args:
        module: The network; not changed.
        spec: What it takes.
    """
    try:
        bare = light_copy(module).to("meta")
        _shapes(bare, spec)
    except Exception:  # whatever asks for values
        return None
    return bare


def shape_failure(pruned: nn.Module, original: nn.Module, spec: InputSpec) -> str | None:
    """What does not fit in a network that was cut on the meta device; None if it runs.

    Args:
        pruned: The network after the cut.
        original: The network before, on the meta device.
        spec: What both take.
    """
    try:
        with watching(pruned, VerificationFailed):
            shapes = _shapes(pruned, spec)
    except VerificationFailed as failure:
        return str(failure)
    return None if shapes == _shapes(original, spec) else "the network's output changes its shape"


@torch.no_grad()
def _shapes(module: nn.Module, spec: InputSpec) -> list[torch.Size]:
    inputs = [value.to("meta") for value in random_inputs(spec, batch=1)]
    return [value.shape for value in tensors_in(module(*inputs))]
