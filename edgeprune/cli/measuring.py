"""Flags on how to measure that ``bench`` and ``compress`` share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from edgeprune import units
from edgeprune.bench import RUNTIMES, devices
from edgeprune.cli.named import Named
from edgeprune.errors import UsageError

Command = TypeVar("Command", bound=Callable[..., Any])

runtime_option = click.option(
    "--runtime",
    type=Named("runtime", RUNTIMES, several=True, also=("all",)),
    default="onnxruntime",
    show_default=True,
    metavar="NAME[,NAME...]|all",
    help="What runs the models; after the first, others to measure them on too.",
)

device_option = click.option(
    "--device",
    default="local",
    shell_complete=lambda context, option, begun: [
        CompletionItem(kind) for kind in devices.DEVICES if kind.startswith(begun)
    ],
    show_default=True,
    metavar="ADDRESS",
    help="Where they run: local, ssh://[user@]host[:port] or qemu-arm64.",
)

threads_option = click.option(
    "--threads",
    default=1,
    type=click.IntRange(1, 4096),
    show_default=True,
    help="Threads for one inference.",
)

within_option = click.option(
    "--within",
    metavar="FRACTION",
    default="1%",
    show_default=True,
    help="How surely to know the latency: measuring ends before its time once it is.",
)

arena_option = click.option(
    "--arena",
    default="on",
    show_default=True,
    type=click.Choice(("on", "off")),
    help="Whether ONNX Runtime keeps freed tensors; off: less memory, slower.",
)


shape_option = click.option(
    "--shape",
    multiple=True,
    metavar="[NAME:]1x3x640x640",
    help="Shape of an input whose size the file leaves open, by its name; repeat for more.",
)


def shapes(texts: Sequence[str]) -> dict[str, tuple[int, ...]]:
    """Read the shapes of ``--shape``, by the name of the input.

    Raises:
        UsageError: A text is no shape.
    """
    from edgeprune.bench.worker import tensors

    try:
        return {name: tuple(shape) for name, shape in map(tensors.shape, texts)}
    except tensors.WrongShape as error:
        raise UsageError(str(error)) from None


LARGEST_SEED = 2**32 - 1
"""The largest that every generator takes."""

LARGEST_LEVEL = 1e6
"""Means and standard deviations of pixels are below it, and no standard deviation below its
inverse: what is normalised with others overflows."""


def seed_option(purpose: str) -> Callable[[Command], Command]:
    """The flag ``--seed``, with what it is for."""
    seeds = click.IntRange(0, LARGEST_SEED)
    return click.option("--seed", default=0, type=seeds, show_default=True, help=purpose)


def chosen_runtimes(text: str) -> tuple[str, ...]:
    """The runtimes to measure on; see ``bench.on_runtimes.chosen``."""
    from edgeprune.bench import on_runtimes

    return on_runtimes.chosen(text)


def fraction(flag: str, text: str) -> float:
    """Read a fraction as one types it: 1%, or 0.01.

    Raises:
        UsageError: It is no such fraction; names the flag and gives an example.
    """
    try:
        return units.parse_share(text)
    except ValueError:
        raise UsageError(f"--{flag} {text}: expected a fraction such as 1% or 0.01") from None


def seconds(flag: str, text: str | None) -> float | None:
    """Read a time as one types it: 90s, 10m, 1.5h, or seconds alone.

    Raises:
        UsageError: It is no such time; names the flag and gives examples.
    """
    if text is None:
        return None
    try:
        return units.parse_duration(text)
    except ValueError:
        raise UsageError(f"--{flag} {text}: expected a time such as 90s, 10m or 1.5h") from None


def numbers(flag: str, text: str | None) -> tuple[float, ...] | None:
    """Read finite numbers as one types them, separated by commas; a std is above 0.

    Raises:
        UsageError: Names the flag.
    """
    if text is None:
        return None
    try:
        numbers = tuple(float(part) for part in text.split(","))
    except ValueError:
        raise UsageError(f"--{flag} {text}: expected numbers separated by commas") from None
    least = 1 / LARGEST_LEVEL if flag == "std" else -LARGEST_LEVEL
    if not all(least <= number <= LARGEST_LEVEL for number in numbers):
        between = f"between {least:g} and {LARGEST_LEVEL:g}"
        raise UsageError(f"--{flag} {text}: expected numbers {between}")
    return numbers
