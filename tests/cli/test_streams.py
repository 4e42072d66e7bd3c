"""A stream that nobody reads, or that is full: messages may be lost, results may not."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from report_examples import full
from torch import nn

from edgeprune.report.files import save

if TYPE_CHECKING:
    from pathlib import Path

NEEDS_FULL = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full")  # noqa: PTH110


def ran(folder: Path, shell: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``edgeprune`` as a shell starts it, with its streams as the shell has them."""
    save(full(), folder / "report.json")
    line = f'"$0" -m edgeprune "$@" {shell}'
    command = ["bash", "-c", f"{line}; exit ${{PIPESTATUS[0]}}", sys.executable, *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


BROKEN = "2> >(exec true)"


@pytest.mark.parametrize("shell", ["2>&-", pytest.param("2>/dev/full", marks=NEEDS_FULL), BROKEN])
def test_messages_that_cannot_be_written_cost_nothing(shell: str, tmp_path: Path) -> None:
    wrong = ran(tmp_path, shell, "check", "report.json", "--fail-if", "macs.ratio > 0")
    assert wrong.returncode == 3  # and it said so, to nobody
    assert "FAILED" in wrong.stdout
    fine = ran(tmp_path, shell, "check", "report.json", "--fail-if", "macs.ratio > 2")
    assert fine.returncode == 0
    assert "passed" in fine.stdout


def test_a_run_that_nobody_hears_goes_on(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 16, 3), nn.ReLU(), nn.Conv2d(16, 8, 3))
    torch.save(network.eval(), tmp_path / "net.pt")
    arguments = ("prune", "net.pt", "--input", "1x3x8x8", "-o", "run")
    assert ran(tmp_path, BROKEN, *arguments).returncode == 0
    assert (tmp_path / "run" / "report.json").is_file()


@NEEDS_FULL
def test_results_that_cannot_be_written_are_an_error(tmp_path: Path) -> None:
    lost = ran(tmp_path, ">/dev/full", "check", "report.json")
    assert lost.returncode == 2
    assert lost.stderr.count("\n") == 1
    assert "No space left" in lost.stderr


@pytest.mark.parametrize(
    "arguments", [("check", "report.json"), ("doctor",), ("bench", "--help"), ("--version",)]
)
def test_a_pipe_that_closes_ends_quietly(arguments: tuple[str, ...], tmp_path: Path) -> None:
    ended = ran(tmp_path, "| exec true", *arguments)
    assert ended.returncode in (141, 0)  # 0: it was through before the pipe closed
    assert "bug" not in ended.stderr
    assert "Traceback" not in ended.stderr


def test_inspect_into_a_closed_pipe_ends_quietly(tmp_path: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 16, 3), nn.Conv2d(16, 8, 3)).eval(), tmp_path / "net.pt")
    ended = ran(tmp_path, "| exec true", "inspect", "net.pt", "--input", "1x3x8x8", "-q")
    assert (ended.returncode, ended.stderr) == (141, "")
