"""What the user says of a network's inputs: typed on the command line, or by example in Python."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from edgeprune import units
from edgeprune.artifacts import FLOAT, InputSpec
from edgeprune.errors import UsageError

Shape: TypeAlias = tuple[int, ...]
Example: TypeAlias = (
    "Tensor | Sequence[Tensor] | Sequence[int] | Sequence[Sequence[int]] | str"
    " | Mapping[str, Tensor] | Mapping[str, Sequence[int]] | None"
)

DTYPES = ("float32", "float64", "float16", "uint8", "int8", "int16", "int32", "int64", "bool")
SHOWN = 60
"""So many characters of a flag are repeated."""


def parse_shape(text: str) -> Shape:
    """Parse a shape such as ``1x3x224x224`` or ``1,3,224,224``.

    Raises:
        UsageError: The text is no shape, or the batch is not 1.
    """
    if not re.fullmatch(r"\s*\d{1,9}(\s*[x×,]\s*\d{1,9})+\s*", text, re.IGNORECASE):
        shown = text if len(text) < SHOWN else f"{text[:SHOWN]}…"
        raise UsageError(f"--input {shown}: it must be a shape such as 1x3x224x224")
    shape = tuple(int(number) for number in re.findall(r"\d+", text))
    check_batch(shape)
    return shape


@dataclass(frozen=True, slots=True)
class NamedInput:
    """An input as one types it; ``name`` is "" for one that goes by its place."""

    shape: Shape
    dtype: str = FLOAT
    name: str = ""


def parse_input(text: str) -> NamedInput:
    """Parse ``1x3x224x224``, ``1x16:int64`` or ``pixel_values:1x3x224x224``.

    Raises:
        UsageError: The text is no shape, or there is no such type.
    """
    *name, shape, dtype = text.split(":") if ":" in text else (text, FLOAT)
    if dtype not in DTYPES and re.match(r"\s*\d", dtype):  # a name, and no type
        name, shape, dtype = [*name, shape], dtype, FLOAT
    shown = text if len(text) < SHOWN else f"{text[:SHOWN]}…"
    if dtype not in DTYPES:
        raise UsageError(f"--input {shown}: after the colon comes a type: {', '.join(DTYPES)}")
    if len(name) > 1 or not all(each.isidentifier() for each in name):
        raise UsageError(f"--input {shown}: expected NAME:SHAPE:TYPE, as in ids:1x16:int64")
    return NamedInput(parse_shape(shape), dtype, "".join(name))


def parse_inputs(texts: Sequence[str]) -> InputSpec:
    """What the user typed of the inputs, see ``parse_input``; their normalisation is left open.

    Raises:
        UsageError: Some have names and some have none, or two have the same.
    """
    return _together(tuple(map(parse_input, texts)))


def _together(inputs: Sequence[NamedInput]) -> InputSpec:
    names = tuple(each.name for each in inputs if each.name)
    if len(set(names)) not in (0, len(inputs)):
        raise UsageError("--input: give every input a name of its own, or none")
    shapes, dtypes = tuple(e.shape for e in inputs), tuple(e.dtype for e in inputs)
    return InputSpec(shapes, (), (), dtypes if set(dtypes) - {FLOAT} else (), names=names)


def example_inputs(example: Example) -> InputSpec:
    """What an example says of all inputs: batch 1 for any tensor, names for a dictionary.

    Raises:
        UsageError: It is neither a tensor nor a shape, nor several of them.
    """
    if example is None:
        return _together(())
    found = _one(example) or _several(example)
    if found is None:
        shown = type(example).__name__ if len(repr(example)) > SHOWN else repr(example)
        raise UsageError(
            f"--input {shown}: expected a tensor, or a shape with the batch first such as "
            "1x3x224x224; several in a list, or by name in a dictionary"
        )
    return _together(found)


def _one(example: object) -> tuple[NamedInput, ...] | None:
    """A single example; None if it is none."""
    if isinstance(example, str):
        return (parse_input(example),)
    if isinstance(example, np.ndarray):
        example = torch.from_numpy(example)
    if isinstance(example, Tensor):
        kind = FLOAT if example.is_floating_point() else str(example.dtype)
        shape = (1, *(int(size) for size in example.shape[1:]))
        return (NamedInput(shape, kind.removeprefix("torch.")),)
    if isinstance(example, Sequence) and example and all(isinstance(n, int) for n in example):
        return (NamedInput(tuple(int(size) for size in example)),)
    return None


def _several(example: object) -> tuple[NamedInput, ...] | None:
    """Several examples, in a row or by name; None if one of them is none."""
    if not isinstance(example, Sequence | Mapping) or not example:
        return None
    names = [str(name) for name in example] if isinstance(example, Mapping) else [""] * len(example)
    values = example.values() if isinstance(example, Mapping) else example
    each = [_one(value) for value in values]
    if not all(each):
        return None
    return tuple(
        replace(found[0], name=name or found[0].name)
        for name, found in zip(names, each, strict=True)
        if found
    )


def check_batch(shape: Shape) -> None:
    """Refuse a shape without a batch of 1 in front; raises UsageError."""
    if len(shape) < 2 or shape[0] != 1 or min(shape) < 1:
        given = units.dimensions(shape)
        better = given if len(shape) == 3 else units.dimensions(shape[1:])
        raise UsageError(f"--input {given}: the batch comes first and must be 1: pass 1x{better}")
