"""Inputs drawn from a seed, and outputs as JSON; the file stands alone."""

from __future__ import annotations

import base64
import math
from typing import Any

MOST_NUMBERS = 1 << 26
"""Largest input that is drawn: a file can declare any size; 4096x4096 pixels in colour fit."""


class WorkerError(Exception):
    """An error that the reader can act on; it is shown without its class."""


class WrongShape(WorkerError):
    """A size is missing, or does not fit: whoever asked has to say another."""


def shape(text: str) -> tuple[str, list[int]]:
    """Read ``images:1x3x640x640``; without a name it is that of the only input.

    Raises:
        WrongShape: The text is no shape.
    """
    name, _, sizes = text.rpartition(":")
    parts = sizes.lower().split("x")
    if not all(part.isdecimal() and len(part) < 10 and int(part) for part in parts):
        raise WrongShape(f"--shape {text}: expected NAME:1x3x640x640")
    return name, [int(part) for part in parts]


def sized(
    declared: list[tuple[str, str, list[Any]]], given: dict[str, list[int]]
) -> list[tuple[str, str, list[int]]]:
    """The inputs with a size for every dimension; nothing but the batch is 1 unless it is given.

    Args:
        declared: Name, type and shape of each input; a dimension left open is its name, or "".
        given: Shapes by name of the input; under "" that of the only one.

    Raises:
        WrongShape: A dimension besides the batch is open, or a shape does not fit.
    """
    names = [name for name, _, _ in declared]
    known = {**given}
    if len(names) == 1 and "" in known:
        known[names[0]] = known.pop("")
    for name in known:
        if name not in names:
            raise WrongShape(f"--shape {name}: the model has no such input, but {', '.join(names)}")
    return [(name, dtype, _size(name, shape, known.get(name))) for name, dtype, shape in declared]


def _size(name: str, shape: list[Any], given: list[int] | None) -> list[int]:
    named = [size if size != "" else f"dim{place}" for place, size in enumerate(shape)]
    text = "x".join(map(str, named))
    if given is None:
        free = [str(size) for size in named[1:] if isinstance(size, str)]
        if free:
            first = named[0] if isinstance(named[0], int) else 1
            example = "x".join(map(str, [first, *named[1:]]))
            raise WrongShape(
                f"input {name!r} is {text}: pass --shape {name}:{example} with a size for "
                f"{' and '.join(free)}"
            )
        return [size if isinstance(size, int) else 1 for size in named]
    fixed = {place: size for place, size in enumerate(named) if isinstance(size, int)}
    if len(given) != len(named) or any(given[place] != size for place, size in fixed.items()):
        wanted = "x".join(map(str, given))
        raise WrongShape(f"--shape {name}:{wanted} does not fit: the input is {text}")
    return list(given)


REACH = 3.0
"""Standard deviations of normal inputs that fill a range."""


def inputs(
    declared: list[tuple[str, str, list[int]]], seed: int, within: Any = ()
) -> dict[str, Any]:
    """Inputs of the declared types and shapes, the same for every runtime.

    Args:
        declared: Name, type and shape of each input.
        seed: Random seed.
        within: The lowest and the highest value of each input, or None; shorter for none.
    """
    import numpy

    generator = numpy.random.default_rng(seed)
    feed: dict[str, Any] = {}
    for place, (name, dtype, shape) in enumerate(declared):
        if math.prod(shape) > MOST_NUMBERS:
            size = "x".join(map(str, shape))
            raise WorkerError(f"input {name!r} is {size}: too large to draw one")
        if dtype in ("float16", "float32", "float64"):
            width = numpy.float64 if dtype == "float64" else numpy.float32
            drawn: Any = generator.standard_normal(shape, dtype=width)
            if place < len(within) and within[place]:
                low, high = within[place]
                unit = numpy.clip(drawn / (2 * REACH) + 0.5, 0, 1)
                drawn = low + (high - low) * unit
        elif dtype in ("bool", "uint8", "int8", "int16", "int32", "int64"):
            # bytes are an image; 0 and 1 are valid as an index and as a mask
            drawn = generator.integers(0, 256 if dtype == "uint8" else 2, shape)
        else:
            raise WorkerError(f"input {name!r} is a {dtype}: cannot draw one")
        feed[name] = drawn.astype(dtype, copy=False)
    return feed


def encoded(array: Any) -> dict[str, Any]:
    """An array as JSON: little-endian bytes in base64, their type and the shape."""
    if not hasattr(array, "dtype") or array.dtype.kind not in "fiub":
        raise WorkerError(f"an output is a {type(array).__name__}, not a tensor of numbers")
    dtype = array.dtype.newbyteorder("<")
    text = base64.b64encode(array.astype(dtype).tobytes()).decode("ascii")
    return {"dtype": dtype.str, "shape": list(array.shape), "base64": text}
