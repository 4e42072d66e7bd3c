"""What edgeprune stands on: bounded from below, freely licensed; actions of CI pinned by commit."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]
WORKFLOWS = [*(ROOT / ".github").rglob("*.yml")]

FREE = re.compile(r"Apache|MIT|BSD|PSF|Python Software Foundation|MPL|Mozilla|ISC", re.IGNORECASE)


def tables() -> dict[str, list[Requirement]]:
    """Requirements by table of pyproject.toml; read as text, as Python 3.10 has no TOML reader."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    start = text.index("\ndependencies = [")
    run_time, _, extras = text[start:].partition("[project.optional-dependencies]")
    extras, _, _ = extras.partition("\n[")
    return {
        name: [Requirement(each) for each in re.findall(r'"([^"]+)"', part)]
        for name, part in (("run time", run_time), ("extras", extras))
    }


ALL = [each for part in tables().values() for each in part if each.name != "edgeprune"]


def test_the_tables_are_read() -> None:
    names = {each.name for each in ALL}
    assert {"torch", "onnx", "matplotlib", "hypothesis", "ruff", "openvino"} <= names


@pytest.mark.parametrize("requirement", ALL, ids=str)
def test_every_dependency_has_a_lower_bound(requirement: Requirement) -> None:
    assert {each.operator for each in requirement.specifier} & {">=", "==", "~="}


@pytest.mark.parametrize("requirement", tables()["run time"], ids=str)
def test_what_is_installed_with_edgeprune_is_freely_licensed(requirement: Requirement) -> None:
    try:
        about = metadata(requirement.name)
    except PackageNotFoundError:
        pytest.skip(f"{requirement.name} is not installed")
    said = [about.get("License-Expression"), about.get("License")]
    said += about.get_all("Classifier") or []
    assert any(FREE.search(each) for each in said if each), said


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_actions_are_pinned_by_commit(path: Path) -> None:
    content = yaml.safe_load(path.read_text(encoding="utf-8"))
    jobs = [content["runs"]] if "runs" in content else content["jobs"].values()
    used = [step["uses"] for job in jobs for step in job["steps"] if "uses" in step]
    assert used
    loose = [each for each in used if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40}", each)]
    assert not loose


def test_the_readme_leads_to_the_policy() -> None:
    assert "](SECURITY.md)" in (ROOT / "README.md").read_text(encoding="utf-8")
    policy = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
    for flag in ("--arch", "--allow", "--trust"):
        assert f"`{flag}" in policy
