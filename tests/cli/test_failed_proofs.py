"""What cannot be proved is not delivered: exit code 7, or the group is left whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import onnx
import pytest
import torch
from invocation import CHAIN_SHAPE, QUICK, edgeprune
from onnx import numpy_helper
from torch import nn

import edgeprune as ep
from edgeprune.report.files import decode


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def corrupt(path: Path) -> None:
    """Change one number of the last layer that the file holds."""
    model = onnx.load(path)
    tensor = model.graph.initializer[-1]
    values = numpy_helper.to_array(tensor).copy()
    values.flat[0] += 1
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    onnx.save(model, path)


def test_an_export_that_computes_something_else_ends_with_7(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeprune.export import onnx as exporting

    write = exporting.write

    def write_wrong(module: nn.Module, inputs: Any, path: Path, **options: Any) -> Any:
        notes = write(module, inputs, path, **options)
        corrupt(path)
        return notes

    monkeypatch.setattr(exporting, "write", write_wrong)
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, *QUICK, "--recover", "none")
    assert ran.code == 7
    assert "is not PyTorch's" in ran.error
    assert not Path("runs").exists()


def spoil_after_the_trial(monkeypatch: pytest.MonkeyPatch, group: str) -> None:
    """Let surgery go wrong wherever ``group`` is cut, but for the trial while tracing."""
    from edgeprune.pruning import surgery

    cut, calls = surgery.remove_channels, []

    def cut_wrong(traced: Any, plan: Any) -> nn.Module:
        module = cut(traced, plan)
        if next(module.parameters()).is_meta:  # only shapes are looked at
            return module
        calls.append(plan)
        if len(calls) > 1 and group in [entry.group for entry in plan.groups]:
            for parameter in module.parameters():
                parameter.data += 1
        return module

    monkeypatch.setattr(surgery, "remove_channels", cut_wrong)


def test_a_plan_whose_surgery_cannot_be_proved_ends_with_7(
    chain: Path, pruned_chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = pruned_chain / "plan.json"
    spoil_after_the_trial(monkeypatch, json.loads(plan.read_text())["groups"][0]["group"])
    ran = edgeprune("apply", plan, chain, "--input", CHAIN_SHAPE)
    assert ran.code == 7
    assert len(ran.error.splitlines()) <= 2
    assert not Path("runs").exists()


def test_a_group_whose_surgery_cannot_be_proved_is_left_whole_and_told(
    chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = ("--input", CHAIN_SHAPE, "--macs", "80%")
    planned = json.loads(edgeprune("compress", chain, *flags, "--dry-run", "--json", "-").out)
    group = planned["groups"][0]["group"]
    spoil_after_the_trial(monkeypatch, group)
    assert edgeprune("prune", chain, *flags, "-o", "run").code == 0
    report = decode(Path("run"))
    assert any(note.startswith(f"{group} was left whole") for note in report.notes)
    assert {stage.name: stage.status for stage in report.stages}["prune"] == "degraded"
    assert report.coverage is not None
    assert group in [locked.layer for locked in report.coverage.locked]
    weight = ep.load("run").get_submodule(group).weight
    assert isinstance(weight, torch.Tensor)
    assert len(weight) == planned["groups"][0]["width"]
