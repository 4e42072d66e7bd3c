"""``edgeprune inspect``: prunable and locked channel groups, and costs by layer."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from edgeprune import units
from edgeprune.cli import options
from edgeprune.cli.console import common_options, progress_bar, say
from edgeprune.cli.rendering import json_option, write_json
from edgeprune.printable import printable
from edgeprune.report import sentences
from edgeprune.report.coverage import coverage

if TYPE_CHECKING:
    from edgeprune.artifacts import Sensitivity, TracedModel
    from edgeprune.costs import Costs
    from edgeprune.report.document import Coverage


NOT_MEASURED = (
    "sensitivity is not measured: the network has no BatchNorm that brings images without data to "
    "their level, takes one input at a time, or is too large"
)


@click.command("inspect")
@options.model_argument
@options.flags(
    options.LOADING,
    options.KEEP,
    click.option("--unit", default="auto", show_default=True, metavar="auto|N",
                 help="Remaining widths are multiples of it."),
    click.option("--sensitivity", is_flag=True,
                 help="Measure what the network loses with channels of each group."),
    json_option("what is shown"),
)  # fmt: skip
@common_options
def command(**given: Any) -> None:
    """Show MODEL's channel groups, costs by layer, and the budgets that can be reached.

    Surgery is tried on a copy: groups that fail verification are listed as locked. Nothing is
    written.
    """
    from edgeprune.pipeline.compress import survey
    from edgeprune.pipeline.stage_log import StageLog
    from edgeprune.pruning import Contenders, Watched, reachable, sensitivity_of

    allocation = options.allocation({**given, "scope": "local"})
    source = options.source(given)
    with progress_bar() as stages:
        traced, costs = survey(source, tuple(given["keep"]), StageLog(stages))
        found = None
        if given["sensitivity"]:
            watched = Watched(progress=stages("sensitivity"))
            found = sensitivity_of(
                traced, costs, watched=watched, allocation=allocation, criterion=Contenders()
            )
    for note in traced.source.notes[len(source.notes) :]:
        say(note)
    least = reachable(traced, costs, allocation) if traced.prunable else {}
    if given["sensitivity"] and found is None:
        say(NOT_MEASURED)
    facts = _as_dict(traced, costs, least) | {"sensitivity": found and asdict(found)}
    if not write_json(json.dumps(facts, indent=1), given["json_"]):
        _print(traced, costs, least)
        if found is not None:
            _print_curves(found)


def _print_curves(found: Sensitivity) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    title = f"What the network misses, on {found.images} images {found.origin}"
    table = Table("channel group", "ranked by", "channels that stay: error", title=title)
    for curve in found.curves:
        points = zip(curve.widths[1:], curve.errors[1:], strict=True)
        cells = "   ".join(f"{width}: {error:.1%}" for width, error in points)
        table.add_row(escape(printable(curve.group)), escape(printable(curve.criterion)), cells)
    console = Console()
    with console.capture() as captured:
        console.print(table)
    click.echo(captured.get(), nl=False)


def _as_dict(traced: TracedModel, costs: Costs, least: dict[str, float]) -> dict[str, Any]:
    """The findings as plain data, with units in the keys."""
    covered = coverage(traced, costs)
    shares = _shares(covered)
    return {
        "model": {"name": traced.source.name, "sha256": traced.source.sha256,
                  "input": traced.source.input.shapes},
        "macs": costs.macs,
        "params": costs.params,
        "unused_params": costs.unused_params,
        "peak_activation_bytes": costs.peak_activation_bytes,
        "recorded_graph": traced.written is not None,
        "prunable_macs_share": covered.prunable_macs_share,
        "fixed_width_macs_share": covered.fixed_width_macs_share,
        "reachable": least,
        "groups": [
            {"name": group.name, "width": group.width, "blocks": group.partitions,
             "macs_share": shares[group.name], "locked_because": group.locked_because,
             "layers": sorted({member.layer for member in group.members})}
            for group in traced.groups
        ],
        "layers": [
            {"name": layer.name, "macs": layer.macs, "params": layer.params,
             "activation_bytes": layer.activation_bytes, "output_shape": layer.output_shape}
            for layer in costs.layers
        ],
    }  # fmt: skip


def _shares(covered: Coverage) -> dict[str, float]:
    """The share of MACs that goes with each group, or stays in the layers of a locked one."""
    free = {group.name: group.macs_share for group in covered.groups}
    return free | {locked.layer: locked.macs_share for locked in covered.locked}


def _print(traced: TracedModel, costs: Costs, least: dict[str, float]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    console = Console()
    layers = Table("layer", "MACs", "params", "activations", "output", title="Cost by layer")
    for layer in costs.layers:
        layers.add_row(
            escape(printable(layer.name)),
            units.count(layer.macs),
            f"{layer.params:,}",
            units.size(layer.activation_bytes),
            units.dimensions(layer.output_shape),
        )
    covered = coverage(traced, costs)
    shares = _shares(covered)
    groups = Table("channel group", "channels", "layers", "MACs", "state", title="Channel groups")
    for group in traced.groups:
        reason = group.locked_because
        state = "prunable" if reason is None else f"locked: {escape(printable(reason))}"
        shared = len({member.layer for member in group.members})
        macs = units.percent(shares[group.name])
        groups.add_row(escape(printable(group.name)), str(group.width), str(shared), macs, state)
    with console.capture() as captured:  # written by click, which ends quietly where a pipe closes
        console.print(layers, groups)
    click.echo(captured.get(), nl=False)
    unused = f", {costs.unused_params:,} more never used" if costs.unused_params else ""
    click.echo(
        f"{units.count(costs.macs)} MACs, {costs.params:,} parameters{unused}, peak activations "
        f"{units.size(costs.peak_activation_bytes)}; {sentences.coverage(covered)}"
    )
    for kind, share in least.items():
        click.echo(f"--{kind} can go down to {units.percent(share)}")
