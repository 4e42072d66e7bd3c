"""Which layers of a quantized network compute in float: the minimum of measured time, exactly.

An 8-bit layer can be slower than the float one: depthwise convolutions are, in some runtimes, and
a float layer between 8-bit ones pays for the conversion of its tensors. So the choice is one over
all layers together. With time f_i of layer i in float, q_i in 8 bits, and for a tensor t the time
Q_t to quantize and D_t to dequantize it, the labels x_i (1: 8 bits) minimise

    Σ_i (x_i q_i + (1 − x_i) f_i)
      + Σ_t (Q_t [x_p = 0 and some reader 1] + D_t [x_p = 1 and some reader 0])

where p makes t. Every term is submodular, so the minimum is a minimum cut of a network with two
further nodes for each tensor, one for "some reader computes in 8 bits" and one for "some reader in
float": V. Kolmogorov and R. Zabih, "What Energy Functions Can Be Minimized via Graph Cuts?",
IEEE PAMI 26 (2), 2004.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

OUTSIDE = -1
"""The maker of the network's inputs and the reader of its outputs, which are float."""

WHOLE, UNLIMITED = 2**28, 2**29
"""The sum of all limited capacities, and one that no flow exhausts: flows are 32-bit integers."""


@dataclass(frozen=True, slots=True)
class Crossing:
    """What it costs if a tensor passes between layers of different precision.

    Attributes:
        producer: Index of the layer that makes the tensor, or ``OUTSIDE``.
        consumers: Indices of the layers that read it, or ``OUTSIDE``.
        quantize_s: Time to quantize it, once for all readers; seconds.
        dequantize_s: Time to dequantize it; seconds.
    """

    producer: int
    consumers: tuple[int, ...]
    quantize_s: float
    dequantize_s: float


def fastest_precisions(
    float_s: Sequence[float], int8_s: Sequence[float], crossings: Sequence[Crossing]
) -> tuple[bool, ...]:
    """Choose the precision of every layer so that the sum of all times is least.

    Args:
        float_s: Time of each layer in float, in seconds; infinite: it cannot.
        int8_s: Time of each layer in 8 bits; infinite: it cannot.
        crossings: The tensors between the layers.

    Returns:
        For each layer whether it computes in 8 bits. Where times tie, fewer layers do.
    """
    layers = len(float_s)
    source, sink = layers, layers + 1  # 8 bits, float
    edges = [(source, i, float_s[i]) for i in range(layers)]
    edges += [(i, sink, int8_s[i]) for i in range(layers)]
    for number, crossing in enumerate(crossings):
        eighth, floating = sink + 1 + 2 * number, sink + 2 + 2 * number
        edges += _edges(crossing, eighth, floating, sink)
    graph = _capacities(edges, sink + 1 + 2 * len(crossings))
    flow = maximum_flow(graph, source, sink).flow
    residual = csr_array(graph - flow)
    residual.eliminate_zeros()
    reached = set(breadth_first_order(residual, source, return_predecessors=False).tolist())
    return tuple(i in reached for i in range(layers))


def _edges(
    crossing: Crossing, eighth: int, floating: int, sink: int
) -> Iterator[tuple[int, int, float]]:
    """The edges of one tensor: cut where the start is 8-bit and the end is float."""
    producer = sink if crossing.producer == OUTSIDE else crossing.producer
    consumers = [sink if each == OUTSIDE else each for each in crossing.consumers]
    yield eighth, producer, crossing.quantize_s
    yield producer, floating, crossing.dequantize_s
    for consumer in consumers:
        yield consumer, eighth, np.inf
        yield floating, consumer, np.inf


def _capacities(edges: Sequence[tuple[int, int, float]], nodes: int) -> csr_array:
    """Edges as integers, (nodes, nodes): a share of the sum of all that are finite."""
    starts, ends, seconds = map(np.array, zip(*edges, strict=True))
    finite = np.isfinite(seconds)
    total = float(seconds[finite].sum()) or 1.0
    whole = np.where(finite, np.rint(np.where(finite, seconds, 0) / total * WHOLE), UNLIMITED)
    kept = (starts != ends) & (whole > 0)
    matrix = coo_array((whole[kept], (starts[kept], ends[kept])), shape=(nodes, nodes))
    return csr_array(matrix.astype(np.int64).tocsr().minimum(UNLIMITED).astype(np.int32))
