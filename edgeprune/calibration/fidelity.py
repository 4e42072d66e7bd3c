"""How true a quantized graph is to its float graph, on inputs that nothing was fitted to.

Inputs must lie in the ranges that the codes stand for: on white noise, or on images far from what a
network knows, quantized outputs are as wrong as they are meaningless.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from edgeprune.artifacts import Fidelity
from edgeprune.calibration.expected_drop import expected_drop, has_classes
from edgeprune.parity import NetworkComparison

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from edgeprune.artifacts import Range
    from edgeprune.parity import Array


def fidelity(
    references: Iterable[Mapping[str, Array]],
    candidates: Iterable[Mapping[str, Array]],
    *,
    outputs: Sequence[str],
    ranges: Mapping[str, Range],
    origin: str,
) -> Fidelity:
    """Compare a quantized graph with its float graph, input by input.

    Args:
        references: The float graph's outputs and the tensors that the other quantizes, by name.
        candidates: The quantized graph's outputs.
        outputs: Names of the floating-point outputs.
        ranges: Range of each quantized tensor.
        origin: Where the inputs are from.

    Raises:
        VerificationFailed: When shapes differ.
    """
    comparison = NetworkComparison()
    difference = dict.fromkeys(outputs, 0.0)
    power = dict.fromkeys(outputs, 0.0)
    scores: dict[str, list[tuple[Array, Array]]] = {}
    beyond, total = dict.fromkeys(ranges, 0), dict.fromkeys(ranges, 0)
    for wanted, got in zip(references, candidates, strict=True):
        comparison.add({name: wanted[name] for name in outputs}, [got[name] for name in outputs])
        for name in outputs:
            reference = wanted[name].astype(np.float64)
            difference[name] += float(np.sum((got[name] - reference) ** 2))
            power[name] += float(np.sum(reference**2))
            if has_classes(reference):
                scores.setdefault(name, []).append((reference, got[name].astype(np.float64)))
        for name, (low, high) in ranges.items():
            beyond[name] += _beyond(wanted[name], low, high)
            total[name] += wanted[name].size
    return Fidelity(
        relative_error=max(_relative(difference[name], power[name]) for name in outputs),
        agreement=comparison.result().argmax_agreement,
        clipped={name: beyond[name] / total[name] for name in ranges if total[name]},
        n=comparison.n,
        origin=origin,
        expected_drop=max(
            (
                expected_drop(*map(np.concatenate, zip(*each, strict=True)))
                for each in scores.values()
            ),
            default=None,
        ),
    )


def _beyond(values: Array, low: float, high: float) -> int:
    """How many values are farther from the range than rounding would bring them."""
    slack = (high - low) / 255 / 2
    return int(np.count_nonzero((values < low - slack) | (values > high + slack)))


def _relative(difference: float, power: float) -> float:
    if difference == 0:
        return 0.0
    return math.sqrt(difference / power) if power else math.inf
