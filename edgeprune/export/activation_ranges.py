"""Ranges of activations: read off inputs, and no wider than BatchNorms say that values reach.

A channel behind a BatchNorm has mean β and standard deviation |γ|. What lies farther than six of
these from the mean is an outlier, of a channel that hardly moves on procedural images for instance,
and a range that holds it has coarser codes for all other values. So the range that was seen ends
there. Read off procedural images, ranges become better by it for some networks, by far for a few,
and worse for none, judged by outputs on photographs that no range was read off (scikit-image's and
scikit-learn's samples). Real images have tails that are worth their codes in some networks: there,
inputs that were held out decide.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.calibration import histogram, onnx_runs
from edgeprune.calibration.closed_form import closed_form_ranges, reach_of_norms

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.artifacts import Range, SourceModel
    from edgeprune.calibration.observers import Observer
    from edgeprune.export.calibrate import Calibration
    from edgeprune.parity import Array


def candidate_ranges(
    network: SourceModel, known: Calibration, observer: Observer | None
) -> tuple[dict[str, Range], ...]:
    """The range of every float activation.

    Args:
        network: The network that was exported; not changed.
        known: Its float graph and inputs.
        observer: How a range follows from values; None: no input is looked at.

    Returns:
        Ranges by tensor, one way or two to choose from; without an observer none for what no rule
        leads to.

    Raises:
        UsageError: If there is no observer, and the graph's layers are not the network's.
    """
    if observer is None:
        return (closed_form_ranges(network, known.model, known.input_ranges),)
    seen, reached = _observed(known, observer), reach_of_norms(network, known.model)
    bounded = {name: _within(seen[name], reached[name]) for name in seen.keys() & reached}
    inputs = {name: each for name, each in known.input_ranges.items() if each}
    ways = (seen | bounded | inputs, seen | inputs)
    return ways if known.real and bounded else ways[:1]


def _observed(known: Calibration, observer: Observer) -> dict[str, Range]:
    """The range of every float activation by its values alone."""
    names = onnx_runs.float_tensors(known.reference)

    def run() -> Iterator[dict[str, Array]]:
        return onnx_runs.tensors(known.reference, names, known.fitting)

    seen = histogram.extremes(run())
    if observer.counts:
        seen = histogram.counted(run(), seen)
    return {name: observer(values) for name, values in seen.items()}


def _within(seen: Range, reached: Range) -> Range:
    """The part of a range that BatchNorms say is reached; the whole where none of it is."""
    low, high = max(seen[0], reached[0]), min(seen[1], reached[1])
    return (low, high) if low <= high else seen
