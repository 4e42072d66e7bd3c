"""Run a recorded operator once more, on other tensors than it ran on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from edgeprune.artifacts.recorded import Operation, TensorView

if TYPE_CHECKING:
    from collections.abc import Callable


def rerun(operation: Operation, value_of: Callable[[TensorView], Tensor]) -> Any:
    """Run a recorded operator on other tensors.

    Args:
        operation: The operator; in-place ones run out of place.
        value_of: Function from a recorded tensor to the one in its place.

    Returns:
        Result of the operator; None where it does not take these tensors.
    """
    packet = getattr(torch.ops.aten, operation.name, None)
    passed = [_replaced(argument, value_of) for argument in operation.arguments]
    for overload in packet.overloads() if packet else ():
        variant = getattr(packet, overload)
        schema = variant._schema.arguments
        if len(schema) == len(passed) and not variant._schema.is_mutable:
            pairs = list(zip(schema, passed, strict=True))
            positional = [value for each, value in pairs if not each.kwarg_only]
            named = {each.name: value for each, value in pairs if each.kwarg_only}
            try:
                return variant(*positional, **named)
            except (RuntimeError, TypeError, ValueError, IndexError):
                continue  # another overload may take these arguments
    return None


def _replaced(argument: object, value_of: Callable[[TensorView], Tensor]) -> object:
    if isinstance(argument, TensorView):
        return value_of(argument)
    if isinstance(argument, tuple):
        return [_replaced(each, value_of) for each in argument]
    return argument
