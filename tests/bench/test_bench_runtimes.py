"""Every runtime that is installed computes what ONNX Runtime does; one that is not says so."""

from __future__ import annotations

import json
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.artifacts import Parity, RuntimeParity, no_progress
from edgeprune.bench import RUNTIMES
from edgeprune.bench.runtimes import conversion
from edgeprune.errors import DeviceFailed, ModelRefused, UsageError

ONNX_ROWS = [row for row in RUNTIMES.values() if row.takes == ".onnx"]
CONVERTING = [row for row in ONNX_ROWS if row.convert]


def named(row):
    return row.name


def require(row):
    if row.installed() is None:
        pytest.skip(f"{row.name} is not installed")
    if row.convert:
        try:
            row.convert.version()
        except DeviceFailed as error:
            pytest.skip(str(error))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EDGEPRUNE_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    """Depthwise, residual, two outputs, and an input that is not square."""
    draw = np.random.default_rng(0).standard_normal
    shapes = {"a": (8, 3, 3, 3), "d": (8, 1, 3, 3), "p": (8, 8, 1, 1), "f": (5, 8), "b": (5,)}
    weights = [numpy_helper.from_array(draw(s).astype("f4"), n) for n, s in shapes.items()]
    nodes = [
        helper.make_node("Conv", ["x", "a"], ["c"], pads=[1, 1, 1, 1]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("Conv", ["r", "d"], ["e"], pads=[1, 1, 1, 1], group=8),
        helper.make_node("Conv", ["e", "p"], ["q"]),
        helper.make_node("Add", ["r", "q"], ["maps"]),
        helper.make_node("GlobalAveragePool", ["maps"], ["g"]),
        helper.make_node("Flatten", ["g"], ["flat"]),
        helper.make_node("Gemm", ["flat", "f", "b"], ["scores"], transB=1),
    ]
    float32 = TensorProto.FLOAT
    inputs = [helper.make_tensor_value_info("x", float32, [1, 3, 12, 20])]
    outputs = [
        helper.make_tensor_value_info("maps", float32, [1, 8, 12, 20]),
        helper.make_tensor_value_info("scores", float32, [1, 5]),
    ]
    graph = helper.make_graph(nodes, "net", inputs, outputs, weights)
    path = tmp_path_factory.mktemp("models") / "net.onnx"
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


@pytest.mark.parametrize("row", ONNX_ROWS, ids=named)
def test_the_times_of_operators_are_told_where_a_runtime_knows_them(row, net):
    require(row)
    settings = bench.BenchSettings(runtime=row.name)
    with bench.start_worker(net, settings, no_progress, warm_up_s=0.0) as worker:
        told = worker.operators(5)
    if row.name not in ("onnxruntime", "openvino"):
        assert told is None
        return
    assert sum("conv" in each.kind.lower() for each in told) == 3
    assert all(sample >= 0 for each in told for sample in each.samples_s)
    assert any(len(each.samples_s) == 5 and sum(each.samples_s) > 0 for each in told)


@pytest.mark.parametrize("row", ONNX_ROWS[1:], ids=named)
def test_a_runtime_computes_what_onnx_runtime_does(row, net):
    require(row)
    reference = bench.outputs(net, bench.BenchSettings(), seed=4)
    found = bench.outputs(net, bench.BenchSettings(runtime=row.name), seed=4)
    assert [each.shape for each in found] == [(1, 8, 12, 20), (1, 5)]
    for wanted, got in zip(reference, found, strict=True):
        np.testing.assert_allclose(got, wanted, atol=1e-5 * np.abs(wanted).max())


def test_the_tolerance_decides_what_may_be_rounding():
    found = Parity(0.005, 0.005, 1.0, 3, (1,))
    assert not RuntimeParity((found,)).complaint
    assert "at most 1e-03" in RuntimeParity((found,), tolerance=1e-3).complaint


@pytest.mark.parametrize("row", ONNX_ROWS[1:], ids=named)
def test_a_runtime_uses_its_threads_and_reports_its_version(row, net):
    require(row)
    with bench.start_worker(
        net, bench.BenchSettings(runtime=row.name, threads=2), lambda *_: None
    ) as worker:
        assert all(sample > 0 for sample in worker.run(3))
        environment = worker.ready.environment
    assert (environment["runtime"], environment["threads"]) == (row.name, 2)
    assert environment["packages"][row.package.lower()] == row.installed()


@pytest.mark.parametrize("row", CONVERTING, ids=named)
def test_a_conversion_is_made_once_and_appears_whole(row, net, cache):
    require(row)
    folder = row.prepared(net)
    assert folder.is_relative_to(cache)
    assert {path.name for path in folder.iterdir()} == {*row.convert.makes, "model.json"}
    described = json.loads((folder / "model.json").read_text())
    assert described["inputs"] == [["x", "float32", [1, 3, 12, 20]]]
    assert described["outputs"] == ["maps", "scores"]
    made = (folder / "model.json").stat().st_mtime_ns
    assert row.prepared(net) == folder
    assert (folder / "model.json").stat().st_mtime_ns == made


@pytest.mark.parametrize("row", CONVERTING, ids=named)
def test_what_cannot_be_converted_is_one_line_and_leaves_nothing(row, cache, tmp_path):
    require(row)
    node = helper.make_node("NoSuchOperator", ["x"], ["y"])
    values = [helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 3]) for n in "xy"]
    graph = helper.make_graph([node], "odd", values[:1], values[1:])
    onnx.save(helper.make_model(graph), tmp_path / "odd.onnx")
    before = set((cache / "conversions" / row.name).glob("*"))
    with pytest.raises(DeviceFailed, match=rf"odd\.onnx.* {row.name}|{row.name}.*odd") as raised:
        bench.outputs(tmp_path / "odd.onnx", bench.BenchSettings(runtime=row.name))
    assert len(str(raised.value).splitlines()) == 1
    after = set((cache / "conversions" / row.name).glob("*"))
    assert not [path for path in after - before if path.name.startswith(".")]


