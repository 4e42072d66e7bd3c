"""A pickle is a program: here it runs on a machine that makes plain values and calls nothing.

Python's own machine calls whatever the program asks for, and torch's restricted one still runs the
constructor of any class that it is granted, with whatever sizes the file asks for. This one makes
numbers, texts and containers by itself; all else is up to a ``Maker``, which is asked for
every name, call, object and state, and refuses what it does not know. The program is decoded by
``pickletools`` of the standard library, which is made for reading without running.

The program grows nothing: every step makes at most one small object, and their number is bounded.
"""

from __future__ import annotations

import pickletools
from collections import Counter, OrderedDict
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

from edgeprune.errors import ModelRefused

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import IO

MOST_STEPS = 3_000_000
"""Steps of a program: a network of ten thousand layers takes about as many; some 300 MB."""

DEEPEST_KEY = 8
"""So deep may tuples lie in each other as a key; hashing recurses."""

PLAIN_KEYS = (str, bytes, int, float, complex, type(None))
DICTIONARIES = (dict, OrderedDict, Counter)


class BadPickle(Exception):
    """The program is damaged, or does what no program of torch.save does."""


class Maker(Protocol):
    """What the machine asks for all that is not plain; each refuses by ModelRefused."""

    def named(self, module: str, name: str) -> object:
        """What the program may have for a name; never called by the machine."""

    def called(self, function: object, arguments: tuple[object, ...]) -> object:
        """The result of a call."""

    def made(self, kind: object, arguments: tuple[object, ...]) -> object:
        """A new object of a class, without its state."""

    def built(self, made: object, state: object) -> object:
        """The object in this state."""

    def stored(self, key: object) -> object:
        """What lies outside of the program under this key."""


