"""A report as a notebook shows it: the five rows, and what was checked."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING

from edgeprune.report import rows, summary

if TYPE_CHECKING:
    from edgeprune.report.document import ReportDocument

COLOURS = {"good": "#10703f", "note": "#a06500", "bad": "#b3261e", "plain": "inherit"}
"""Colours that can be read on light and on dark notebooks."""


def as_notebook(report: ReportDocument) -> str:
    """A small table in HTML, every text escaped."""
    found = "".join(
        f'<tr><th style="text-align:left">{html.escape(line.name)}</th>'
        f'<td style="text-align:left">{html.escape(line.text)}</td>'
        f'<td style="color:{COLOURS[line.tone]}">{html.escape(line.change)}</td></tr>'
        for line in summary.lines(report)
    )
    checked = html.escape(" · ".join(check.text for check in summary.checks(report)))
    title = html.escape(rows.title(report))
    return f"<table><caption>{title}</caption>{found}</table><p>{checked}</p>"
