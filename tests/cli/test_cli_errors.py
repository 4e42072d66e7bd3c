import importlib.util
import os
import subprocess
import sys
import types
from pathlib import Path

import click
import pytest
from report_examples import full

from edgeprune import cli, errors
from edgeprune.cli import console
from edgeprune.report.files import save

KINDS: list[type[errors.EdgepruneError]] = [
    errors.EdgepruneError,
    *errors.EdgepruneError.__subclasses__(),
]


@pytest.fixture
def to_raise(monkeypatch: pytest.MonkeyPatch) -> list[BaseException]:
    """The command ``raising`` raises what a test puts into this list."""
    to_raise: list[BaseException] = []
    module = types.ModuleType("made_up")

    @click.command("raising")
    @console.common_options
    def command() -> None:
        click.echo(f"{console.settings().verbose} {console.settings().quiet}")
        if to_raise:
            raise to_raise[0]

    module.command = command  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "made_up", module)
    monkeypatch.setitem(cli.COMMANDS, "raising", ("made_up:command", "Raises."))
    return to_raise


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_error_has_its_exit_code(
    kind: type[errors.EdgepruneError],
    to_raise: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    to_raise.append(kind("layer 'conv1' did it; try --keep"))
    assert cli.main(["raising"]) == kind.exit_code
    assert capsys.readouterr().err == "error: layer 'conv1' did it; try --keep\n"


def test_exit_codes_are_those_of_the_contract() -> None:
    assert sorted({kind.exit_code for kind in KINDS}) == [1, 2, 3, 4, 5, 6, 7, 8]


@pytest.mark.parametrize("flags", [["-v", "raising"], ["raising", "-v"], ["raising", "--verbose"]])
def test_only_verbose_shows_a_traceback(
    flags: list[str], to_raise: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    to_raise.append(errors.DeviceFailed("no device"))
    to_raise[0].__cause__ = OSError("the cable")
    assert cli.main(["raising"]) == 8
    assert "Traceback" not in capsys.readouterr().err
    assert cli.main(flags) == 8
    err = capsys.readouterr().err
    assert "Traceback" in err
    assert "the cable" in err


def test_a_bug_ends_with_1_and_asks_for_the_log(
    to_raise: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    to_raise.append(ZeroDivisionError("division\nby zero"))
    assert cli.main(["raising"]) == 1
    err = capsys.readouterr().err
    assert err.startswith("error: ZeroDivisionError: division by zero\n")
    assert "-v" in err
    assert err.count("\n") == 2


@pytest.mark.parametrize("how", [KeyboardInterrupt(), click.Abort()])
def test_an_interrupt_ends_with_130(
    how: BaseException, to_raise: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    to_raise.append(how)
    assert cli.main(["raising"]) == 130
    assert "interrupted; " in capsys.readouterr().err


def test_the_end_of_a_file_is_no_interrupt(to_raise: list[BaseException]) -> None:
    to_raise.append(EOFError("ran out of input"))
    assert cli.main(["raising"]) == 1


def test_a_missing_package_points_to_the_doctor(
    to_raise: list[BaseException], capsys: pytest.CaptureFixture[str]
) -> None:
    to_raise.append(ModuleNotFoundError("No module named 'torch'", name="torch"))
    assert cli.main(["raising"]) == 8
    assert "edgeprune doctor" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raising", "--wrong"], "--wrong"),
        (["--wrong"], "--wrong"),
        (["chekc", "x"], "did you mean 'check'"),
        (["zzz"], "compress, inspect"),
        (["raising", "surplus"], "surplus"),
    ],
)
def test_wrong_usage_ends_with_2(
    arguments: list[str],
    message: str,
    to_raise: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert to_raise == []
    assert cli.main(arguments) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "seen"),
    [
        (["raising"], "False False"),
        (["-v", "raising", "-q"], "True True"),
        (["-q", "raising"], "False True"),
        (["raising", "-v"], "True False"),
    ],
)
def test_loudness_may_stand_before_and_after_the_command(
    arguments: list[str],
    seen: str,
    to_raise: list[BaseException],
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert to_raise == []
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.strip() == seen


@pytest.mark.parametrize("arguments", [["--version"], ["check", "--version"]])
def test_version_is_known_everywhere(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(arguments) == 0
    assert capsys.readouterr().out.startswith("edgeprune ")


def test_every_command_of_the_table_is_told_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--help"]) == 0
    message = " ".join(capsys.readouterr().out.split())
    for name, (_, line) in cli.COMMANDS.items():
        assert f"{name} {line}" in message


LIGHT = [["--help"], ["--version"], ["check", "--help"], ["bench", "--help"], ["doctor", "--help"]]


@pytest.mark.parametrize("arguments", [*LIGHT, ["check", "REPORT"], ["doctor", "--json", "-"]])
def test_light_commands_import_no_torch(arguments: list[str], tmp_path: Path) -> None:
    save(full(), tmp_path / "report.json")
    typed = [str(tmp_path) if argument == "REPORT" else argument for argument in arguments]
    program = (
        "import sys; from edgeprune.cli import main; main(sys.argv[1:]); "
        "print(*sorted(m for m in sys.modules if '.' not in m), file=sys.stderr)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *typed], capture_output=True, text=True, check=True
    )
    loaded = set(ran.stderr.splitlines()[-1].split())
    assert "click" in loaded
    assert not loaded & {"torch", "torchvision", "torch_pruning", "onnx"}
    if arguments == ["--help"]:
        assert not loaded & {"numpy", "rich", "msgspec", "onnxruntime"}


@pytest.mark.skipif(os.name != "posix", reason="pipes close in another way there")
def test_a_reader_that_leaves_ends_the_program_quietly(tmp_path: Path) -> None:
    save(full(), tmp_path / "report.json")
    reading, writing = os.pipe()
    os.close(reading)
    ran = subprocess.run(
        [sys.executable, "-m", "edgeprune", "check", str(tmp_path)],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert ran.stderr == b""
    assert ran.returncode == 141


def test_progress_is_a_line_a_stage_where_nobody_watches(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with console.progress_bar(quiet=False) as stages:
        for stage in ("trace", "prune"):
            progress = stages(stage)
            progress(0.5, "half way")
    out, err = capsys.readouterr()
    assert out == ""
    assert [line.split()[-1] for line in err.splitlines()] == ["trace", "prune"]


def test_quiet_shows_no_progress(capsys: pytest.CaptureFixture[str]) -> None:
    with console.progress_bar(quiet=True) as stages:
        stages("trace")(1.0, "done")
    assert capsys.readouterr().err == ""


def test_bars_show_brackets_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    with console._bars() as stages:
        stages("trace")(0.5, "[/] layer[0]")
        stages("prune")(1.0, "[red]")
    assert "prune" in capsys.readouterr().err


def test_commands_that_exist_are_click_commands() -> None:
    group = cli.cli
    assert isinstance(group, cli.LazyGroup)
    for name in ("bench", "check", "doctor"):
        assert importlib.util.find_spec(f"edgeprune.cli.{name}") is not None
        assert isinstance(group.get_command(click.Context(group), name), click.Command)