@dataclass(frozen=True)
class Copying:
    """A converter that needs nothing but Python."""

    makes = ("copy",)
    code: str = "import shutil; shutil.copy('model.onnx', 'copy')"

    def version(self):
        return "1"

    def command(self, inputs):
        return [sys.executable, "-c", self.code]


def test_conversions_side_by_side_end_in_one_folder(net, cache):
    with ThreadPoolExecutor(2) as pool:
        tasks = [pool.submit(conversion.converted, net, "copying", Copying()) for _ in range(2)]
    folders = {task.result() for task in tasks}
    assert len(folders) == 1
    assert list((cache / "conversions" / "copying").iterdir()) == list(folders)
    assert (folders.pop() / "copy").read_bytes() == net.read_bytes()


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("print('fine'); print('Error: no such layer'); print('bye')", "Error: no such layer"),
        ("print('only this')", "only this"),
        ("raise SystemExit(3)", "it printed no message"),
    ],
)
def test_a_converter_that_leaves_nothing_has_failed_whatever_it_returns(code, message, net, cache):
    with pytest.raises(DeviceFailed, match=message):
        conversion.converted(net, "failing", Copying(code))
    assert list((cache / "conversions" / "failing").iterdir()) == []


def test_a_file_that_is_no_model_is_refused_before_it_is_converted(tmp_path):
    (tmp_path / "bad.onnx").write_text("hello")
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        conversion.converted(tmp_path / "bad.onnx", "copying", Copying())


@pytest.mark.parametrize(
    ("name", "suffix", "advice"),
    [
        ("torch", ".pt2", "edgeprune export MODEL --target torch"),
        ("executorch", ".pte", "edgeprune export MODEL --target executorch"),
        ("litert", ".tflite", "convert"),
    ],
)
def test_a_runtime_of_other_files_takes_the_file_beside_or_says_how_to_make_one(
    name, suffix, advice, tmp_path
):
    model, beside = tmp_path / "m.onnx", (tmp_path / "m").with_suffix(suffix)
    model.touch()
    with pytest.raises(UsageError, match=advice):
        RUNTIMES[name].prepared(model)
    beside.touch()
    assert RUNTIMES[name].prepared(model) == beside
    assert RUNTIMES[name].prepared(beside) == beside


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
@pytest.mark.parametrize("row", RUNTIMES.values(), ids=named)
def test_a_runtime_that_is_missing_is_one_line_with_the_command_that_installs_it(row, tmp_path):
    """An interpreter without packages, but for an empty numpy."""
    (tmp_path / "numpy").mkdir()
    (tmp_path / "numpy" / "__init__.py").write_text("__version__ = '0'")
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nPYTHONPATH={tmp_path} exec {sys.executable} -S "$@"\n')
    bare.chmod(0o755)
    request = {"runtime": row.name, "adapter": str(row.adapter), "model": "m.onnx"}
    with pytest.raises(DeviceFailed, match=r"No module named .*: pip install ") as raised:
        bench.LocalDevice(python=str(bare)).start(request)
    assert raised.value.exit_code == 8
    assert len(str(raised.value).splitlines()) == 1
