"""``edgeprune apply``: replay a saved plan on its model, without search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeprune.cli import options
from edgeprune.cli.compress import finish, run
from edgeprune.cli.console import common_options, warn


@click.command("apply")
@click.argument("plan", type=click.Path(path_type=Path), metavar="PLAN")
@options.model_argument
@options.flags(
    options.LOADING,
    options.recovery("none"),
    options.EXPORT,
    options.MEASURING,
    options.JUDGING,
    options.OUTPUT,
)
@common_options
def command(plan: Path, **given: Any) -> None:
    """Replay PLAN, a plan.json, on MODEL: remove the same channels, without search."""
    from edgeprune.pruning import plan_file

    saved = plan_file.read(plan)
    source = options.source(given)
    if saved.model_sha256 != source.sha256:
        warn(f"'{plan}' was made for other weights than those of '{given['model']}'")
    finish(run(source, options.config(given, plan=saved), given), given)
