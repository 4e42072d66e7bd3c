"""A recorded forward as plain data, and as JSON text.

Values are numbered: the network's inputs first, then what each step makes, in order. An argument is
a literal, or stands for a value, a parameter or buffer, a size that depends on the batch, a dtype,
or the device of the network's input.
"""

from __future__ import annotations

from typing import TypeAlias

import msgspec

VERSION = 1


class _Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, array_like=True):
    """A part of a program that is no literal: a list that begins with its tag."""


class Made(_Part, frozen=True, tag="value"):
    """A value that an earlier step made, or an input."""

    index: int


class Held(_Part, frozen=True, tag="tensor"):
    """A parameter or buffer of the network, by its dotted name."""

    name: str


class Sized(_Part, frozen=True, tag="size"):
    """A size that is ``times`` the batch, and ``plus``."""

    times: int
    plus: int


class Kind(_Part, frozen=True, tag="kind"):
    """A member of torch: a dtype or a memory format."""

    name: str


class Extreme(_Part, frozen=True, tag="number"):
    """A number that JSON has no form for: inf, -inf, nan."""

    text: str


class Device(_Part, frozen=True, tag="device"):
    """The device of the network's first input."""


class Several(_Part, frozen=True, tag="list"):
    """A list."""

    items: tuple[Argument, ...]


class Row(_Part, frozen=True, tag="tuple"):
    """A tuple."""

    items: tuple[Argument, ...]


class Table(_Part, frozen=True, tag="dict"):
    """A dictionary with text keys."""

    items: dict[str, Argument]


Argument: TypeAlias = (
    bool | int | float | str
    | Made | Held | Sized | Kind | Extreme | Device | Several | Row | Table
    | None
)  # fmt: skip


class OperatorCall(_Part, frozen=True, tag="operator"):
    """An operator that ran.

    Attributes:
        name: ``view.default``: an ATen operator and its overload.
        inside: Dotted name of the module in whose forward it ran; empty: the network's own.
        arguments: One for each argument of its schema, in order.
        makes: The values that it makes.
    """

    name: str
    inside: str
    arguments: tuple[Argument, ...]
    makes: tuple[int, ...]


class LayerCall(_Part, frozen=True, tag="layer"):
    """A layer that ran.

    Attributes:
        layer: Its dotted name.
        given: Positional arguments.
        named: Keyword arguments.
        makes: The values that it makes: all tensors of what it returns, in order.
    """

    layer: str
    given: tuple[Argument, ...]
    named: dict[str, Argument]
    makes: tuple[int, ...]


class Program(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A recorded forward.

    Attributes:
        inputs: How many inputs the network takes.
        steps: What ran.
        result: What it returns.
        version: Version of this form.
    """

    inputs: int
    steps: tuple[OperatorCall | LayerCall, ...]
    result: Argument
    version: int = VERSION


def as_text(program: Program) -> str:
    """A program as one line of JSON."""
    return msgspec.json.encode(program).decode()


def from_text(text: str) -> Program:
    """The program of a text.

    Raises:
        ValueError: It is not of this form.
    """
    return msgspec.json.decode(text, type=Program)
