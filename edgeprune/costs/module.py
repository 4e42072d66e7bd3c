"""Read what a PyTorch module ran as steps of the ledger: values and bytes, without reshapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.costs.ledger import Recording, Step
from edgeprune.graph import recording

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def record(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> Recording:
    """Run the module once on noise and write down what it costs.

    Args:
        module: The network; its weights, modes and gradient flags end up as they were.
        shapes: One shape for each positional input; the batch dimension is taken as 1.

    Returns:
        The recording; parameters that are tied count as one.
    """
    run = recording.trace_operators(module, shapes)
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    return Recording(
        steps=tuple(
            Step(
                layer=operation.layer,
                kind=operation.kind,
                reads=tuple(seen.value for seen in operation.reads),
                writes=tuple(seen.value for seen in operation.writes),
                macs=operation.macs,
                shape=operation.writes[0].shape,
            )
            for operation in run.operations
            if operation.kind != "reshape" and operation.writes
        ),
        activation_bytes=run.activation_bytes,
        inputs=run.inputs,
        outputs=run.outputs,
        parameters={value: sizes[name] for value, name in run.tensors.items() if name in sizes},
    )
