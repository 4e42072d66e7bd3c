"""Records of the recovery benchmark → Markdown: one table a network, and paired differences."""

from __future__ import annotations

import statistics
from math import sqrt
from typing import Any

Record = dict[str, Any]
Cells = dict[str, list[list[Record]]]  # for each row the runs of each column

BASELINE = "reconstruct"  # paired differences are taken to this row


def tables(records: list[Record], rows: list[str], columns: list[str]) -> str:
    """All networks' tables."""
    networks = list(dict.fromkeys(record["network"] for record in records))
    return "\n\n".join(table(name, records, rows, columns) for name in networks)


def table(network: str, records: list[Record], rows: list[str], columns: list[str]) -> str:
    """One network's scores and differences with their caption."""
    mine = [r for r in records if r["network"] == network]
    dense = next((r for r in mine if r["column"] == "dense"), None)
    if dense is None:
        return f"### {network}\n\nnot measured"
    cells = {
        row: [[r for r in mine if (r["row"], r["column"]) == (row, c)] for c in columns]
        for row in rows
    }
    cells = {row: runs for row, runs in cells.items() if any(runs)}
    left = [macs_cell(mine, column) for column in columns]
    parts = [f"### {network}", caption(dense), "\n".join(scores(cells, columns, left))]
    if BASELINE in cells and dense["correct"]:
        parts.append("\n".join(differences(cells, columns)))
    return "\n\n".join(parts)


def scores(cells: Cells, columns: list[str], left: list[str]) -> list[str]:
    """Lines of the table of scores."""
    header = ["recovery", *(heading(column) for column in columns), "seconds"]
    body = [line([row, *map(score_cell, runs), seconds_cell(runs)]) for row, runs in cells.items()]
    return [line(header), "|" + "---|" * len(header), line(["MACs left", *left, ""]), *body]


def differences(cells: Cells, columns: list[str]) -> list[str]:
    """Lines of the table of paired differences."""
    header = [f"minus {BASELINE}", *(heading(column) for column in columns)]
    body = [
        line([row, *map(difference_cell, runs, cells[BASELINE])])
        for row, runs in cells.items()
        if row != BASELINE
    ]
    return [line(header), "|" + "---|" * len(header), *body]


def caption(dense: Record) -> str:
    """What the figures are."""
    split = ""
    if dense["split"]:
        split = " These are every other sample; the rest, without labels, feeds the oracle."
    return (
        f"{dense['metric']} in percent on {dense['images']} images, "
        f"{dense['score']:.1f} before pruning.{split} In brackets the standard error that so many "
        "images leave; ± is the standard deviation over seeds; differences are paired by image. "
        "– is a network that the method, or the budget, does not fit."
    )


def heading(column: str) -> str:
    """A column in words."""
    kind, _, percent = column.partition("-")
    return f"−{percent} % " + {
        "inner": "inner channels", "macs": "MACs", "line": "MACs by default",
    }[kind]  # fmt: skip


def macs_cell(records: list[Record], column: str) -> str:
    """Share of the multiply-accumulates that the column's network has left."""
    left = [r["macs"] for r in records if r["column"] == column and "macs" in r]
    return f"{left[0]:.0%}" if left else ""


def score_cell(runs: list[Record]) -> str:
    """Mean score, its spread over seeds, and its standard error."""
    if not runs:
        return ""
    if any("error" in run for run in runs):
        return "–"
    scores = [run["score"] for run in runs]
    text = f"{statistics.mean(scores):.1f}"
    if len(scores) > 1:
        text += f" ± {statistics.stdev(scores):.1f}"
    return text + (f" ({standard_error(runs[0]):.1f})" if runs[0]["correct"] else "")


def seconds_cell(cells: list[list[Record]]) -> str:
    """Median time of a recovery."""
    seconds = [run["seconds"] for cell in cells for run in cell if "seconds" in run]
    return f"{statistics.median(seconds):.1f}" if seconds else ""


def difference_cell(runs: list[Record], baseline: list[Record]) -> str:
    """Mean difference to the baseline and its standard error, both over the same images."""
    if not all(cell and cell[0].get("correct") for cell in (runs, baseline)):
        return ""
    pairs = zip(hit_rates(runs), hit_rates(baseline), strict=True)
    differences = [100 * (ours - theirs) for ours, theirs in pairs]
    error = statistics.stdev(differences) / sqrt(len(differences))
    return f"{statistics.mean(differences):+.1f} ({error:.1f})"


def hit_rates(runs: list[Record]) -> list[float]:
    """How often each image is classified as labelled, of all seeds."""
    columns = zip(*(run["correct"] for run in runs), strict=True)
    return [column.count("1") / len(runs) for column in columns]


def standard_error(record: Record) -> float:
    """Standard error of a share of independent images, in percent."""
    share = record["score"] / 100
    return 100 * sqrt(share * (1 - share) / record["images"])


def line(cells: list[str]) -> str:
    """One row, in Markdown."""
    return f"| {' | '.join(cells)} |"
