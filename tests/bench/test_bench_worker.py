"""The worker as a program of its own: what it imports, and what it prints on a command line."""

from __future__ import annotations

import ast
import json
import shutil
import subprocess
import sys

import numpy as np
import pytest

from edgeprune.bench import RUNTIMES
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.worker import machine, tensors
from edgeprune.loading.given_inputs import DTYPES

BOARD = [*sorted(WORKER.glob("*.py")), *(row.adapter for row in RUNTIMES.values())]


def named(path):
    return path.name


@pytest.mark.parametrize("file", BOARD, ids=named)
def test_what_a_board_gets_imports_only_the_standard_library_when_it_starts(file):
    tree = ast.parse(file.read_text(encoding="utf-8"))
    modules = set()
    for node in tree.body:
        if isinstance(node, ast.Import):
            modules |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            modules.add(node.module.split(".")[0])
    assert modules <= set(sys.stdlib_module_names)


def test_worker_has_no_torch_and_no_edgeprune_when_it_has_measured(tiny, tmp_path):
    script = f"""
import runpy, sys
sys.argv = ["worker", {str(tiny)!r}, "--runs", "2"]
runpy.run_path({str(WORKER)!r}, run_name="__main__")
print(*sys.modules, file=sys.stderr)
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path, check=True
    )
    loaded = {name.split(".")[0] for name in done.stderr.split()}
    assert "onnxruntime" in loaded
    assert not loaded & {"torch", "edgeprune", "onnx", "scipy"}


def test_a_copy_measures_by_hand(tiny, tmp_path):
    copy = tmp_path / "worker"
    shutil.copytree(WORKER, copy)
    shutil.copy(RUNTIMES["onnxruntime"].adapter, tmp_path)
    command = [sys.executable, copy, tiny, "--runs", "5", "--threads", "1"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=True)
    summary = json.loads(done.stdout)
    assert summary["latency_s"]["n"] == 5
    assert 0 < summary["latency_s"]["min"] <= summary["latency_s"]["median"]
    for peak in ("load_peak_rss_bytes", "run_peak_rss_bytes"):
        assert summary[peak] >= summary["idle_rss_bytes"] >= 0
    assert summary["environment"]["runtime"] == "onnxruntime"


@pytest.mark.parametrize("dtype", DTYPES)
def test_inputs_of_every_type_that_input_takes_are_drawn(dtype):
    drawn = tensors.inputs([("x", dtype, [1, 400])], 0)["x"]
    assert (drawn.dtype, drawn.shape) == (np.dtype(dtype), (1, 400))
    assert drawn.min() < drawn.max()


def test_by_hand_a_bad_file_is_one_line(tmp_path):
    bad = tmp_path / "bad.onnx"
    bad.write_text("not a model")
    done = subprocess.run([sys.executable, WORKER, bad], capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.startswith("onnxruntime cannot load bad.onnx")
    assert len(done.stderr.splitlines()) == 1


def test_worker_ends_when_its_input_does(tiny):
    request = json.dumps({"model": str(tiny), "warmup_s": 0})
    done = subprocess.run([sys.executable, WORKER], input=request, capture_output=True, text=True)
    assert done.returncode == 0
    assert json.loads(done.stdout)["load_s"] > 0


def test_without_proc_memory_is_the_highest_mark_of_the_process(monkeypatch):
    pytest.importorskip("resource")
    monkeypatch.setattr(machine, "text_of", lambda path: "")
    memory = machine.Memory()
    assert memory.source == "ru_maxrss"
    assert memory.baseline > 2**20
    assert memory.added("VmHWM") >= memory.added("VmRSS") >= 0


def test_unknown_memory_is_zero_and_not_guessed(monkeypatch):
    monkeypatch.setattr(machine, "text_of", lambda path: "")
    monkeypatch.setitem(sys.modules, "resource", None)
    memory = machine.Memory()
    assert (memory.source, memory.baseline, memory.added("VmHWM")) == ("none", 0, 0)
