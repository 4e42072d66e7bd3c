"""How long each layer of a network takes, by what the runtime says of the exported original."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx

from edgeprune.bench.operators import operator_times
from edgeprune.calibration.layer_times import LayerGraph, node_times
from edgeprune.errors import DeviceFailed

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from edgeprune.artifacts import Progress
    from edgeprune.bench import BenchSettings

WEIGHT = ".weight"
"""Ends the name of a tensor that the exporter called after a layer's parameter."""


def layer_seconds(path: Path, settings: BenchSettings, progress: Progress) -> dict[str, float]:
    """Measure the layers of a network on the device.

    Args:
        path: ONNX file of the network, whose weights bear the names of its parameters.
        settings: Where to run it.
        progress: Called once, before it is loaded.

    Returns:
        Seconds in one inference by dotted name of the layer; under "" what belongs to none. Empty
        where the runtime does not tell.
    """
    try:
        told = operator_times(path, settings, progress)
    except DeviceFailed:
        return {}
    if not told:
        return {}
    graph = LayerGraph(onnx.load(path))
    return by_layer(graph, node_times(graph, told).seconds)


def by_layer(graph: LayerGraph, seconds: Mapping[str, float]) -> dict[str, float]:
    """Share the time of nodes among layers.

    What has no weights (an activation, an addition, a pooling) grows with the channels of the layer
    that it works on, so its time is that layer's.

    Args:
        graph: The nodes.
        seconds: Time of each, by name.

    Returns:
        Seconds by layer; under "" those of nodes with no layer before them.
    """
    layers: dict[str, str] = {}
    for name, node in graph.nodes.items():
        own = next((each for each in node.input if each.endswith(WEIGHT)), None)
        before = (graph.producer.get(each) for each in node.input)
        known = (layers[each] for each in before if each in layers)
        layers[name] = own.removesuffix(WEIGHT) if own else next(known, "")
    found: dict[str, float] = {}
    for name, took in seconds.items():
        found[layers[name]] = found.get(layers[name], 0.0) + took
    return found
