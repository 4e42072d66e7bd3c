"""``edgeprune compress``: all stages, from a model file to a verified and measured ONNX file."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from edgeprune import distributed
from edgeprune.cli import budgets, options, quantizing
from edgeprune.cli.check import raise_if_failed
from edgeprune.cli.console import common_options, progress_bar, say, settings, typed_command
from edgeprune.cli.help import PanelCommand, examples
from edgeprune.cli.last_screen import last_screen
from edgeprune.cli.rendering import write_json
from edgeprune.cli.resuming import state_of
from edgeprune.cli.run_directory import (
    destination,
    new_run,
    recipe_option,
    require_free,
    write_recipe,
)
from edgeprune.errors import DeviceFailed
from edgeprune.printable import printable
from edgeprune.report import formats

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import PruningPlan, SourceModel
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.report.document import Budget, ReportDocument


@click.command(
    "compress",
    cls=PanelCommand,
    epilog=examples(
        "edgeprune compress model.pt --target onnx",
        "edgeprune compress model.pt --macs 70% --images photos/ --eval labelled/",
        "edgeprune compress weights.pt --arch torchvision:resnet18 --arch-arg num_classes=10",
        "edgeprune compress model.pt --precision int8 --device ssh://pi@board",
        "edgeprune compress model.pt --fail-if 'accuracy.drop > 1%' -o runs/mine",
    ),
)
@options.model_argument
@options.flags(
    options.LOADING,
    budgets.COUNTED,
    budgets.MEASURED,
    options.PRUNING,
    options.KEEP,
    options.recovery("auto"),
    options.EXPORT,
    quantizing.PRECISION,
    quantizing.QUANTIZATION,
    options.MEASURING,
    options.JUDGING,
    options.OUTPUT,
    recipe_option,
    click.option(
        "--dry-run",
        is_flag=True,
        help="Show the plan, and what would be quantized how; write nothing.",
    ),
)
@common_options
def command(**given: Any) -> None:
    """Compress MODEL and verify, measure and report the result.

    MODEL is a .pt or .pth file with a whole network, a .pt, .pth or .safetensors file of weights
    (with --arch), or a run directory.

    Recovery that takes long keeps its state in DIR.partial until the run has succeeded. Started by
    `torchrun --nproc-per-node N -m edgeprune compress ...`, N processes recover together.
    """
    require_free(given, given["output"])
    config = options.config(given)
    source = options.source(given)
    if given["dry_run"]:
        preview(source, config, given)
    else:
        finish(run(source, config, given), given)


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that was written, and its report."""

    directory: Path
    report: ReportDocument


def run(source: SourceModel, config: CompressConfig, given: options.Flags) -> Finished:
    """Compress into a new run directory, and print its path.

    With several processes, only the first one writes; the others take part in recovery.
    """
    from edgeprune.pipeline.compress import compress

    target = destination(given, source.name)
    if not distributed.first():
        config = replace(config, workspace=state_of(target))
        return Finished(target, compress(source, None, config).document)
    with new_run(given, target) as new:
        config = replace(config, workspace=new.state)
        with progress_bar() as stages:
            report = compress(
                source, None, config, directory=new.folder, stages=stages, command=typed_command()
            )
        write_recipe(given, source, new.folder)
        for sheet in sorted(new.folder.glob("images*.png")):
            say(f"{sheet.name} shows images synthesized from the original")
    say(f"wrote {new.directory}")
    return Finished(new.directory, report.document)


def finish(ended: Finished, given: options.Flags) -> None:
    """Print the report, then raise if measuring or a gate has failed.

    Raises:
        DeviceFailed: Measuring failed after all else was done.
        GateFailed: A gate failed.
    """
    report = ended.report
    if not write_json(formats.as_json(report), given["json_"]):
        seconds = settings().elapsed
        full = formats.as_table(report) if given["full"] else ""
        click.echo(full + last_screen(report, ended.directory, seconds), nl=False)
    raise_if_unmeasured(report, ended.directory)
    raise_if_failed(report.gates)


def raise_if_unmeasured(report: ReportDocument, directory: Path) -> None:
    """End with exit code 8 where measuring failed, and say what there is all the same.

    Raises:
        DeviceFailed: Names the command that makes up for it.
    """
    for stage in report.stages:
        if stage.status == "failed":
            raise DeviceFailed(
                f"{stage.name} failed: {stage.detail}\n'{directory}' is whole but for its "
                f"measurement, which `edgeprune bench {shlex.quote(str(directory))}` makes"
            )


def preview(source: SourceModel, config: CompressConfig, given: options.Flags) -> None:
    """Print the plan of pruning, and what would be quantized how; refuse what the run would."""
    from edgeprune.pipeline.compress import opened, survey
    from edgeprune.pipeline.precision_preview import foreseen
    from edgeprune.pipeline.pruning_stage import planned
    from edgeprune.pipeline.stage_log import StageLog

    opened(source, config)
    with progress_bar() as stages:
        log = StageLog(stages)
        plan, budget = planned(survey(source, config.keep, log), source, config, log)
        int8 = foreseen(source, config)
    if not write_json(_plan_as_json(plan, budget, int8), given["json_"]):
        click.echo(_plan_as_table(plan, budget, int8))


def _plan_as_json(plan: PruningPlan, budget: Budget, int8: dict[str, str]) -> str:
    groups = [
        {"group": entry.group, "width": entry.width, "kept": entry.kept} for entry in plan.groups
    ]
    return json.dumps({"budget": asdict(budget), "groups": groups, "int8": int8 or None}, indent=1)


def _plan_as_table(plan: PruningPlan, budget: Budget, int8: dict[str, str]) -> str:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from edgeprune.report import sentences

    said = sentences.missed(budget) or sentences.budget(budget)
    table = Table("channel group", "channels", "kept", title=said)
    for entry in plan.groups:
        table.add_row(Text(printable(entry.group)), str(entry.width), str(len(entry.kept)))
    console = Console()
    with console.capture() as captured:
        console.print(table)
    rows = (f"{name:12}{printable(text)}" for name, text in int8.items())
    return "\n".join((captured.get().rstrip("\n"), *rows))
