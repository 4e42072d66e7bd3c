"""From what a runtime says of two files to the layers that stay in float."""

from __future__ import annotations

import pytest
from qdq_chain import float_chain, quantized_chain

from edgeprune.artifacts import OperatorTimes
from edgeprune.calibration.layer_times import LayerGraph, node_times
from edgeprune.calibration.mixed_precision import float_layers, quantized_nodes


@pytest.fixture
def chain():
    return float_chain()


@pytest.fixture
def quantized():
    return quantized_chain()


def told(*rows):
    """Operators of a runtime: name, kind, microseconds."""
    return [OperatorTimes(name, kind, (us * 1e-6,) * 3) for name, kind, us in rows]


def test_operators_are_found_by_node_by_tensor_and_through_suffixes(chain):
    graph = LayerGraph(chain)
    assert graph.node_called("middle") == "middle"
    assert graph.node_called("r_nchwc") == "/stem/Relu"
    assert graph.node_called("middle_token_12") == "middle"
    assert graph.node_called("/stem/Conv/WithoutBiases") == "/stem/Conv"
    assert graph.node_called("Transpose_token_3") is None


def test_a_change_of_layout_belongs_to_what_ran_before_it(chain):
    rows = told(("r_nchwc", "Conv", 7), ("ReorderOutput", "ReorderOutput", 2), ("last", "Conv", 5))
    found = node_times(LayerGraph(chain), rows)
    assert found.seconds == pytest.approx({"/stem/Relu": 9e-6, "last": 5e-6})
    assert found.conversions == ()


def test_a_conversion_has_the_layout_changes_beside_it(chain):
    rows = told(
        ("x_QuantizeLinear", "QuantizeLinear", 3),
        ("Transpose", "Transpose", 4),
        ("middle_token_1", "QLinearConv", 9),
        ("y_DequantizeLinear", "DequantizeLinear", 1),
    )
    found = node_times(LayerGraph(chain), rows)
    assert found.seconds == pytest.approx({"middle": 9e-6})
    assert [n for n, _ in found.conversions] == [400, 400]
    assert [s for _, s in found.conversions] == pytest.approx([7e-6, 1e-6])


def test_interruptions_do_not_count(chain):
    samples = (4e-6,) * 30 + (1.0,)
    found = node_times(LayerGraph(chain), [OperatorTimes("last", "Conv", samples)])
    assert found.seconds["last"] == pytest.approx(4e-6)


def test_quantized_nodes_are_those_that_read_what_was_quantized(chain, quantized):
    assert quantized_nodes(chain) == set()
    assert quantized_nodes(quantized) == {"/stem/Conv", "/stem/Relu", "middle", "sum", "last"}


def times(stem, middle, last, conversion):
    """What a runtime says of the 8-bit file; in the float file each layer takes 10."""
    in_float = told(("r_nchwc", "Conv", 10), ("s", "Conv", 10), ("last", "Conv", 10))
    in_int8 = told(
        ("x_QuantizeLinear", "QuantizeLinear", conversion),
        ("/stem/Conv_token_1", "QLinearConv", stem),
        ("middle_token_2", "QLinearConv", middle),
        ("sum", "QLinearAdd", 1),
        ("last", "QLinearConv", last),
    )
    return in_float, in_int8


def mixed(model, other, told):
    return float_layers(model, quantized_nodes(other), told)


def test_a_layer_that_is_slower_in_8_bits_stays_in_float_with_all_that_is_fused(chain, quantized):
    kept = float_layers(
        chain, quantized_nodes(quantized), times(stem=90, middle=2, last=2, conversion=1)
    )
    assert kept == ("/stem/Conv", "/stem/Relu")


def test_where_conversions_cost_more_it_is_quantized_all_the_same(chain, quantized):
    assert mixed(chain, quantized, times(2, 11, 2, conversion=3)) == ()
    assert mixed(chain, quantized, times(2, 30, 2, conversion=1)) == (
        "middle",
        "sum",
    )


def test_where_nothing_is_faster_in_8_bits_all_stay_in_float(chain, quantized):
    kept = mixed(chain, quantized, times(20, 20, 20, conversion=1))
    assert kept == tuple(node.name for node in chain.graph.node)


def test_a_layer_that_is_not_quantized_is_left_as_it_is(chain):
    assert mixed(chain, chain, times(2, 2, 2, conversion=1)) == ()
