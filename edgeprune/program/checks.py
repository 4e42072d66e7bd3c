"""What a program must be before it runs, wherever it comes from: a file may hold anything."""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING

from edgeprune.errors import ModelRefused
from edgeprune.program.form import (
    VERSION,
    Extreme,
    Held,
    Kind,
    LayerCall,
    Made,
    OperatorCall,
    Program,
    Row,
    Several,
    Table,
    from_text,
)
from edgeprune.program.operators import DTYPES, FORMATS, operator_of, takes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from edgeprune.program.form import Argument

LONGEST = 1 << 26
"""Characters of a program, at most."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A program that may run.

    Attributes:
        program: What runs.
        spent: For each step the values that nothing reads after it.
    """

    program: Program
    spent: tuple[tuple[int, ...], ...]


def checked(text: object) -> Checked:
    """The program of a text.

    Args:
        text: From ``form.as_text``, or from a file.

    Raises:
        ModelRefused: Says what of it is no program that may run.
    """
    if not isinstance(text, str) or len(text) > LONGEST:
        raise ModelRefused("the network's recorded graph is no text of a length that one has")
    return _checked(text)


@functools.lru_cache(maxsize=64)
def _checked(text: str) -> Checked:
    try:
        program = from_text(text)
        _require_sound(program)
    except (ValueError, RecursionError) as error:
        raise ModelRefused(f"the network's recorded graph is damaged: {error}") from error
    return Checked(program, _spent(program))


def _require_sound(program: Program) -> None:
    if program.version != VERSION:
        raise ValueError(f"its version is {program.version}, not {VERSION}")
    if not 1 <= program.inputs <= 1000:
        raise ValueError(f"it takes {program.inputs} inputs")
    there = set(range(program.inputs))
    for step in program.steps:
        if isinstance(step, OperatorCall):
            _require_fitting(step)
        _require_parts(parts_in(step), there)
        for value in step.makes:
            if value != len(there):
                raise ValueError(f"its value {value} does not follow {len(there) - 1}")
            there.add(value)
    _require_parts(parts_of(program.result), there)


def _require_fitting(step: OperatorCall) -> None:
    """Raise ValueError unless the arguments are those of the operator's schema."""
    schema = operator_of(step.name)._schema.arguments
    fits = len(schema) == len(step.arguments) and all(
        takes(str(each.real_type), argument)
        for each, argument in zip(schema, step.arguments, strict=True)
    )
    if not fits:
        raise ValueError(f"an operator '{step.name}' has other arguments than it takes")


def _require_parts(parts: Iterable[Argument], there: set[int]) -> None:
    for part in parts:
        if isinstance(part, Made) and part.index not in there:
            raise ValueError(f"it reads value {part.index} before that is made")
        if isinstance(part, Extreme) and part.text not in ("inf", "-inf", "nan"):
            raise ValueError("it has a number that is none")
        if isinstance(part, Kind) and part.name not in KINDS:
            raise ValueError("it names a dtype that there is not")


def parts_in(step: OperatorCall | LayerCall) -> Iterator[Argument]:
    """Everything that a step is given, and all that it is made of."""
    if isinstance(step, OperatorCall):
        arguments = step.arguments
    else:
        arguments = (*step.given, *step.named.values())
    for argument in arguments:
        yield from parts_of(argument)


def parts_of(argument: Argument) -> Iterator[Argument]:
    """An argument, and all that it is made of."""
    yield argument
    inner: tuple[Argument, ...] = ()
    if isinstance(argument, Several | Row):
        inner = argument.items
    elif isinstance(argument, Table):
        inner = tuple(argument.items.values())
    for each in inner:
        yield from parts_of(each)


def tensors_named(program: Program) -> set[str]:
    """Names of the parameters and buffers that the steps themselves read."""
    parts = (part for step in program.steps for part in parts_in(step))
    return {part.name for part in parts if isinstance(part, Held)}


def _spent(program: Program) -> tuple[tuple[int, ...], ...]:
    """For each step the values that nothing reads after it, those of the result left out."""
    kept = {part.index for part in parts_of(program.result) if isinstance(part, Made)}
    found: list[tuple[int, ...]] = []
    for step in reversed(program.steps):
        read = {part.index for part in parts_in(step) if isinstance(part, Made)}
        gone = (read | set(step.makes)) - kept
        found.append(tuple(sorted(gone)))
        kept |= gone
    return tuple(reversed(found))


KINDS = DTYPES | FORMATS
"""Members of torch that an argument may name."""
