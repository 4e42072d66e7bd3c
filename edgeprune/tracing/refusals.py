"""Networks whose one recorded run does not stand for all: they branch on data, or play dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.artifacts.recorded import ROOT
from edgeprune.errors import ModelUnsupported
from edgeprune.graph.liveness import live_operations

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts.recorded import Operation, OperatorTrace

RANDOM = {
    *("bernoulli", "rand", "randn", "randint", "rand_like", "randn_like", "randint_like"),
    *("multinomial", "normal", "normal_functional", "uniform", "exponential", "randperm"),
}
"""Operators that draw numbers."""


def refuse_unrepeatable(record: OperatorTrace, module: nn.Module) -> None:
    """Refuse a network of which other inputs, or the same input again, would run something else.

    Args:
        record: Operators of one run.
        module: The network.

    Raises:
        ModelUnsupported: Names where it branches on its data or draws random numbers.
    """
    for operation in live_operations(record):
        if _draws(operation):
            raise ModelUnsupported(
                f"the network answers differently each time: {_place(operation)} draws random "
                f"numbers in eval mode ({operation.name})"
            )
    unread = _never_run(record, module)
    for operation in record.operations:
        asks = not operation.writes and any(
            view.value in record.activation_bytes for view in operation.reads
        )
        if asks and unread:
            raise ModelUnsupported(
                f"{_place(operation)} branches on the data that it sees, and '{unread[0]}' did not "
                "run for this input: one run does not show what the network does"
            )


def _draws(operation: Operation) -> bool:
    return operation.name in RANDOM or (
        operation.name == "native_dropout" and bool(operation.arguments[2])
    )


def _never_run(record: OperatorTrace, module: nn.Module) -> list[str]:
    """Layers with parameters, none of which any operator read."""
    read = {view.value for each in record.operations for view in each.reads}
    known = {id(module.get_parameter(n)) for n in _parameters(record, module, read)}
    return [
        name
        for name, layer in module.named_modules()
        for own in [list(layer.parameters(recurse=False))]
        if own and not any(id(parameter) in known for parameter in own)
    ]


def _parameters(record: OperatorTrace, module: nn.Module, read: set[int]) -> list[str]:
    names = dict(module.named_parameters())
    return [name for value, name in record.tensors.items() if value in read and name in names]


def _place(operation: Operation) -> str:
    return "the forward" if operation.layer == ROOT else f"'{operation.layer}'"
