"""What is said while a command runs: progress in logs, colours, mistyped names, completion."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from contextlib import redirect_stderr
from typing import TYPE_CHECKING, Any

import click
import pytest
from click.shell_completion import ShellComplete
from fake_clock import FakeClock
from invocation import edgeprune

from edgeprune import choice_names
from edgeprune.calibration.observers import OBSERVERS
from edgeprune.cli import cli
from edgeprune.cli.compress import command
from edgeprune.cli.console import colours, progress_bar
from edgeprune.export import TARGETS
from edgeprune.export.roundings import ROUNDINGS
from edgeprune.images.sources import SOURCES
from edgeprune.pruning import CRITERIA, SCOPES
from edgeprune.recovery import METHODS

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


@pytest.mark.parametrize(
    ("names", "table"),
    [
        (choice_names.RECOVERY_METHODS, METHODS),
        (choice_names.CRITERIA, CRITERIA),
        (choice_names.SCOPES, SCOPES),
        (choice_names.IMAGE_SOURCES, SOURCES),
        (choice_names.TARGETS, TARGETS),
        (choice_names.RANGE_OBSERVERS, OBSERVERS),
        (choice_names.WEIGHT_ROUNDINGS, ROUNDINGS),
    ],
)
def test_names_are_those_of_the_tables(names: tuple[str, ...], table: Iterable[str]) -> None:
    assert names == tuple(table)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nothing.pt"], "there is no file or directory 'nothing.pt': did you mean 'nothings.pt'?"),
        (["nothings.pt", "--target", "onx"], "did you mean 'onnx'"),
        (["nothings.pt", "--recover", "analytic,lbly"], "did you mean 'lbyl'"),
        (["nothings.pt", "--scope", "globl"], "did you mean 'global'"),
        (["nothings.pt", "--importance", "l3"], "there are l1, l2"),
        (["nothings.pt", "--runtime", "onnxrutnime"], "did you mean 'onnxruntime'"),
    ],
)
def test_typing_mistakes_are_told_before_torch_is_loaded(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    (tmp_path / "nothings.pt").touch()
    program = (
        "import sys; from edgeprune.cli import main; code = main(sys.argv[1:]); "
        "sys.exit(99 if 'torch' in sys.modules else code)"
    )
    call = [sys.executable, "-c", program, "compress", *arguments]
    ran = subprocess.run(call, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert ran.returncode == 2
    assert ran.stderr.count("\n") == 1
    assert said in ran.stderr


def test_a_log_tells_every_half_minute_how_far_a_stage_is_and_how_long_it_takes() -> None:
    clock, log = FakeClock(), io.StringIO()
    with redirect_stderr(log), progress_bar(quiet=False, clock=clock) as stages:
        progress = stages("recover")
        for second in range(1, 101):
            clock.now += 1
            progress(second / 200, f"step {second}")
    lines = log.getvalue().splitlines()
    assert len(lines) == 1 + 100 // 30
    assert lines[1] == "[   30.0 s] recover 15%, 2 min 50 s left: step 30"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({}, None),
        ({"NO_COLOR": "1"}, False),
        ({"FORCE_COLOR": "1"}, True),
        ({"NO_COLOR": "1", "FORCE_COLOR": "1"}, False),
        ({"NO_COLOR": ""}, None),
    ],
)
def test_colours_are_as_the_environment_says(
    environment: dict[str, str], expected: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert colours() is expected
    assert ("\x1b[" in edgeprune("check", "nowhere.json").err) is (expected is True)


@pytest.mark.parametrize(
    ("typed", "begun", "offered"),
    [
        (["compress", "--recover"], "none,re", ["none,reconstruct"]),
        (["compress", "--scope"], "", ["local", "global", "marginal", "sensitivity"]),
        (["bench", "--runtime"], "onn", ["onnxruntime"]),
        (["bench", "--device"], "qe", ["qemu-arm64"]),
        (["compress", "--precision"], "i", ["int8", "int4"]),
        (["comp"], "comp", ["compress"]),
    ],
)
def test_shells_complete_values(typed: list[str], begun: str, offered: list[str]) -> None:
    given = typed[:-1] if typed[-1] == begun else typed
    shell = ShellComplete(cli, {}, "edgeprune", "_EDGEPRUNE_COMPLETE")
    assert [item.value for item in shell.get_completions(given, begun)] == offered


def test_a_shell_that_asks_gets_an_answer_and_no_bug() -> None:
    asked = {**os.environ, "_EDGEPRUNE_COMPLETE": "bash_source"}
    call = [sys.executable, "-m", "edgeprune"]
    ran = subprocess.run(call, capture_output=True, text=True, check=False, env=asked)
    assert (ran.returncode, ran.stderr) == (0, "")
    assert "complete" in ran.stdout


def test_every_flag_of_a_long_command_stands_in_one_panel() -> None:
    panels: dict[str, Any] = dict(command.panels(click.Context(command)))
    shown = [each.name for flags in panels.values() for each in flags]
    assert len(shown) == len(set(shown))
    assert {each.name for each in command.params} - {"model"} <= set(shown)
    assert len(panels["Others"]) <= 6, "give a new flag its panel in cli/help.py"