def run(program: IO[bytes], maker: Maker) -> object:
    """Run the program at the file's position, and leave the position behind it.

    Args:
        program: The file, which may go on after the program.
        maker: Makes all that is not plain.

    Returns:
        What the program leaves.

    Raises:
        BadPickle: The program is damaged.
        ModelRefused: The maker refuses something, or the program is too long.
    """
    machine = _Machine(maker)
    try:
        return machine.run(program)
    except (IndexError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise BadPickle(str(error)) from error


class _Machine:
    def __init__(self, maker: Maker) -> None:
        self.maker = maker
        self.stack: list[Any] = []
        self.below: list[list[Any]] = []
        self.memo: dict[int, Any] = {}

    def run(self, program: IO[bytes]) -> object:
        for count, (opcode, argument, _) in enumerate(pickletools.genops(program)):
            if count > MOST_STEPS:
                raise ModelRefused(f"it holds more than {MOST_STEPS:,} values besides its tensors")
            if opcode.name == "STOP":
                return self.stack.pop()
            step = _STEPS.get(opcode.name)
            if step is None:
                raise BadPickle(f"it has the opcode {opcode.name}, which torch.save never writes")
            step(self, argument)
        raise BadPickle("it does not end")

    def push(self, value: object) -> None:
        self.stack.append(value)

    def mark(self) -> None:
        self.below.append(self.stack)
        self.stack = []

    def since_mark(self) -> list[Any]:
        items, self.stack = self.stack, self.below.pop()
        return items

    def memoize(self, index: int | None) -> None:
        self.memo[len(self.memo) if index is None else int(index)] = self.stack[-1]

    def tuple_of(self, count: int) -> None:
        if count > len(self.stack):
            raise IndexError("the stack is empty")
        self.stack[len(self.stack) - count :] = [tuple(self.stack[len(self.stack) - count :])]

    def extend(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not list:
            raise BadPickle(f"it appends to a {type(self.stack[-1]).__name__}")
        self.stack[-1].extend(items)

    def update(self, items: list[Any]) -> None:
        target = self.stack[-1]
        if type(target) not in DICTIONARIES or len(items) % 2:
            raise BadPickle(f"it sets items of a {type(target).__name__}")
        for key, value in zip(items[::2], items[1::2], strict=True):
            _require_key(key)
            target[key] = value

    def add(self, items: list[Any]) -> None:
        if type(self.stack[-1]) is not set:
            raise BadPickle(f"it adds to a {type(self.stack[-1]).__name__}")
        require_keys(items)
        self.stack[-1].update(items)

    def name(self, module: object, name: object) -> None:
        if not isinstance(module, str) or not isinstance(name, str):
            raise BadPickle("it asks for a name that is no text")
        self.push(self.maker.named(module, name))

    def name_on_stack(self) -> None:
        name = self.stack.pop()
        self.name(self.stack.pop(), name)

    def with_arguments(self, do: Callable[[Any, tuple[object, ...]], object]) -> None:
        arguments = self.stack.pop()
        if type(arguments) is not tuple:
            raise BadPickle("it calls with arguments that are no tuple")
        self.stack[-1] = do(self.stack[-1], arguments)

    def build(self) -> None:
        state = self.stack.pop()
        self.stack[-1] = self.maker.built(self.stack[-1], state)


def require_keys(keys: object) -> None:
    """Refuse what cannot be hashed at once; raises BadPickle."""
    for key in keys:  # type: ignore[attr-defined]
        _require_key(key)


def _require_key(key: object, deepest: int = DEEPEST_KEY) -> None:
    if type(key) is tuple and deepest:
        for item in key:
            _require_key(item, deepest - 1)
    elif type(key) is tuple or (
        not isinstance(key, PLAIN_KEYS) and type(key).__hash__ is not object.__hash__
    ):
        raise BadPickle(f"it has a {type(key).__name__} as a key")


_Step: TypeAlias = "Callable[[_Machine, Any], object]"

_VALUES = (
    *("BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT"),
    *("BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8", "BINSTRING", "SHORT_BINSTRING"),
    *("BINBYTES", "SHORT_BINBYTES", "BINBYTES8"),
)
_STEPS: dict[str, _Step] = {
    **dict.fromkeys(_VALUES, _Machine.push),
    "BYTEARRAY8": lambda machine, value: machine.push(bytearray(value)),
    "NONE": lambda machine, _: machine.push(None),
    "NEWTRUE": lambda machine, _: machine.push(True),
    "NEWFALSE": lambda machine, _: machine.push(False),
    "EMPTY_TUPLE": lambda machine, _: machine.push(()),
    "EMPTY_LIST": lambda machine, _: machine.push([]),
    "EMPTY_DICT": lambda machine, _: machine.push({}),
    "EMPTY_SET": lambda machine, _: machine.push(set()),
    "TUPLE1": lambda machine, _: machine.tuple_of(1),
    "TUPLE2": lambda machine, _: machine.tuple_of(2),
    "TUPLE3": lambda machine, _: machine.tuple_of(3),
    "TUPLE": lambda machine, _: machine.push(tuple(machine.since_mark())),
    "LIST": lambda machine, _: machine.push(machine.since_mark()),
    "MARK": lambda machine, _: machine.mark(),
    "POP": lambda machine, _: machine.stack.pop(),
    "POP_MARK": lambda machine, _: machine.since_mark(),
    "DUP": lambda machine, _: machine.push(machine.stack[-1]),
    "APPEND": lambda machine, _: machine.extend([machine.stack.pop()]),
    "APPENDS": lambda machine, _: machine.extend(machine.since_mark()),
    "SETITEM": lambda machine, _: machine.update([machine.stack.pop(-2), machine.stack.pop()]),
    "SETITEMS": lambda machine, _: machine.update(machine.since_mark()),
    "ADDITEMS": lambda machine, _: machine.add(machine.since_mark()),
    "GLOBAL": lambda machine, text: machine.name(*str(text).split(" ", 1)),
    "STACK_GLOBAL": lambda machine, _: machine.name_on_stack(),
    "REDUCE": lambda machine, _: machine.with_arguments(machine.maker.called),
    "NEWOBJ": lambda machine, _: machine.with_arguments(machine.maker.made),
    "BUILD": lambda machine, _: machine.build(),
    "BINPERSID": lambda machine, _: machine.push(machine.maker.stored(machine.stack.pop())),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _Machine.memoize),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, index: machine.push(machine.memo[index])
    ),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, _: None),
}
