"""``edgeprune recover``: repair a pruned network, from the run directory that pruned it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli import options
from edgeprune.cli.compress import finish, run
from edgeprune.cli.console import common_options
from edgeprune.cli.help import PanelCommand
from edgeprune.cli.run_directory import RECIPE, read_recipe, warn_of_grants
from edgeprune.errors import ModelRefused, UsageError

if TYPE_CHECKING:
    from pathlib import Path


@click.command("recover", cls=PanelCommand)
@click.argument("run_directory", type=options.FOLDER, metavar="RUN")
@options.flags(options.GRANTING, options.recovery("auto"), options.JUDGING, options.OUTPUT)
@common_options
def command(run_directory: Path, **given: Any) -> None:
    """Recover the network that RUN pruned, into a new run directory.

    The original is read again from the path in RUN's recipe, and RUN's plan is replayed.
    """
    from edgeprune.pruning import plan_file

    given = {**_loading(run_directory), **given}
    source = options.source(given)
    saved = plan_file.read(run_directory / plan_file.FILE_NAME)
    if saved.model_sha256 != source.sha256:
        raise ModelRefused(
            f"'{given['model']}' holds other weights than those that '{run_directory}' pruned"
        )
    config = options.config(given, plan=saved, target=None, bench=None)
    finish(run(source, config, given), given)


def _loading(run_directory: Path) -> dict[str, Any]:
    """Options in RUN's recipe that load the original, by parameter name."""
    recipe = read_recipe(run_directory / RECIPE, unchanged=True)
    warn_of_grants(run_directory / RECIPE, recipe)
    if "model" not in recipe:
        raise UsageError(f"'{run_directory / RECIPE}' does not say where the original is")
    kept = ("model", "input", "mean", "std", "entry", "raw-head")
    names = {key: "input_" if key == "input" else key.replace("-", "_") for key in kept}
    empty = {"input_": (), "mean": None, "std": None, "entry": None, "raw_head": False}
    kinds = {"input": list, "raw-head": bool}
    for key in names.keys() & recipe.keys():
        if not isinstance(recipe[key], kinds.get(key, str)):
            raise UsageError(f"'{run_directory / RECIPE}' sets '{key}' to what no flag takes")
    return empty | {names[key]: value for key, value in recipe.items() if key in names}
