"""What of a recorded network its outputs depend on: the rest runs for nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

    from edgeprune.artifacts.recorded import Operation, OperatorTrace


def live_operations(record: OperatorTrace) -> list[Operation]:
    """The operators that some output depends on, in order.

    Args:
        record: Operators of the network.
    """
    wanted = set(record.outputs)
    found = []
    for operation in reversed(record.operations):
        if any(view.value in wanted for view in operation.writes):
            wanted.update(view.value for view in operation.reads)
            found.append(operation)
    return found[::-1]


def live_tensors(record: OperatorTrace, module: nn.Module) -> set[str]:
    """Names of the parameters and buffers that some output depends on, tied ones by all names.

    Args:
        record: Operators of the network.
        module: The network.
    """
    return _read_by(live_operations(record), record, module)


def tensors_read(record: OperatorTrace, module: nn.Module) -> set[str]:
    """Names of the parameters and buffers that inference reads, for an output or for nothing.

    Args:
        record: Operators of the network.
        module: The network.
    """
    return _read_by(record.operations, record, module)


def _read_by(operations: Iterable[Operation], record: OperatorTrace, module: nn.Module) -> set[str]:
    read = {view.value for each in operations for view in each.reads}
    read.update(record.outputs)
    first = {name for value, name in record.tensors.items() if value in read}
    named = [
        *module.named_parameters(remove_duplicate=False),
        *module.named_buffers(remove_duplicate=False),
    ]
    live = {id(tensor) for name, tensor in named if name in first}
    return {name for name, tensor in named if id(tensor) in live}
