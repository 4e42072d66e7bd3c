"""What stays float, on graphs drawn by hand."""

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edgeprune.errors import UsageError
from edgeprune.export.float_part import ASKED, BOTH_VARY, OUTPUT, UNKNOWN_INPUT, float_part


def graph(text: str, outputs: str, sizes: tuple[int, ...] | None = None) -> onnx.ModelProto:
    """One node a line: ``Op: inputs -> output``; names that begin with w are weights.

    Without ``sizes`` of the input x, no tensor's are known.
    """
    nodes, weights = [], set()
    for line in text.strip().splitlines():
        kind, ends = line.split(":")
        reads, made = ends.split("->")
        weights |= {name for name in reads.split() if name.startswith("w")}
        nodes.append(helper.make_node(kind.strip(), reads.split(), made.split(), made.strip()))
    stored = [numpy_helper.from_array(np.ones(1, np.float32), name) for name in sorted(weights)]
    ends = [helper.make_tensor_value_info(x, TensorProto.FLOAT, None) for x in outputs.split()]
    inputs = [helper.make_tensor_value_info("x", TensorProto.FLOAT, sizes)]
    return helper.make_model(helper.make_graph(nodes, "g", inputs, ends, stored))


CLASSIFIER = """
Conv: x w1.weight -> a
Relu: a -> b
Conv: b w2.weight -> c
Add: b c -> d
GlobalAveragePool: d -> e
Flatten: e -> f
Gemm: f w3.weight -> y
"""

DETECTOR = """
Conv: x w1.weight -> a
Relu: a -> b
Conv: b w2.weight -> boxes
Conv: b w3.weight -> c
Sigmoid: c -> scores
Concat: boxes scores -> d
Reshape: d w4 -> y
MaxPool: b -> e
Conv: e w5.weight -> z
"""


def test_the_product_of_a_classifier_leaves_as_floats_and_all_else_is_quantized() -> None:
    part = float_part(graph(CLASSIFIER, "y"))
    assert part.nodes == {}
    assert part.tensors == {"y"}


def test_all_that_follows_a_detectors_last_convolutions_is_float_and_so_are_these() -> None:
    part = float_part(graph(DETECTOR, "y z"))
    assert part.nodes == dict.fromkeys(("boxes", "c", "scores", "d", "y", "z"), OUTPUT)
    assert part.tensors == {"boxes", "c", "scores", "d", "y", "z"}


def test_a_sum_at_the_end_stays_float_and_the_residual_stream_does_not() -> None:
    part = float_part(graph(CLASSIFIER.partition("Global")[0] + "Relu: d -> y", "y"))
    assert part.nodes == {"d": OUTPUT, "y": OUTPUT}


def test_an_inner_tensor_that_is_an_output_too_is_not_quantized() -> None:
    part = float_part(graph(CLASSIFIER, "b y"))
    assert {"a", "b", "y"} <= part.tensors
    assert part.nodes == {"a": OUTPUT, "b": OUTPUT}


def test_the_first_layers_stay_float_where_the_input_is_not_known() -> None:
    part = float_part(graph(DETECTOR, "y z"), unknown_inputs=["x"])
    assert part.nodes["a"] == UNKNOWN_INPUT
    assert "b" not in part.nodes
    shuffled = graph("Transpose: x -> t\nConv: t w1.weight -> a\nConv: a w2.weight -> c\n"
                     "Gemm: c w3.weight -> y", "y")  # fmt: skip
    part = float_part(shuffled, unknown_inputs=["x"])
    assert part.nodes == {"t": UNKNOWN_INPUT, "a": UNKNOWN_INPUT}
    assert part.tensors == {"x", "t", "y"}


def test_globs_mean_layers_by_pytorchs_names_and_nodes_by_the_files() -> None:
    assert float_part(graph(CLASSIFIER, "y"), keep=["w2"]).nodes == {"c": ASKED}
    assert float_part(graph(CLASSIFIER, "y"), keep=["d"]).nodes == {"d": ASKED}
    assert set(float_part(graph(CLASSIFIER, "y"), keep=["w*"]).nodes) == {"a", "c", "y"}
    with pytest.raises(UsageError, match="--keep-float nothing"):
        float_part(graph(CLASSIFIER, "y"), keep=["nothing"])


def test_a_product_of_activations_stays_float() -> None:
    attention = "Conv: x w1.weight -> q\nMatMul: q q -> s\nConv: s w2.weight -> c\n"
    part = float_part(graph(attention + "Gemm: c w3.weight -> y", "y"))
    assert part.nodes == {"s": BOTH_VARY}


DECODED = """
Relu: x -> a
Add: x w1 -> near
Sub: a w1 -> far
Add: near far -> sum
Sub: near far -> size
Concat: sum size -> y
"""


def test_boxes_are_decoded_in_float_and_maps_that_meet_are_not_followed() -> None:
    nodes = dict.fromkeys(("a", "near", "far", "sum", "size", "y"), OUTPUT)
    del nodes["far"], nodes["size"]  # Sub is never computed in 8 bits
    assert float_part(graph(DECODED, "y", (1, 4, 100))).nodes == nodes
    maps = float_part(graph(DECODED, "y", (1, 4, 10, 10)))
    assert maps.nodes == {"sum": OUTPUT, "y": OUTPUT}
    assert not {"near", "far"} & maps.tensors
