"""``edgeprune check``: gates on a report that is already there. Runs nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from edgeprune.cli.console import common_options, warn
from edgeprune.cli.rendering import (
    baseline_option,
    json_option,
    with_baseline,
    write,
    write_json,
    write_option,
)
from edgeprune.errors import GateFailed
from edgeprune.report import gates, rows
from edgeprune.report.files import complaint, decode

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from edgeprune.cli.rendering import Earlier
    from edgeprune.report.document import Gate, ReportDocument


def fail_if_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command ``--fail-if``, as the argument ``fail_if``: a tuple of valid expressions."""
    return click.option(
        "--fail-if",
        multiple=True,
        callback=_readable,
        metavar="EXPR",
        help="End with exit code 3 if this is true of the report, like "
        "'latency.ratio.high > 0.8' or 'accuracy.drop > 1%'. Repeatable.",
    )(command)


def _readable(
    _context: click.Context, _option: click.Parameter, expressions: tuple[str, ...]
) -> tuple[str, ...]:
    """Refuse an expression that cannot be read before anything runs."""
    for expression in expressions:
        gates.parse(expression)
    return expressions


def raise_if_failed(judged: Sequence[Gate]) -> None:
    """End a command with exit code 3 when a gate failed.

    Raises:
        GateFailed: Names the gates that did.
    """
    failed = [gate.expression for gate in judged if not gate.passed]
    if failed:
        gates_failed = f"{len(failed)} of {len(judged)} gates failed"
        raise GateFailed(f"{gates_failed}: {'; '.join(failed)}")


@click.command("check")
@click.argument("report", type=click.Path(path_type=Path))
@fail_if_option
@baseline_option
@write_option
@json_option("the verdicts")
@common_options
def command(
    report: Path,
    fail_if: tuple[str, ...],
    baseline: Earlier | None,
    **output: Any,
) -> None:
    """Test a report against thresholds; exit 3 if one is exceeded.

    REPORT is a report.json or a run directory. Without --fail-if, the verdicts that the report
    itself records are repeated.
    """
    document = with_baseline(decode(report), baseline)
    if changed := complaint(report):
        warn(changed)
    judged = gates.judge(document, fail_if) if fail_if else document
    printed = write_json(_as_json(report, judged), output["json_"])
    if not write(judged, output["write"]) and not printed:
        click.echo(_as_text(report, judged))
    raise_if_failed(judged.gates)


def _as_json(path: Path, report: ReportDocument) -> str:
    found = [
        {"expression": g.expression, "value": g.value, "passed": g.passed, "values": g.values}
        for g in report.gates
    ]
    passed = all(gate.passed for gate in report.gates)
    return json.dumps({"report": str(path), "passed": passed, "gates": found}, indent=2)


def _as_text(path: Path, report: ReportDocument) -> str:
    lines = [f"baseline  {name}: {value}" for name, value in rows.against_baseline(report)]
    if not report.gates:
        lines.append(f"{path} is a valid report; it has no gates")
    return "\n".join((*lines, *map(_line, report.gates)))


def _line(gate: Gate) -> str:
    verdict = click.style("passed", fg="green") if gate.passed else click.style("FAILED", fg="red")
    values = ", ".join(f"{path} = {value:.6g}" for path, value in gate.values.items())
    return f"{verdict}  {gate.expression}    ({values})"
