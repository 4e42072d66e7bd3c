"""The time of nodes belongs to the layers whose channels it grows with."""

import pytest
from onnx import helper

from edgeprune.calibration.layer_times import LayerGraph
from edgeprune.pipeline.layer_seconds import by_layer


def graph():
    nodes = [
        helper.make_node("Resize", ["x"], ["resized"], name="resize"),
        helper.make_node("Conv", ["resized", "stem.0.weight", "b"], ["stem"], name="stem"),
        helper.make_node("Relu", ["stem"], ["active"], name="relu"),
        helper.make_node("Conv", ["active", "branch.weight"], ["branch"], name="branch"),
        helper.make_node("Add", ["branch", "active"], ["y"], name="add"),
    ]
    ends = [helper.make_tensor_value_info(name, 1, [1, 3, 8, 8]) for name in "xy"]
    return LayerGraph(helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:])))


def test_activations_go_with_the_layer_before_them():
    took = {"resize": 1.0, "stem": 4.0, "relu": 0.5, "branch": 3.0, "add": 0.25}
    found = by_layer(graph(), took)
    assert found == {"": 1.0, "stem.0": 4.5, "branch": 3.25}
    assert sum(found.values()) == pytest.approx(sum(took.values()))


def test_nodes_that_were_fused_away_take_nothing():
    assert by_layer(graph(), {"branch": 2.0}) == {"branch": 2.0}
