"""The help of a command with many flags: in panels by what they are about, with examples.

A flag belongs to the first panel of ``PANELS`` that lists its name; what no panel lists stands in
the last one. Panels without flags of a command are left out.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from collections.abc import Iterator

PANELS: dict[str, tuple[str, ...]] = {
    "Budget": ("macs", "params", "ratio", "latency", "size"),
    "Accuracy and limits": ("images", "eval_", "fail_if"),
    "Result": ("output", "overwrite", "json_", "full", "dry_run", "target", "precision",
                   "opset", "dynamic_batch", "raw_head"),
    "Measuring": ("runtime", "device", "threads", "seconds", "within", "arena", "bench",
                  "alternatives", "shape"),
    "Reading the model": ("input_", "arch", "arch_arg", "entry", "forward", "mean", "std", "allow",
                          "trust"),
    "Recovery": ("recover", "budget_time", "synthesis", "resume"),
    "Which channels go": ("importance", "scope", "unit", "keep", "other_weights"),
    "8-bit integers": ("activations", "ranges", "rounding", "image_free", "input_range",
                       "keep_float"),
}  # fmt: skip
"""Titles, and the parameters below each, by name: what most people want first."""

OTHERS = "Others"


class PanelCommand(click.Command):
    """A command whose help groups its flags, and whose epilogue is a list of examples."""

    def format_options(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the panels."""
        for title, parameters in self.panels(ctx):
            records = [each.get_help_record(ctx) for each in parameters]
            with formatter.section(title):
                formatter.write_dl([record for record in records if record is not None])

    def panels(self, ctx: click.Context) -> Iterator[tuple[str, list[click.Parameter]]]:
        """Titles and flags, without panels that have none."""
        left = [each for each in self.get_params(ctx) if isinstance(each, click.Option)]
        for title, names in PANELS.items():
            found = [each for each in left if each.name in names]
            found.sort(key=lambda each: names.index(each.name or ""))
            left = [each for each in left if each not in found]
            if found:
                yield title, list(found)
        yield OTHERS, list(left)


def examples(*lines: str) -> str:
    """An epilogue with one command a line, as they are typed."""
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in lines)))
