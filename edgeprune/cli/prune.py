"""``edgeprune prune``: choose channels, remove them, verify; no recovery, no export."""

from __future__ import annotations

from typing import Any

import click

from edgeprune.cli import budgets, options
from edgeprune.cli.compress import finish, run
from edgeprune.cli.console import common_options
from edgeprune.cli.help import PanelCommand
from edgeprune.cli.run_directory import recipe_option


@click.command("prune", cls=PanelCommand)
@options.model_argument
@options.flags(
    options.LOADING,
    budgets.COUNTED,
    options.PRUNING,
    options.KEEP,
    options.JUDGING,
    options.OUTPUT,
    recipe_option,
)
@common_options
def command(**given: Any) -> None:
    """Remove channels of MODEL and verify that the rest computes the same as with masks.

    Writes the plan and the pruned weights into a run directory; `edgeprune recover` and
    `edgeprune export` take it from there.
    """
    config = options.config(given, recover=(), target=None, bench=None)
    finish(run(options.source(given), config, given), given)
