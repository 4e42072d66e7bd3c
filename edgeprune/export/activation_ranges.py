"""Ranges of activations: read off inputs, and no wider than BatchNorms say that values reach.

A channel behind a BatchNorm has mean β and standard deviation |γ|. What lies farther than six of
these from the mean is an outlier, of a channel that hardly moves on procedural images for instance,
and a range that holds it has coarser codes for all other values. So the range that was seen ends
there. Read off procedural images, ranges become better by it for some networks, by far for a few,
and worse for none, judged by outputs on photographs that no range was read off (scikit-image's and
scikit-learn's samples). Real images have tails that are worth their codes in some networks: there,
inputs that were held out decide, between these two and the ranges of procedural images: those of a
few images of the user's are too narrow for the others.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeprune.calibration import histogram, onnx_runs
from edgeprune.calibration.closed_form import closed_form_ranges, reach_of_norms
from edgeprune.errors import EdgepruneError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edgeprune.artifacts import Range, SourceModel
    from edgeprune.calibration.observers import Observer
    from edgeprune.export.calibrate import Calibration
    from edgeprune.parity import Array


@dataclass(frozen=True, slots=True, eq=False)
class Prepared:
    """What is found out of a network once, however often it is quantized.

    Attributes:
        known: Its float graph and inputs.
        ranges: Range of every float activation, by tensor.
        origin: What the ranges were read off, to follow "ranges of".
        codes: Codes of weights by name of the node; the nearest where there are none.
    """

    known: Calibration
    ranges: dict[str, Range]
    origin: str
    codes: Mapping[str, Array] = field(default_factory=dict)


def ways_to_range(
    network: SourceModel,
    known: Calibration,
    observer: Observer | None,
    without_images: Callable[[], Calibration],
) -> list[Prepared]:
    """The range of every float activation, in one way or in several to choose from.

    Args:
        network: The network that was exported; not changed.
        known: Its float graph and inputs.
        observer: How a range follows from values; None: no input is looked at, and there is no
            range for what no rule leads to.
        without_images: What is known of the network on procedural images; asked for where
            ``known`` is of the user's: a few of these can be worse than none.

    Raises:
        UsageError: If there is no observer, and the graph's layers are not the network's.
    """
    if observer is None:
        found = closed_form_ranges(network, known.model, known.input_ranges)
        return [Prepared(known, found, "BatchNorm statistics alone")]
    inputs = {name: each for name, each in known.input_ranges.items() if each}
    reached = reach_of_norms(network, known.model)
    seen = _observed(known, observer)
    bounded = _bounded(seen, reached)
    origin = f"{len(known.fitting)} images {known.origin}"
    if not known.real:
        return [Prepared(known, bounded | inputs, origin)]
    ways = [Prepared(known, bounded | inputs, f"{origin}, as far as BatchNorms reach")] * bool(
        reached
    )
    ways.append(Prepared(known, seen | inputs, origin))
    with suppress(EdgepruneError):  # not every network has a twin, or takes procedural images
        twin = without_images()
        bounded = _bounded(_observed(twin, observer), reached)
        origin = f"{len(twin.fitting)} images {twin.origin}"
        ways.append(Prepared(known, bounded | inputs, origin))
    return ways


def _bounded(seen: Mapping[str, Range], reached: Mapping[str, Range]) -> dict[str, Range]:
    """What was seen, no farther than BatchNorms reach."""
    return {
        name: _within(each, reached[name]) if name in reached else each
        for name, each in seen.items()
    }


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
