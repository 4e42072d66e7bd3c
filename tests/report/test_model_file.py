from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.report import model_file


def saved(path: Path, *, external: bool = False) -> Path:
    weight = numpy_helper.from_array(np.ones((64, 64), dtype="f4"), "w")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 64])],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path, save_as_external_data=external, size_threshold=0, location="w.bin")
    return path


def test_size_opset_and_inputs_are_read(tmp_path: Path) -> None:
    found = model_file.read(saved(tmp_path / "m.onnx"))
    assert found.described.bytes == (tmp_path / "m.onnx").stat().st_size
    assert found.described.opset == 18
    assert found.inputs == ((TensorProto.FLOAT, (1, 64)),)


def test_weights_beside_the_file_count(tmp_path: Path) -> None:
    found = model_file.read(saved(tmp_path / "m.onnx", external=True))
    sizes = [(tmp_path / name).stat().st_size for name in ("m.onnx", "w.bin")]
    assert found.described.bytes == sum(sizes)
    assert sizes[1] == 64 * 64 * 4


@pytest.mark.parametrize("content", [b"", b"not a model", b"\x80\x02}q\x00."])
def test_what_is_not_onnx_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(ModelRefused, match="not an ONNX model"):
        model_file.read(tmp_path / "m.onnx")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="nothing"):
        model_file.read(tmp_path / "nothing.onnx")
