"""record → OperatorTrace: every operator that one inference of a network ran.

A value is a tensor at one moment: an in-place operator makes a new value, a reshape does not (it
shows the same value in another shape), and a view that moves data in any runtime without strides
(permute, slice, expand) does.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

Value: TypeAlias = int
"""A tensor at one moment: an in-place operator makes a new one."""

Kind: TypeAlias = Literal["reshape", "pointwise", "norm", "other"]

ROOT = "(root)"
"""Stands for the network itself where a layer is named."""


@dataclass(frozen=True, slots=True)
class TensorView:
    """How an operator saw a tensor.

    Attributes:
        value: What the tensor held.
        shape: The shape it had there; a reshape shows one value in two shapes.
        exact: False where the storage was since written to through another view: the tensor is
            then some part or layout of the value, and its shape does not tell which.
    """

    value: Value
    shape: tuple[int, ...]
    exact: bool = True


@dataclass(frozen=True, slots=True)
class Operation:
    """One operator that ran.

    Attributes:
        layer: Dotted name of the innermost module running; ``ROOT`` for the network itself.
        name: ATen name without overload and in-place underscore: ``relu`` for
            ``aten.relu_.default``; an operator of another library keeps its full name.
        kind: Reshapes write the value that they read, in another shape.
        arguments: One for each argument of the operator's schema, in its order, with defaults
            filled in; tensors as ``TensorView``, lists as tuples, everything else as it was passed.
        reads: All tensors among the arguments, in order.
        writes: Tensors it made or, in place, changed; none where a number leaves the network
            (``item()``).
        macs: Multiply-accumulates; 0 for what does not depend on the network's input.
    """

    layer: str
    name: str
    kind: Kind
    arguments: tuple[object, ...]
    reads: tuple[TensorView, ...]
    writes: tuple[TensorView, ...]
    macs: int


@dataclass(frozen=True, eq=False)
class OperatorTrace:
    """Everything that one inference ran, in order; equal to itself alone.

    Attributes:
        operations: The operators.
        inputs: The network's inputs.
        outputs: The network's outputs.
        tensors: Dotted name of each value that is a parameter or buffer of the module, before
            anything writes to it; the first name of those that are tied.
        activation_bytes: Size of each value that depends on the network's input; the values
            missing here are parameters, buffers and constants.
    """

    operations: tuple[Operation, ...]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    tensors: dict[Value, str]
    activation_bytes: dict[Value, int]
