"""A recorded network → blocks: parts that can be run, and trained, one after another.

A block ends where all that goes on is a single tensor: after a residual sum, and not between the
convolution before it and the sum. What travels far besides (the features that a detector's pyramid
or a decoder takes up again much later) does not count. Of the places between two convolutions or
linear layers a block ends at the last where nothing is pooled yet, with activations done, and only
once it has enough dense convolutions of its own: four make two residual blocks or two inverted
residuals, or pointwise–depthwise–pointwise twice. A channel that is missing between two pointwise
convolutions, and with it in the depthwise one, can only be made up for by those two.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from torch import nn

from edgeprune.graph.layers import is_depthwise
from edgeprune.program.checks import parts_in, parts_of
from edgeprune.program.form import LayerCall, Made

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.program.form import OperatorCall, Program
    from edgeprune.program.network import RecordedNetwork

FAR = 6
"""Dense convolutions after which a value that is still to be read has travelled far."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some steps of a program.

    Attributes:
        steps: Their places in the program.
        layers: Dotted names of the layers that they run, each once.
        reads: Values that they read and do not make.
        gives: Values that they make and that later steps, or the network's result, read.
    """

    steps: slice
    layers: tuple[str, ...]
    reads: frozenset[int]
    gives: tuple[int, ...]


def blocks_of(
    network: RecordedNetwork, sizes: Mapping[int, int], convolutions: int
) -> tuple[Block, ...]:
    """Divide a network into blocks.

    Args:
        network: The network, recorded.
        sizes: Number of elements of each value at which a block may end.
        convolutions: Dense convolutions and linear layers that a block has at least, but for the
            last. More: fewer and larger blocks.

    Returns:
        The blocks, in order; together they have every step.
    """
    program = network.program
    bounds = [0, *_ends(network, sizes, convolutions), len(program.steps)]
    return tuple(_block(program, start, stop) for start, stop in pairwise(bounds))


def reads_of(step: OperatorCall | LayerCall) -> set[int]:
    """The values that a step reads."""
    return {part.index for part in parts_in(step) if isinstance(part, Made)}


def results_of(program: Program) -> set[int]:
    """The values that a network returns."""
    return {part.index for part in parts_of(program.result) if isinstance(part, Made)}


def _block(program: Program, start: int, stop: int) -> Block:
    steps = program.steps[start:stop]
    made = {value for step in steps for value in step.makes}
    later = results_of(program).union(*map(reads_of, program.steps[stop:]))
    layers = dict.fromkeys(step.layer for step in steps if isinstance(step, LayerCall))
    reads = frozenset(set().union(*map(reads_of, steps)) - made)
    return Block(slice(start, stop), tuple(layers), reads, tuple(sorted(made & later)))


def _ends(network: RecordedNetwork, sizes: Mapping[int, int], convolutions: int) -> list[int]:
    """Places before which a block ends, the program's own ends left out."""
    dense, filters = _counts(network)
    between: dict[int, list[tuple[int, int]]] = {}
    for place, value in _narrow(network.program, dense).items():
        if value in sizes:
            between.setdefault(filters[place], []).append((sizes[value], place))
    found, last = [], 0
    for count, places in sorted(between.items()):
        place = max(places)[1]
        if dense[place] - last >= convolutions and count < filters[-1]:
            found.append(place)
            last = dense[place]
    return found


def _counts(network: RecordedNetwork) -> tuple[list[int], list[int]]:
    """How many dense layers, and layers with filters, run before each place of the program."""
    layers = [
        network.get_submodule(step.layer) if isinstance(step, LayerCall) else None
        for step in network.program.steps
    ]
    filters = [isinstance(each, nn.modules.conv._ConvNd | nn.Linear) for each in layers]
    dense = [has and not is_depthwise(each) for has, each in zip(filters, layers, strict=True)]  # type: ignore[arg-type]
    return list(accumulate(dense, initial=0)), list(accumulate(filters, initial=0))


def _narrow(program: Program, dense: list[int]) -> dict[int, int]:
    """Places at which a single value goes on, with that value; what travels far is left out."""
    count = len(program.steps)
    born = dict.fromkeys(range(program.inputs), 0)
    last: dict[int, int] = {}
    for place, step in enumerate(program.steps):
        last |= dict.fromkeys(reads_of(step), place)
        born |= dict.fromkeys(step.makes, place + 1)
    last |= dict.fromkeys(results_of(program), count)
    going_on: list[list[int]] = [[] for _ in range(count)]
    for value, start in born.items():
        end = last.get(value, -1)
        if end < count and dense[end] - dense[start] <= FAR:
            for place in range(start, end + 1):
                going_on[place].append(value)
    return {place: values[0] for place, values in enumerate(going_on) if place and len(values) == 1}
