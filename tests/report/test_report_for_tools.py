"""Reports for other tools, read by those tools."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import junitparser
import numpy as np
import page_examples
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pytest_benchmark.logger import Logger
from pytest_benchmark.stats import Stats
from pytest_benchmark.storage.file import FileStorage

from edgeprune.errors import UsageError
from edgeprune.report import formats
from edgeprune.report.document import Gate

if TYPE_CHECKING:
    from pathlib import Path

REPORT = page_examples.compressed()


def test_a_gate_is_a_test_case() -> None:
    (suite,) = junitparser.JUnitXml.fromstring(formats.FORMATS["junit"](REPORT).encode())
    assert (suite.name, suite.tests, suite.failures, suite.errors) == ("resnet compressed", 2, 1, 0)
    assert [case.name for case in suite] == [gate.expression for gate in REPORT.gates]
    assert [case.is_passed for case in suite] == [gate.passed for gate in REPORT.gates]
    (failure,) = [result for case in suite for result in case.result]
    assert failure.message == "true of this report: accuracy.drop = 0.058"
    assert {one.name: one.value for one in suite.properties()}["cpu"] == "Abacus 9000"
    assert suite.timestamp == "2026-01-02T03:04:05"


@settings(deadline=None, max_examples=50)  # a busy machine is slow
@given(st.text())
def test_any_text_is_valid_xml(text: str) -> None:
    gate = Gate(text, 1.0, False, {"macs": 1.0})
    environment = {"cpu": text}
    written = formats.FORMATS["junit"](replace(REPORT, gates=(gate,), environment=environment))
    case = ElementTree.fromstring(written.encode()).find("testsuite/testcase")
    assert case is not None
    assert len(case.attrib["name"]) == len(text)


def test_a_report_without_gates_has_no_test_cases() -> None:
    written = formats.FORMATS["junit"](replace(REPORT, gates=())).encode()
    (suite,) = junitparser.JUnitXml.fromstring(written)
    assert suite.tests == 0


def test_pytest_benchmark_compares_the_models(tmp_path: Path) -> None:
    file = tmp_path / "Linux" / "0001_edgeprune.json"
    file.parent.mkdir()
    file.write_text(formats.FORMATS["pytest-benchmark"](REPORT), encoding="utf-8")
    ((path, content),) = FileStorage(str(tmp_path), Logger()).load()
    assert (path.name, len(content["benchmarks"])) == (file.name, 2)
    command = [sys.executable, "-m", "pytest_benchmark", "--storage", str(tmp_path), "compare"]
    shown = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert {"original", "compressed"} <= set(shown.stdout.split())


@pytest.mark.parametrize("role", ["original", "compressed"])
def test_statistics_are_those_of_pytest_benchmark(role: str) -> None:
    latency = getattr(REPORT, role).latency_s
    oracle = Stats()
    for sample in latency.samples:
        oracle.update(sample)
    benchmarks = json.loads(formats.FORMATS["pytest-benchmark"](REPORT))["benchmarks"]
    (ours,) = (one for one in benchmarks if one["name"] == role)
    assert ours["fullname"] == f"resnet::{role}"
    assert ours["stats"].keys() == {*oracle.as_dict(), "iterations"} - {"data"}
    for name in ("min", "max", "mean", "stddev", "rounds", "median", "ops", "total"):
        assert ours["stats"][name] == pytest.approx(getattr(oracle, name))
    assert ours["stats"]["q1"] == pytest.approx(np.quantile(latency.samples, 0.25))
    assert ours["stats"]["iqr"] == pytest.approx(
        np.subtract(*np.quantile(latency.samples, (0.75, 0.25)))
    )


def test_a_report_without_latencies_has_no_benchmarks() -> None:
    alone = page_examples.alone()
    unmeasured = replace(alone, original=replace(alone.original, latency_s=None))
    with pytest.raises(UsageError, match="no latencies"):
        formats.FORMATS["pytest-benchmark"](unmeasured)
