"""Two recorded runs at different batch sizes → one program for any batch.

A number that differs between them must be some multiple of the batch, and a constant. What is the
same in both is taken as written; whether that holds at other batch sizes shows when the recorded
network is compared with the original.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import Tensor

from edgeprune.errors import ModelUnsupported
from edgeprune.program.form import LayerCall, OperatorCall, Program, Row, Several, Sized, Table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.program.form import Argument

    Batches: TypeAlias = tuple[int, int]
    Step = TypeVar("Step", OperatorCall, LayerCall)


@dataclass(frozen=True, slots=True)
class Recorded:
    """One run.

    Attributes:
        program: What ran.
        constants: Tensors that neither the network holds nor a step made.
    """

    program: Program
    constants: tuple[Tensor, ...]


def merged(
    runs: Sequence[Recorded], batches: tuple[int, int]
) -> tuple[Program, tuple[Tensor, ...]]:
    """One program, and its constants.

    Args:
        runs: Two runs of a network.
        batches: The batch size of each.

    Raises:
        ModelUnsupported: They do not differ by sizes of the batch alone.
    """
    one, other = runs
    if [_kind(each) for each in one.program.steps] != [_kind(each) for each in other.program.steps]:
        raise ModelUnsupported("its code runs other operators on a larger batch")
    same = len(one.constants) == len(other.constants) and all(
        torch.equal(a, b) for a, b in zip(one.constants, other.constants, strict=True)
    )
    if not same:
        raise ModelUnsupported("its code takes numbers out of tensors")
    steps = tuple(
        _step(a, b, batches) for a, b in zip(one.program.steps, other.program.steps, strict=True)
    )
    result = _merged(one.program.result, other.program.result, batches)
    return Program(one.program.inputs, steps, result), one.constants


def _kind(step: OperatorCall | LayerCall) -> tuple[str, ...]:
    if isinstance(step, OperatorCall):
        return ("operator", step.name, step.inside)
    return ("layer", step.layer)


def _step(
    one: OperatorCall | LayerCall, other: object, batches: Batches
) -> OperatorCall | LayerCall:
    if isinstance(one, OperatorCall) and isinstance(other, OperatorCall):
        arguments = _all(one.arguments, other.arguments, batches)
        merged_step: OperatorCall | LayerCall = OperatorCall(
            one.name, one.inside, arguments, one.makes
        )
    else:
        assert isinstance(one, LayerCall)
        assert isinstance(other, LayerCall)
        named = _merged(Table(one.named), Table(other.named), batches)
        assert isinstance(named, Table)
        merged_step = LayerCall(
            one.layer, _all(one.given, other.given, batches), named.items, one.makes
        )
    if one.makes != other.makes:
        raise _apart()
    return merged_step


def _merged(one: Argument, other: Argument, batches: Batches) -> Argument:
    """An argument that stands for one at each batch size."""
    if type(one) is not type(other):
        raise _apart()
    if isinstance(one, Several) and isinstance(other, Several):
        return Several(_all(one.items, other.items, batches))
    if isinstance(one, Row) and isinstance(other, Row):
        return Row(_all(one.items, other.items, batches))
    if isinstance(one, Table) and isinstance(other, Table):
        if one.items.keys() != other.items.keys():
            raise _apart()
        values = _all([*one.items.values()], [*other.items.values()], batches)
        return Table(dict(zip(one.items, values, strict=True)))
    if type(one) is int and type(other) is int and one != other:
        return _sized(one, other, batches)
    if one != other:
        raise _apart()
    return one


def _all(
    ones: Sequence[Argument], others: Sequence[Argument], batches: Batches
) -> tuple[Argument, ...]:
    if len(ones) != len(others):
        raise _apart()
    return tuple(_merged(a, b, batches) for a, b in zip(ones, others, strict=True))


def _sized(one: int, other: int, batches: Batches) -> Sized:
    """A size that follows the batch."""
    times, rest = divmod(other - one, batches[1] - batches[0])
    if rest:
        raise _apart()
    return Sized(times, one - times * batches[0])


def _apart() -> ModelUnsupported:
    return ModelUnsupported("its code computes more from the batch than sizes")
