"""``edgeprune bench --runtime`` with several: each in turn, and one that fails stops no other."""

from __future__ import annotations

import math

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.artifacts import Parity, RuntimeParity
from edgeprune.bench import RUNTIMES, on_runtimes
from edgeprune.cli import main
from edgeprune.errors import DeviceFailed, UsageError
from edgeprune.report import rows
from edgeprune.report.files import decode

FAST = ["--seconds", "0.05", "-q"]

needs_openvino = pytest.mark.skipif(
    RUNTIMES["openvino"].installed() is None, reason="openvino is not installed"
)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    weight = np.random.default_rng(0).standard_normal((16, 8)).astype("f4")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 16])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 8])],
        [numpy_helper.from_array(weight, "w")],
    )
    path = tmp_path_factory.mktemp("models") / "a.onnx"
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), path)
    return path


@needs_openvino
def test_each_runtime_is_measured_and_one_that_cannot_is_told(model, tmp_path):
    written = tmp_path / "r.json"
    several = ["--runtime", "onnxruntime,litert,openvino", "--json", str(written)]
    assert main(["bench", str(model), str(model), *several, *FAST]) == 0
    report = decode(written)
    assert report.environment["runtime"] == "onnxruntime"
    assert report.runtime_parity is None
    failed, ran = report.runtimes
    assert (failed.runtime, failed.status, failed.original) == ("litert", "failed", None)
    assert ".tflite" in failed.detail
    assert (ran.runtime, ran.status) == ("openvino", "ok")
    assert ran.original.latency_s.median > 0
    assert ran.ratio.latency.low <= ran.ratio.latency.value <= ran.ratio.latency.high
    for parity in (ran.parity.original, ran.parity.compressed):
        assert parity.max_rel_diff < 1e-5
        assert parity.n == on_runtimes.INPUTS
    table = next(each for each in rows.sections(report) if each.title == "Runtimes")
    assert [row[0] for row in table.rows] == ["onnxruntime", "litert", "openvino"]
    assert all(len(row) == len(table.header) for row in table.rows)


@needs_openvino
def test_another_first_runtime_is_compared_with_onnx_runtime(model, tmp_path):
    written = tmp_path / "r.json"
    gate = ["--fail-if", "runtime_parity.original.max_rel_diff > 1e-3"]
    given = ["--runtime", "openvino", "--json", str(written), *gate]
    assert main(["bench", str(model), *given, *FAST]) == 0
    report = decode(written)
    assert report.environment["runtime"] == "openvino"
    assert report.runtime_parity.original.max_rel_diff < 1e-5
    assert report.runtime_parity.compressed is None
    assert report.runtimes == ()


@needs_openvino
def test_outputs_that_are_not_onnx_runtimes_end_with_7_and_leave_the_report(
    model, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(on_runtimes, "compared", lambda wanted, got: Parity(3.0, 0.5, 0.1, 3, (1,)))
    written = tmp_path / "r.json"
    given = ["--runtime", "openvino", "--json", str(written)]
    assert main(["bench", str(model), *given, *FAST]) == 7
    assert "openvino: its outputs are not those of ONNX Runtime" in capsys.readouterr().err
    assert decode(written).runtime_parity.original.max_rel_diff == 0.5


def test_a_runtime_that_is_not_installed_ends_with_8_and_what_to_type(model, monkeypatch, capsys):
    missing = next((row for row in RUNTIMES.values() if row.installed() is None), None)
    if missing is None:
        pytest.skip("every runtime is installed")
    assert main(["bench", str(model), "--runtime", missing.name, *FAST]) == 8
    assert missing.install in capsys.readouterr().err


def test_names_are_split_and_said_once_and_all_are_those_that_can(model):
    assert on_runtimes.chosen("torch, onnxruntime,torch") == ("torch", "onnxruntime")
    with pytest.raises(UsageError, match="there are onnxruntime"):
        on_runtimes.chosen("onnxruntime,abacus")
    able = on_runtimes.chosen("all", [model])
    assert able[0] == "onnxruntime"
    assert not {"torch", "executorch", "litert"} & set(able)
    model.with_suffix(".pt2").touch()
    assert "torch" in on_runtimes.chosen("all", [model])
    model.with_suffix(".pt2").unlink()


def test_all_of_nothing_is_a_failure(monkeypatch, model):
    monkeypatch.setattr(bench, "RUNTIMES", {})
    with pytest.raises(DeviceFailed, match="edgeprune doctor"):
        on_runtimes.chosen("all", [model])


@pytest.mark.parametrize(
    ("worst", "complains"), [(0.0, False), (1e-3, False), (2e-2, True), (math.inf, True)]
)
def test_a_runtime_is_wrong_from_a_hundredth_on(worst, complains):
    good = Parity(0.0, 0.0, 1.0, 3, (1,))
    found = RuntimeParity((good, Parity(worst, worst, 1.0, 3, (1,))))
    assert bool(found.complaint) is complains


def test_outputs_of_other_shapes_do_not_compare():
    one, other = [[np.zeros((1, 3))]], [[np.zeros((1, 4))]]
    assert on_runtimes.compared(one, other) is None
    assert RuntimeParity((on_runtimes.OTHER_SHAPES,)).complaint
