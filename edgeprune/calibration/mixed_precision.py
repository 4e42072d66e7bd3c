"""Which layers of a quantized file stay in float, by what the runtime says of both files.

The runtime tells how long every operator of the float file and of the 8-bit file takes. Nodes that
it fuses form one layer; layers and the conversions between them go to ``precision_cut``, which
finds the fastest of all mixtures. What it finds is a proposal: the file that comes of it is
measured as a whole before it is taken.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.calibration.layer_times import LayerGraph, NodeTimes, node_times
from edgeprune.calibration.onnx_operators import DEQUANTIZE, QUANTIZE, WEIGHTED
from edgeprune.calibration.precision_cut import OUTSIDE, Crossing, fastest_precisions

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    import onnx

    from edgeprune.artifacts import OperatorTimes


def float_layers(
    model: onnx.ModelProto,
    able: Collection[str],
    told: tuple[Sequence[OperatorTimes], Sequence[OperatorTimes]],
) -> tuple[str, ...]:
    """Name the nodes that should stay in float, so that one inference takes least.

    Args:
        model: The float graph, each node with a name of its own.
        able: Names of the nodes that the quantized file computes in 8 bits.
        told: The runtime's times of the operators of the float file and of the quantized one.

    Returns:
        Those of ``able`` that should compute in float, in the order of execution.
    """
    graph = LayerGraph(model)
    float_times, int8_times = (node_times(graph, each) for each in told)
    layers = _layers(graph, (float_times, int8_times))
    index = {layer: place for place, layer in enumerate(dict.fromkeys(layers.values()))}
    float_s, int8_s = np.zeros(len(index)), np.zeros(len(index))
    quantizable = np.zeros(len(index), bool)
    for node, layer in layers.items():
        float_s[index[layer]] += float_times.seconds.get(node, 0.0)
        int8_s[index[layer]] += int8_times.seconds.get(node, 0.0)
        quantizable[index[layer]] |= node in able
    int8_s[~quantizable] = math.inf
    crossings = _crossings(graph, {n: index[layer] for n, layer in layers.items()}, int8_times)
    in_int8 = fastest_precisions(float_s.tolist(), int8_s.tolist(), crossings)
    return tuple(n for n in graph.nodes if n in able and not in_int8[index[layers[n]]])


def quantized_nodes(model: onnx.ModelProto) -> set[str]:
    """Names of the nodes of a QDQ file that compute on what was quantized."""
    dequantized = {made for n in model.graph.node if n.op_type == DEQUANTIZE for made in n.output}
    return {
        node.name
        for node in model.graph.node
        if node.op_type != QUANTIZE and node.input and node.input[0] in dequantized
    }


def _layers(graph: LayerGraph, times: tuple[NodeTimes, NodeTimes]) -> dict[str, str]:
    """For each node the first node of its layer: nodes that either file runs as one."""
    layers = {name: name for name in graph.nodes}

    def first(name: str) -> str:
        while layers[name] != name:
            name = layers[name]
        return name

    order = {name: place for place, name in enumerate(graph.nodes)}
    for name in graph.nodes:
        if all(name in each.seconds for each in times):
            continue
        beside = _fused_with(graph, name)
        if beside is not None:
            one, other = sorted((first(name), first(beside)), key=order.__getitem__)
            layers[other] = one
    return {name: first(name) for name in graph.nodes}


def _fused_with(graph: LayerGraph, name: str) -> str | None:
    """The neighbour that a node without a time of its own is fused with.

    Runtimes fuse what follows into layers with weights, and others into what comes before them.
    """
    node = graph.nodes[name]
    before = [graph.producer[each] for each in node.input if each in graph.producer]
    behind = [reader for made in node.output for reader in graph.consumers.get(made, ())]
    first, then = (behind, before) if node.op_type in WEIGHTED else (before, behind)
    return next(iter((*first, *then)), None)


def _crossings(graph: LayerGraph, layers: dict[str, int], times: NodeTimes) -> list[Crossing]:
    """The tensors that pass from layer to layer, with the price of a conversion by their size."""
    fixed, rate = _price(times.conversions)
    crossings = []
    for tensor in (*graph.inputs, *graph.producer):
        maker = layers[graph.producer[tensor]] if tensor in graph.producer else OUTSIDE
        readers = {layers[name] for name in graph.consumers.get(tensor, ())} - {maker}
        outside = {OUTSIDE} if tensor in graph.outputs else set()
        if readers or outside:
            price = fixed + rate * graph.elements(tensor)
            crossings.append(Crossing(maker, tuple(sorted(readers | outside)), price, price))
    return crossings


def _price(conversions: Sequence[tuple[int, float]]) -> tuple[float, float]:
    """Seconds of a conversion, and seconds for each element, by least squares; neither negative."""
    from scipy.optimize import nnls  # here: every run that only prunes starts without it

    if not conversions:
        return 0.0, 0.0
    elements, seconds = np.array(conversions, float).T
    (fixed, rate), _ = nnls(np.stack([np.ones_like(elements), elements], 1), seconds)
    return float(fixed), float(rate)
