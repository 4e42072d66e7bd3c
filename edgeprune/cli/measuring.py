"""Flags on how to measure that ``bench`` and ``compress`` share."""

from __future__ import annotations

import re

import click

from edgeprune.errors import UsageError

runtime_option = click.option(
    "--runtime",
    default="onnxruntime",
    show_default=True,
    metavar="NAME[,NAME...]|all",
    help="What runs the models; after the first, others to measure them on too.",
)

device_option = click.option(
    "--device",
    default="local",
    show_default=True,
    metavar="ADDRESS",
    help="Where they run: local, ssh://[user@]host[:port] or qemu-arm64.",
)

threads_option = click.option(
    "--threads", default=1, show_default=True, help="Threads for one inference."
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


def chosen_runtimes(text: str) -> tuple[str, ...]:
    """What a run measures on; see ``bench.runs.chosen``."""
    from edgeprune.bench import on_runtimes

    return on_runtimes.chosen(text)


def fraction(flag: str, text: str) -> float:
    """A fraction as one types it: 1%, or 0.01.

    Raises:
        UsageError: Names the flag, and says what it may be.
    """
    found = re.fullmatch(r"(\d+|\d*\.\d+)(%?)", text.strip())
    asked = float(found[1]) / (100 if found[2] else 1) if found else 0.0
    if not 0 < asked < 1:
        raise UsageError(f"--{flag} {text}: expected a fraction such as 1% or 0.01")
    return asked
