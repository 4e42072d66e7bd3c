"""``edgeprune apply``: replay a saved plan on its model, without search."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from edgeprune.cli import options, quantizing
from edgeprune.cli.compress import finish, run
from edgeprune.cli.console import common_options, warn
from edgeprune.cli.help import PanelCommand
from edgeprune.errors import ModelRefused


@click.command("apply", cls=PanelCommand)
@click.argument("plan", type=click.Path(path_type=Path), metavar="PLAN")
@options.model_argument
@options.flags(
    options.LOADING,
    options.recovery("none"),
    options.EXPORT,
    quantizing.PRECISION,
    quantizing.QUANTIZATION,
    options.MEASURING,
    options.JUDGING,
    options.OUTPUT,
    click.option("--other-weights", is_flag=True,
                 help="Replay the plan on other weights than it was made for, such as retrained "
                      "ones."),
)  # fmt: skip
@common_options
def command(plan: Path, *, other_weights: bool, **given: Any) -> None:
    """Replay PLAN, a plan.json, on MODEL: remove the same channels, without search."""
    from edgeprune.pruning import plan_file

    saved = plan_file.read(plan)
    source = options.source(given)
    if saved.model_sha256 != source.sha256:
        found = f"'{plan}' was made for other weights than those of '{given['model']}'"
        if not other_weights:
            raise ModelRefused(f"{found}: pass --other-weights if that is meant")
        warn(found)
    finish(run(source, options.config(given, plan=saved), given), given)
