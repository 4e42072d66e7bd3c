"""Small ONNX files, made without torch."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper


def save(path, nodes, inputs, outputs, weights=()):
    """Write a model of ``nodes``; inputs and outputs are (name, ONNX type, shape)."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info(*declared) for declared in inputs],
        [helper.make_tensor_value_info(*declared) for declared in outputs],
        [numpy_helper.from_array(array, name) for name, array in weights],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


def dense(path, width, seed=0):
    """One layer with ``width`` × ``width`` weights; the batch is left open."""
    weight = np.random.default_rng(seed).standard_normal((width, width), dtype="f4")
    return save(
        path,
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        [("x", TensorProto.FLOAT, ["n", width])],
        [("y", TensorProto.FLOAT, ["n", width])],
        [("w", weight)],
    )


@pytest.fixture(scope="session")
def tiny(tmp_path_factory):
    return dense(tmp_path_factory.mktemp("models") / "tiny.onnx", 64)


@pytest.fixture(scope="session")
def heavy(tmp_path_factory):
    """About 40 MB of weights."""
    return dense(tmp_path_factory.mktemp("models") / "heavy.onnx", 3200)


@pytest.fixture(scope="session")
def many_kinds(tmp_path_factory):
    """Casts one input of every kind to float, and adds them up."""
    kinds = ("FLOAT16", "DOUBLE", "BOOL", "UINT8", "INT8", "INT32", "INT64")
    casts = [helper.make_node("Cast", [kind], [f"f{kind}"], to=TensorProto.FLOAT) for kind in kinds]
    total = helper.make_node("Sum", [f"f{kind}" for kind in kinds], ["y"])
    shapes = {kind: [2, 1, 3] for kind in kinds} | {"INT64": []}
    return save(
        tmp_path_factory.mktemp("models") / "kinds.onnx",
        [*casts, total],
        [(kind, getattr(TensorProto, kind), shapes[kind]) for kind in kinds],
        [("y", TensorProto.FLOAT, None), ("fINT64", TensorProto.FLOAT, [])],
    )
