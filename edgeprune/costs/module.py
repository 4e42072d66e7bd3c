"""The operators of a PyTorch module as steps of the ledger: values and bytes, no reshapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.costs.ledger import Recording, Step
from edgeprune.deep_stack import with_room

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts.recorded import OperatorTrace


@with_room
def recording_of(module: nn.Module, record: OperatorTrace) -> Recording:
    """What a network ran, as the ledger takes it.

    Args:
        module: The network.
        record: Every operator that it ran.

    Returns:
        The recording; parameters that are tied count as one.
    """
    sizes = {name: parameter.numel() for name, parameter in module.named_parameters()}
    return Recording(
        steps=tuple(
            Step(
                layer=operation.layer,
                kind=operation.kind,
                reads=tuple(view.value for view in operation.reads),
                writes=tuple(view.value for view in operation.writes),
                macs=operation.macs,
                shape=operation.writes[0].shape,
            )
            for operation in record.operations
            if operation.kind != "reshape" and operation.writes
        ),
        activation_bytes=record.activation_bytes,
        inputs=record.inputs,
        outputs=record.outputs,
        parameters={value: sizes[name] for value, name in record.tensors.items() if name in sizes},
    )
