"""What the repository offers to CI systems: valid files, whose shell steps do what they say."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import check_jsonschema
import click.testing
import junitparser
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper

from edgeprune.report.files import decode

ROOT = Path(__file__).parents[2]
ACTION = ROOT / ".github" / "actions" / "edgeprune-gate" / "action.yml"
WORKFLOW = ROOT / "examples" / "ci" / "github.yml"
GITLAB = ROOT / "examples" / "ci" / "gitlab.yml"
SCHEMAS = {ACTION: "github-actions", WORKFLOW: "github-workflows", GITLAB: "gitlab-ci"}

EXPRESSION = re.compile(r"\$\{\{\s*([\w.-]+)\s*\}\}")


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def model(path: Path) -> Path:
    weight = numpy_helper.from_array(np.ones((64, 64), dtype="f4"), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, [1, 64])],
        [weight],
    )
    opset = [helper.make_opsetid("", 18)]
    path.parent.mkdir(exist_ok=True)
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


class Runner:
    """A machine of a CI system: a folder, the files that steps write to, and the steps' shell."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.summary, self.output = folder / "summary", folder / "output"
        self.environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "RUNNER_TEMP": str(folder),
            "GITHUB_STEP_SUMMARY": str(self.summary),
            "GITHUB_OUTPUT": str(self.output),
            **environment,
        }

    def run(self, script: str, **environment: str) -> subprocess.CompletedProcess[str]:
        command = ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script]
        known = {**self.environment, **environment}
        return subprocess.run(
            command, env=known, cwd=self.folder, capture_output=True, text=True, check=False
        )

    def act(self, *names: str, **given: str) -> subprocess.CompletedProcess[str]:
        """Run steps of the action, up to the first that fails; all of them if none is named."""
        inputs = {name: each.get("default", "") for name, each in read(ACTION)["inputs"].items()}
        known = {f"inputs.{name}": value for name, value in {**inputs, **GIVEN, **given}.items()}
        for step in read(ACTION)["runs"]["steps"]:
            if "run" not in step or (names and step["name"] not in names):
                continue
            known |= {"github.action_path": str(ACTION.parent), **self.outputs}
            ran = self.run(step["run"], **filled(step["env"], known))
            if ran.returncode:
                break
        return ran

    @property
    def outputs(self) -> dict[str, str]:
        """What the steps that ran have put out; only one of them does."""
        lines = self.output.read_text().splitlines() if self.output.exists() else ()
        pairs = (line.split("=", 1) for line in lines)
        return {f"steps.measure.outputs.{name}": value for name, value in pairs}

    @property
    def reported(self) -> Path:
        """The folder of the report."""
        return Path(self.outputs["steps.measure.outputs.folder"])


def filled(environment: dict[str, str], known: dict[str, str]) -> dict[str, str]:
    return {
        name: EXPRESSION.sub(lambda found: known[found[1]], text)
        for name, text in environment.items()
    }


def briefly(script: str) -> str:
    """The script without what a test must not do: wait for sure figures, and judge times."""
    return script.replace("edgeprune bench", "edgeprune bench --seconds 0.05").replace("0.9", "100")


@pytest.fixture(scope="module")
def runner(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("checkout")
    model(folder / "models" / "original.onnx")
    model(folder / "models" / "candidate.onnx")
    return Runner(folder)


@pytest.fixture(scope="module")
def acted(runner: Runner) -> Runner:
    """After the whole action, with limits that hold."""
    ran = runner.act(**{"fail-if": "ratio.bytes > 1.5\n\n  ratio.macs > 1.5\n"})
    assert ran.returncode == 0, ran.stderr
    return runner


GIVEN = {
    "original": "models/original.onnx",
    "candidate": "models/candidate.onnx",
    "requirement": "edgeprune",
    "seconds": "0.05",
}


@pytest.mark.parametrize("path", SCHEMAS, ids=SCHEMAS.values())
def test_the_file_is_what_its_system_reads(path: Path) -> None:
    arguments = ["--builtin-schema", f"vendor.{SCHEMAS[path]}", str(path)]
    checked = click.testing.CliRunner().invoke(check_jsonschema.main, arguments)
    assert checked.exit_code == 0, checked.output


@pytest.mark.parametrize("path", [ACTION, WORKFLOW], ids=["action", "workflow"])
def test_no_input_becomes_part_of_a_script(path: Path) -> None:
    content = read(path)
    jobs = [content["runs"]] if "runs" in content else content["jobs"].values()
    scripts = [step["run"] for job in jobs for step in job["steps"] if "run" in step]
    assert scripts
    assert not any("${{" in script for script in scripts)


def test_every_input_of_the_action_is_described_and_used() -> None:
    text = ACTION.read_text(encoding="utf-8")
    for name, about in read(ACTION)["inputs"].items():
        assert about["description"].endswith(".")
        assert f"inputs.{name} " in text


def test_the_action_measures_judges_and_reports(acted: Runner) -> None:
    report = decode(acted.reported / "report.json")
    assert [gate.passed for gate in report.gates] == [True, True]
    assert "## Gates" in acted.summary.read_text()
    assert (acted.reported / "report.html").stat().st_size > 10_000
    assert [len(suite) for suite in junitparser.JUnitXml.fromfile(acted.reported / "gates.xml")]


def test_a_broken_limit_fails_the_action_and_leaves_the_report(acted: Runner) -> None:
    ran = acted.act("Judge", **{"fail-if": "ratio.bytes > 0.5"})
    assert ran.returncode == 3
    assert "FAILED" in acted.summary.read_text()
    assert not decode(acted.reported / "report.json").gates[0].passed


def test_what_an_input_says_is_never_run(acted: Runner) -> None:
    hostile = "$(touch hacked) `touch hacked`; touch hacked\n--help"
    assert acted.act("Judge", **{"fail-if": hostile}).returncode == 2
    assert acted.act("Judge", baseline=hostile).returncode == 2
    assert Runner(acted.folder).act("Measure", candidate=f"--version {hostile}").returncode == 2
    assert not (acted.folder / "hacked").exists()


def test_the_workflow_holds_a_model_against_its_past(runner: Runner) -> None:
    workflow = read(WORKFLOW)
    steps = workflow["jobs"]["regression"]["steps"]
    scripts = [step["run"] for step in steps if step.get("name") in ("Measure", "Judge", "Summary")]
    baseline = 'edgeprune bench "$CANDIDATE" --json "$BASELINE"'
    for script in (baseline, *scripts):
        ran = runner.run(briefly(script).replace("1.05", "100"), **workflow["env"])
        assert ran.returncode == 0, ran.stderr
    assert "baseline.latency.low" in runner.summary.read_text()
    assert (runner.folder / "benchmark.json").is_file()


def test_the_snippet_for_gitlab_gates(runner: Runner) -> None:
    job = read(GITLAB)["model"]
    (script,) = (one for one in job["script"] if one.startswith("edgeprune"))
    ran = runner.run(briefly(script), **job["variables"])
    assert ran.returncode == 0, ran.stderr
    suite = junitparser.JUnitXml.fromfile(runner.folder / job["artifacts"]["reports"]["junit"])
    assert (suite.tests, suite.failures) == (2, 0)
