"""Files with 8-bit codes: what is read off them, and how their outputs are judged."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.artifacts import Parity, RuntimeParity
from edgeprune.bench.quantized_files import input_ranges, is_quantized
from edgeprune.bench.worker import tensors
from edgeprune.errors import UsageError


def stored(name: str, value: object) -> onnx.TensorProto:
    return numpy_helper.from_array(np.asarray(value), name)


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Gives its first input as codes and back; its second one as it is."""
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["y"]),
        helper.make_node("Neg", ["x2"], ["y2"]),
    ]
    x, x2 = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 400]) for n in ("x", "x2"))
    y, y2 = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1, 400]) for n in ("y", "y2"))
    constants = [stored("s", np.float32(0.5)), stored("z", np.uint8(246))]
    graph = helper.make_graph(nodes, "g", [x, x2], [y, y2], constants)
    path = tmp_path_factory.mktemp("coded") / "coded.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def test_the_range_of_an_input_is_that_of_its_codes(coded: Path) -> None:
    assert is_quantized(coded)
    assert input_ranges(coded) == ((-123.0, 4.5), None)


def test_a_float_file_and_no_file_have_none(tiny: Path, tmp_path: Path) -> None:
    assert not is_quantized(tiny)
    assert set(input_ranges(tiny)) == {None}
    (tmp_path / "broken.onnx").write_bytes(b"no model")
    assert not is_quantized(tmp_path / "broken.onnx")
    assert input_ranges(tmp_path / "missing.onnx") == ()
    assert input_ranges(tmp_path / "model.tflite") == ()


def test_drawn_inputs_fill_the_range_and_the_others_stay_normal(coded: Path) -> None:
    ((y, y2),) = bench.outputs_of_seeds(coded, bench.BenchSettings(), (3,), input_ranges(coded))
    assert -123 <= y.min() < -80
    assert -20 < y.max() <= 4.5
    declared = [("x", "float32", [1, 400]), ("x2", "float32", [1, 400])]
    usual = tensors.inputs(declared, 3)
    np.testing.assert_array_equal(y2, -usual["x2"])
    np.testing.assert_array_equal(usual["x"], tensors.inputs(declared, 3, [None, None])["x"])


@pytest.mark.parametrize(
    ("differ", "quantized", "wrong"),
    [(0.016, True, False), (0.016, False, True), (0.2, True, True), (np.inf, True, True)],
)
def test_codes_may_differ_by_more_than_floats(differ: float, quantized: bool, wrong: bool) -> None:
    found = Parity(differ, differ, 1.0, 3, (1,))
    exact = Parity(1e-6, 1e-6, 1.0, 3, (1,))
    complaint = RuntimeParity((exact, found), quantized=(False, quantized)).complaint
    assert bool(complaint) is wrong


def test_a_float_file_beside_a_quantized_one_is_judged_as_a_float_file() -> None:
    found = Parity(0.05, 0.05, 1.0, 3, (1,))
    assert "at most 1e-02" in RuntimeParity((found, found), quantized=(False, True)).complaint


@pytest.mark.parametrize("name", ["ncnn", "mnn"])
def test_runtimes_whose_converters_know_no_codes_say_which_do(coded: Path, name: str) -> None:
    with pytest.raises(UsageError, match=f"onnxruntime and openvino run; {name}'s converter"):
        bench.RUNTIMES[name].prepared(coded)
    assert bench.RUNTIMES["openvino"].prepared(coded) == coded
