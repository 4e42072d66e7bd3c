"""A recorded network that was cut: every number that counts channels is counted anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec
import numpy as np

from edgeprune.program.form import OperatorCall, Several, Sized

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from edgeprune.artifacts import Side
    from edgeprune.artifacts.written import WrittenSize, WrittenSizes
    from edgeprune.program.form import Argument
    from edgeprune.program.network import RecordedNetwork


def resize(
    network: RecordedNetwork,
    written: WrittenSizes,
    lost: Mapping[tuple[str, Side], Collection[int]],
) -> None:
    """Write the sizes that are left into a network, in place.

    Args:
        network: A copy that may be changed, its layers cut.
        written: The numbers that count channels.
        lost: The layer's own indices that went, by layer and side.
    """
    gone = [sets[sorted(indices)] for key, indices in lost.items() for sets in written.sides[key]]
    removed = np.unique(np.concatenate(gone)) if gone else np.empty(0, dtype=np.int64)
    program = network.program
    steps = list(program.steps)
    for size in written.sizes:
        step = steps[size.step]
        assert isinstance(step, OperatorCall)
        steps[size.step] = _rewritten(step, size, removed)
    network.resize(msgspec.structs.replace(program, steps=tuple(steps)))


def _rewritten(step: OperatorCall, size: WrittenSize, removed: np.ndarray) -> OperatorCall:
    """A step with one number counted anew."""
    stays = ~np.isin(size.sets, removed).all(axis=1)
    count = int(stays.sum())
    arguments = list(step.arguments)
    argument = arguments[size.argument]
    if size.element is None:
        arguments[size.argument] = _counted(argument, count)
    else:
        assert isinstance(argument, Several)
        items = list(argument.items)
        items[size.element] = _counted(items[size.element], count)
        arguments[size.argument] = Several(tuple(items))
    return msgspec.structs.replace(step, arguments=tuple(arguments))


def _counted(argument: Argument, count: int) -> Argument:
    """The number in the place of another; one that follows the batch goes on following it."""
    return Sized(count, argument.plus) if isinstance(argument, Sized) else count
