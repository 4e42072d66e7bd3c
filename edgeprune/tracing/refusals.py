"""Networks whose one recorded run does not stand for all: they branch on data, or play dice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.liveness import live_operations, tensors_read
from edgeprune.graph.running import in_words

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
    asking = [each for each in record.operations if _asks(each, record)]
    unread = _never_run(record, module) if asking else []
    if unread:
        raise ModelUnsupported(
            f"{_place(asking[0])} branches on the data that it sees, and '{unread[0]}' did not "
            "run for this input: one run does not show what the network does"
        )


def _draws(operation: Operation) -> bool:
    return operation.name in RANDOM or (
        operation.name == "native_dropout" and bool(operation.arguments[2])
    )


def _asks(operation: Operation, record: OperatorTrace) -> bool:
    """Whether an operator gives the code a number that depends on the network's input."""
    return not operation.writes and any(
        view.value in record.activation_bytes for view in operation.reads
    )


def _never_run(record: OperatorTrace, module: nn.Module) -> list[str]:
    """Layers with parameters of which none was read."""
    read = tensors_read(record, module)
    return [
        name
        for name, layer in module.named_modules()
        for own in [[each for each, _ in layer.named_parameters(name, recurse=False)]]
        if own and read.isdisjoint(own)
    ]


def _place(operation: Operation) -> str:
    return in_words(operation.layer, "the forward")
