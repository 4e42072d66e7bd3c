"""Weights rounded so that their layer's outputs stay, on what the layer reads in the twin.

The rounding itself is ``calibration/output_rounding.py``; here are the second moments that it
needs, E[x xᵀ] of the windows x that a filter is laid on, over positions of the calibration inputs.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from onnx import helper
from torch.nn import functional

from edgeprune.calibration.onnx_operators import filters_first
from edgeprune.calibration.output_rounding import round_for_outputs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import onnx

    from edgeprune.export.qdq import WeightCodes
    from edgeprune.export.weight_rounding import Activations
    from edgeprune.parity import Array


@dataclass(frozen=True, slots=True)
class ForOutputs:
    """Chooses between the two neighbours of every weight by the error of the layer's outputs.

    Attributes:
        ridge: Share of the mean second moment that is added to each: larger trusts the inputs'
            correlations less, and rounds more weights to the nearest code.
        inputs: Calibration inputs that are looked at (more: surer, slower).
        positions: Windows of one input that are looked at (more: surer, slower).
        widest: Weights of a filter up to which a layer is rounded so; wider ones take the nearest
            codes, as moments are the square of it.
    """

    ridge: float = 0.1
    inputs: int = 64
    positions: int = 256
    widest: int = 4608

    def __call__(
        self, layers: Sequence[WeightCodes], activations: Activations
    ) -> Mapping[str, Array]:
        """Choose codes; layers that are no plain 2-D convolution or product keep theirs."""
        moments: dict[str, Array] = {}
        able = [each for each in layers if self._able(each)]
        for found in islice(activations({each.reads for each in able}), self.inputs):
            for each in able:
                seen = windows(found[each.reads], each.layer, each.values, self.positions)
                product = np.matmul(seen, seen.swapaxes(1, 2))
                moments[each.node] = moments.get(each.node, 0) + product
        return {each.node: self._rounded(each, moments[each.node]) for each in able}

    def _able(self, layer: WeightCodes) -> bool:
        attributes = _attributes(layer.layer)
        if layer.layer.op_type == "Conv":
            width, plain = layer.values[0].size, attributes.get("auto_pad", b"NOTSET") == b"NOTSET"
            return layer.values.ndim == 4 and plain and width <= self.widest
        plain = layer.layer.op_type in ("Gemm", "MatMul") and not attributes.get("transA", 0)
        return plain and layer.values.ndim == 2 and max(layer.values.shape) <= self.widest

    def _rounded(self, layer: WeightCodes, moments: Array) -> Array:
        weight = as_filters(layer.values, layer.layer)
        scale = as_filters(np.broadcast_to(layer.scale, layer.values.shape), layer.layer)[:, :1]
        codes = np.empty(weight.shape)
        share = len(weight) // len(moments)
        for group, each in enumerate(moments.astype(np.float64)):
            some = slice(group * share, (group + 1) * share)
            level = self.ridge * np.trace(each) / len(each)
            raised = each + level * np.eye(len(each))
            exact = weight[some].astype(np.float64), scale[some].astype(np.float64)
            codes[some] = round_for_outputs(*exact, raised, layer.largest)
        return from_filters(codes, layer.values.shape, layer.layer).astype(np.int8)


def windows(values: Array, layer: onnx.NodeProto, weight: Array, positions: int) -> Array:
    """What the filters of a layer are laid on, at some of their positions.

    Args:
        values: What the layer reads, (1, C, H, W) of a convolution, else (…, K).
        layer: The node.
        weight: Its weights.
        positions: The most windows to return.

    Returns:
        Windows as columns, (groups, K, positions).
    """
    if layer.op_type != "Conv":
        rows = values.reshape(-1, values.shape[-1])
        return rows[_spread(len(rows), positions)].T[None]
    attributes = _attributes(layer)
    top, left, bottom, right = attributes.get("pads", (0, 0, 0, 0))
    padded = functional.pad(torch.from_numpy(values), (left, right, top, bottom))
    seen = functional.unfold(
        padded,
        weight.shape[2:],
        dilation=tuple(attributes.get("dilations", (1, 1))),
        stride=tuple(attributes.get("strides", (1, 1))),
    )[0]
    chosen: Array = seen[:, _spread(seen.shape[1], positions)].numpy()
    return chosen.reshape(attributes.get("group", 1), -1, chosen.shape[1])


def as_filters(weight: Array, layer: onnx.NodeProto) -> Array:
    """Weights with a row for each filter, (O, K)."""
    if filters_first(layer):
        return weight.reshape(len(weight), -1)
    return weight.T


def from_filters(rows: Array, shape: tuple[int, ...], layer: onnx.NodeProto) -> Array:
    """The opposite of :func:`as_filters`."""
    if filters_first(layer):
        return rows.reshape(shape)
    return rows.T


def _spread(count: int, most: int) -> Array:
    """Up to ``most`` of ``count`` places, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(int))


def _attributes(layer: onnx.NodeProto) -> dict[str, Any]:
    return {each.name: helper.get_attribute_value(each) for each in layer.attribute}
