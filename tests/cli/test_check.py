import json
from pathlib import Path

import page_examples
import pytest
from report_examples import full, unmeasured

from edgeprune.cli import main
from edgeprune.report import gates
from edgeprune.report.files import decode, save
from edgeprune.report.formats import FORMATS


@pytest.fixture
def report(tmp_path: Path) -> str:
    save(full(), tmp_path / "report.json")
    return str(tmp_path / "report.json")


def test_gates_that_hold_end_with_0(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", report, "--fail-if", "latency.ratio.high > 0.8"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("passed  latency.ratio.high > 0.8")
    assert "ratio.latency.high = 0.54" in out
    assert err == ""


def test_one_gate_that_fails_ends_with_3(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--fail-if", "latency.ratio.high > 0.8", "--fail-if", "accuracy.drop > 1%"]
    assert main(["check", report, *flags]) == 3
    out, err = capsys.readouterr()
    assert "FAILED  accuracy.drop > 1%" in out
    assert err == "error: 1 of 2 gates failed: accuracy.drop > 1%\n"


@pytest.mark.parametrize(
    "expression", ["accuracy.dorp > 1%", "latency.ratio.high >", "macs > 1s", "model.name > 1"]
)
def test_a_gate_that_means_nothing_ends_with_2(
    expression: str, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", report, "--fail-if", expression]) == 2
    assert expression in capsys.readouterr().err


def test_a_gate_on_what_was_not_measured_ends_with_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save(unmeasured(), tmp_path / "report.json")
    assert main(["check", str(tmp_path), "--fail-if", "accuracy.drop > 1%"]) == 2
    assert "--eval" in capsys.readouterr().err


@pytest.mark.parametrize("content", ["{", "{}", '{"schema_version": 9}', ""])
def test_what_is_not_a_report_ends_with_2(
    content: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "report.json").write_text(content)
    assert main(["check", str(tmp_path)]) == 2
    assert str(tmp_path / "report.json") in capsys.readouterr().err


def test_no_report_ends_with_2(tmp_path: Path) -> None:
    assert main(["check", str(tmp_path / "nowhere.json")]) == 2
    assert main(["check"]) == 2


@pytest.mark.parametrize(("expression", "code"), [("ratio.macs > 0.9", 0), ("ratio.macs > 0.1", 3)])
def test_without_gates_those_of_the_report_count(
    expression: str, code: int, tmp_path: Path
) -> None:
    save(gates.judge(full(), [expression]), tmp_path / "report.json")
    assert main(["check", str(tmp_path)]) == code


def test_a_report_without_gates_is_valid(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", report]) == 0
    assert "valid report" in capsys.readouterr().out


def test_json_says_the_same(report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", report, "--json", "-", "--fail-if", "ratio.macs > 0.1"]) == 3
    printed = json.loads(capsys.readouterr().out)
    assert printed["passed"] is False
    assert printed["gates"] == [
        {
            "expression": "ratio.macs > 0.1",
            "value": 0.5,
            "passed": False,
            "values": {"ratio.macs": 0.5},
        }
    ]


def test_the_report_is_written_as_often_as_asked(
    report: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    gate = ["--fail-if", "ratio.macs > 0.1"]
    wanted = {name: tmp_path / f"{name}.out" for name in FORMATS}
    writes = [part for name, path in wanted.items() for part in ("--write", name, str(path))]
    assert main(["check", report, *gate, *writes]) == 3
    gated = gates.judge(decode(Path(report)), gate[1:])
    assert decode(wanted["json"]) == gated
    for name in ("markdown", "junit", "pytest-benchmark"):
        assert wanted[name].read_text() == FORMATS[name](gated)
    assert "\x1b" not in wanted["table"].read_text()
    assert capsys.readouterr().out.startswith("FAILED")


def test_what_goes_to_standard_output_goes_there_alone(
    report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["check", report, "--write", "markdown", "-"]) == 0
    assert capsys.readouterr().out == FORMATS["markdown"](decode(Path(report)))


@pytest.mark.parametrize(
    "flags",
    [["--write", "parchment", "x"], ["--write", "html"], ["--baseline", "nowhere.json"]],
)
def test_what_cannot_be_written_or_read_ends_with_2(flags: list[str], report: str) -> None:
    assert main(["check", report, *flags]) == 2


def test_a_baseline_is_told_and_judged(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, example in (("now", page_examples.compressed()), ("then", page_examples.alone())):
        (tmp_path / name).mkdir()
        save(example, tmp_path / name / "report.json")
    compare = ["check", str(tmp_path / "now"), "--baseline", str(tmp_path / "then")]
    assert main([*compare, "--fail-if", "baseline.latency.low > 1"]) == 0
    assert main([*compare, "--fail-if", "baseline.macs < 0.7"]) == 3
    assert "baseline  MACs: 0.60×" in capsys.readouterr().out
    assert main(["check", str(tmp_path / "now"), "--fail-if", "baseline.macs < 0.7"]) == 2
    assert "--baseline" in capsys.readouterr().err
