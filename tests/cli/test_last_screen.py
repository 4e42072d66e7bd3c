"""The last screen: thirty lines at most, accuracy first, and never good news that nobody knows."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import click
import page_examples
import pytest

from edgeprune.artifacts import OutputsKept
from edgeprune.cli.last_screen import LINES, last_screen
from edgeprune.report import document, summary

if TYPE_CHECKING:
    from pathlib import Path

LONG = "what is to be done, in words, and with which flag, as --seconds 90; " * 4
GREEN, RED = "\x1b[32m", "\x1b[1;31m"


def screen(report: document.ReportDocument, folder: Path) -> str:
    return last_screen(report, folder, 151.2)


def unmeasured(share: float | None) -> document.ReportDocument:
    outputs = None if share is None else OutputsKept(share, 128)
    found = replace(page_examples.compressed(), accuracy=None, agreement=None, outputs=outputs)
    return replace(found, unmeasured={"accuracy": "not measured: pass --eval DIR, or test it"})


@pytest.mark.parametrize("notes", [0, 1, 5, 60])
@pytest.mark.parametrize("columns", ["20", "80", "300"])
def test_it_fits_a_small_terminal_whatever_there_is_to_note(
    notes: int, columns: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    (tmp_path / "compressed.onnx").touch()
    report = replace(page_examples.compressed(), notes=(LONG,) * notes)
    text = click.unstyle(screen(report, tmp_path))
    assert len(text.splitlines()) <= LINES
    shown = sum(line.startswith("note ") for line in text.splitlines())
    assert (shown == notes) is ("more in report.html" not in text)
    assert shown == notes or f" {notes - shown} more in report.html" in text


def test_accuracy_comes_first_and_the_way_on_last(tmp_path: Path) -> None:
    (tmp_path / "compressed.onnx").touch()
    rows = click.unstyle(screen(page_examples.compressed(), tmp_path)).splitlines()
    assert rows[0].startswith("accuracy")
    assert "−5.8 points" in rows[0]
    names = [row.split()[0] for row in rows if not row.startswith(" ")]
    assert names[:5] == ["accuracy", "latency", "MACs", "file", "peak"]
    assert names[-5:] == ["checked", "deploy", "report", "next", "time"]


@pytest.mark.parametrize("share", [None, 0.3, 0.95])
def test_what_nobody_measured_is_said_with_the_flag_and_never_in_green(
    share: float | None, tmp_path: Path
) -> None:
    report = unmeasured(share)
    line = summary.accuracy(report)
    assert "--eval DIR" in line.text
    assert line.tone in ("note", "bad")
    assert screen(report, tmp_path).splitlines()[0].count(GREEN) == 0


@pytest.mark.parametrize(
    ("drop", "tone"),
    [(-0.01, "good"), (0.004, "good"), (0.02, "note"), (0.05, "bad"), (0.4, "bad")],
)
def test_a_loss_is_coloured_by_its_size(drop: float, tone: str) -> None:
    assert summary.tone_of_drop(drop) == tone


def test_outputs_that_are_mostly_lost_are_red(tmp_path: Path) -> None:
    assert RED in screen(unmeasured(0.2), tmp_path).splitlines()[0]


def test_a_run_without_a_file_is_told_to_export(tmp_path: Path) -> None:
    text = click.unstyle(screen(page_examples.compressed(), tmp_path))
    assert "edgeprune export" in text
    assert "deploy" not in text
