"""The flags of budgets: what to reach, by counting or by measuring."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.pruning import Budget
    from edgeprune.pruning.measured_budgets import MeasuredBudget

    Flags = Mapping[str, Any]

KINDS = ("macs", "params", "ratio", "latency", "size")
DEFAULT = ("macs", "50%")

COUNTED = (
    click.option("--macs", metavar="50%|20M", help="Multiply-accumulates to keep. [default: 50%]"),
    click.option("--params", metavar="50%|1M", help="Parameters to keep."),
    click.option("--ratio", metavar="0.5", help="Share of all prunable channels to remove."),
)

MEASURED = (
    click.option("--latency", metavar="50%|8ms",
                 help="Latency to reach where the run measures: a share of the original's, "
                      "or a time."),
    click.option("--size", metavar="50%|2MB", help="Size of the file to reach."),
)  # fmt: skip


def budget(given: Flags) -> Budget | MeasuredBudget:
    """The one budget asked for; what stands on the command line beats the recipe."""
    from edgeprune.pruning import parse_budget
    from edgeprune.pruning.measured_budgets import MEASURED_BUDGETS

    kind, text = chosen_budget(given)
    return MEASURED_BUDGETS[kind](text) if kind in MEASURED_BUDGETS else parse_budget(kind, text)  # type: ignore[arg-type]


def chosen_budget(given: Flags) -> tuple[str, str]:
    """Kind and amount of the budget.

    Raises:
        UsageError: If there are several.
    """
    asked = {kind: str(given[kind]) for kind in KINDS if given.get(kind) is not None}
    context = click.get_current_context()
    typed = {
        kind: text
        for kind, text in asked.items()
        if context.get_parameter_source(kind) is ParameterSource.COMMANDLINE
    }
    effective = typed or asked
    if len(effective) > 1:
        raise UsageError(f"choose one budget of {', '.join(f'--{kind}' for kind in effective)}")
    return next(iter(effective.items()), DEFAULT)
