"""A chain of three convolutions, in float and quantized by hand, as ONNX graphs."""

from __future__ import annotations

import numpy as np
from onnx import TensorProto, checker, helper, numpy_helper

FLOAT = TensorProto.FLOAT


def saved(nodes, extra=()):
    value = helper.make_tensor_value_info
    weights = [numpy_helper.from_array(np.ones((4, 4, 1, 1), "f4"), f"w{i}") for i in range(3)]
    graph = helper.make_graph(
        nodes, "g", [value("x", FLOAT, [1, 4, 10, 10])], [value("y", FLOAT, [1, 4, 10, 10])],
        [*weights, *extra],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    checker.check_model(model)
    return model


def float_chain():
    """Three convolutions; the first is followed by an activation, the second by a sum."""
    node = helper.make_node
    return saved(
        [
            node("Conv", ["x", "w0"], ["a"], name="/stem/Conv"),
            node("Relu", ["a"], ["r"], name="/stem/Relu"),
            node("Conv", ["r", "w1"], ["b"], name="middle"),
            node("Add", ["b", "r"], ["s"], name="sum"),
            node("Conv", ["s", "w2"], ["y"], name="last"),
        ]
    )


def quantized_chain():
    """The same, quantized by hand: of each node the first input and the output."""
    scale = [
        numpy_helper.from_array(np.float32(0.1), "scale"),
        numpy_helper.from_array(np.uint8(128), "zero"),
    ]
    chain = float_chain()
    nodes, make = [], helper.make_node
    for each in chain.graph.node:
        first, *others = each.input
        codes, back = f"{first}q{each.name}", f"{first}d{each.name}"
        nodes.append(make("QuantizeLinear", [first, "scale", "zero"], [codes]))
        nodes.append(make("DequantizeLinear", [codes, "scale", "zero"], [back]))
        nodes.append(make(each.op_type, [back, *others], each.output, name=each.name))
    return saved(nodes, scale)
