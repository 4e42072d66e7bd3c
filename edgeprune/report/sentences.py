"""Sentences of a report, made from its data: every format and the headline use the same."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune import units
from edgeprune.artifacts.recorded import ROOT

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import OutputsKept
    from edgeprune.report.document import Budget, Coverage, Gate, Parity, Quality, Surgery

HALF = 0.5
"""A compressed network that keeps less of the outputs' variation has likely lost much."""


def budget(found: Budget) -> str:
    """What was reached of what was asked: "MACs 50.4% of the original (target 50%)"."""
    if found.kind == "plan":
        return f"as planned: MACs {_in(found.unit, found.reached)} of the original"
    name = BUDGETS.get(found.kind, found.kind)
    if found.reached is None:
        return f"{name} not known (target {_target(found)})"
    whole = " of the original" if found.unit == "ratio" and found.kind in REMAINING else ""
    return f"{name} {_in(found.unit, found.reached)}{whole} (target {_target(found)})"


def missed(found: Budget) -> str | None:
    """What to say, and to do, of a budget that was not met; None where it was."""
    if not found.missed:
        return None
    if found.predicted is not None:
        return f"budget not reached: {budget(found)}, measured again after recovery"
    advice = (
        "no other --unit comes nearer"
        if found.finer_unit is None
        else f"--unit {found.finer_unit} comes within 1%"
    )
    return f"budget not reached: {budget(found)}; widths are multiples of a unit, and {advice}"


def _target(found: Budget) -> str:
    ratio = found.unit == "ratio"
    return units.round_percent(found.asked) if ratio else _in(found.unit, found.asked)


def _in(unit: str, value: float | None) -> str:
    return units.PRINTERS.get(unit, units.count)(value)


def coverage(found: Coverage) -> str:
    """Shares of MACs that can shrink and that keep their outputs, and how many groups stay."""
    share = f"{units.percent(found.prunable_macs_share)} of the MACs can shrink"
    if found.fixed_width_macs_share is not None:
        share += f", {units.percent(found.fixed_width_macs_share)} keep their output channels"
    return f"{share}; {number(len(found.locked), 'group')} locked"


def outputs(found: OutputsKept) -> str:
    """How much of the original's outputs the compressed network keeps."""
    share = units.percent(found.share)
    return f"{share} of their variation is kept, on {found.n} procedural images"


def broken(found: OutputsKept) -> str | None:
    """A warning where so little is kept that accuracy is likely lost; None where not."""
    if found.share >= HALF:
        return None
    return (
        f"the compressed network keeps {units.percent(found.share)} of the variation of the "
        "original's outputs: it has likely lost much of its accuracy. Ask for a larger budget, "
        "recover with --images DIR, or measure it with --eval DIR"
    )


def surgery(proof: Surgery) -> str:
    """Whether the pruned network computes what the masked original does, and how nearly."""
    exempt = f"; {_over_fewer(proof.exempt)}" if proof.exempt else ""
    precision = f" in {proof.dtype}" if proof.dtype not in (None, "float64") else ""
    differ = f"{units.difference(proof.max_rel_diff)} at most{precision}"
    largest = f"{differ} (tolerance {proof.tolerance:.0e})"
    return f"{exactness(proof)}: differs from the masked original by {largest}{exempt}"


def _over_fewer(layers: Sequence[str]) -> str:
    """Where the statistics of both are those of the channels that stay, the first few by name."""
    places = ["the forward" if each == ROOT else each for each in layers[:3]]
    more = [f"{len(layers) - 3} more layers"] if len(layers) > 3 else []
    return f"statistics over the channels that stay in {', '.join(places + more)}"


def exactness(proof: Surgery) -> str:
    """Whether surgery was right, in a word or two."""
    return "exact" if holds(proof) else "NOT exact"


def holds(proof: Surgery) -> bool:
    """Whether surgery was right; a difference that is not finite proves nothing."""
    return proof.max_rel_diff is not None and proof.max_rel_diff <= proof.tolerance


def verified(parity: Parity) -> str:
    """Whether an exported file was verified, and on how much."""
    if parity.max_rel_diff is None:
        return "NOT verified: its outputs are not finite"
    return f"verified on {number(parity.n, 'input')}"


def closeness(parity: Parity, others: str) -> str:
    """How near outputs are to those of ``others``, like "PyTorch's"."""
    batches = ", ".join(map(str, parity.batch_sizes)) or units.UNKNOWN
    largest = f"{units.difference(parity.max_rel_diff)} of their largest at most"
    differ = f"outputs differ from {others} by {largest}"
    return f"{differ}, {agreement(parity)} (batch {batches})"


def agreement(parity: Parity) -> str:
    """How often the same class wins: a count of inputs where that is exact, else a share.

    The report holds the share over all positions of an output. It becomes a count of inputs only
    where it is a whole number of them, as it always is for a classifier.
    """
    share = parity.argmax_agreement
    if share is None or not parity.n:
        return "top-1 not known"
    inputs = round(share * parity.n)
    if share == inputs / parity.n:
        return f"top-1 identical on {inputs} of {number(parity.n, 'input')}"
    below = min(share, 0.999) if share < 1 else share  # 99.96% is not all
    return f"top-1 identical at {units.percent(below)} of positions"


def image_quality(found: Quality) -> str:
    """How the original sees the images of a recovery method.

    "256 procedural images: BatchNorm statistics off by 0.22 σ (white noise: 0.60); mean confidence
    49%, 8 classes seen".
    """
    kind = "synthesized" if found.imagined else "procedural"
    images = number(found.images, f"{kind} image")
    shift, noise = (_sigma(value) for value in (found.statistics_shift, found.noise_shift))
    text = f"{images}: BatchNorm statistics off by {shift} σ (white noise: {noise})"
    if found.confidence is not None:
        text += f"; mean confidence {units.whole_percent(found.confidence)}"
    if found.classes is not None:
        text += f", {number(found.classes, 'class')} seen"
    return text if found.passed or not found.imagined else f"{text}; not far enough below noise"


def _sigma(shift: float | None) -> str:
    return "not finite" if shift is None else f"{shift:.2f}"


def values(gate: Gate) -> str:
    """The figures that a gate compared: "ratio.macs = 0.5"."""
    return ", ".join(f"{path} = {value:.4g}" for path, value in gate.values.items())


def number(count: int, thing: str) -> str:
    """A count of things: "1 image", "2 images", "8 classes"."""
    plural = f"{thing}es" if thing.endswith("s") else f"{thing}s"
    return f"{count} {thing if count == 1 else plural}"


def tone(text: str) -> str:
    """Whether a cell is good news, "good", bad, "bad", or open, "note"; else empty."""
    if text.startswith(BAD):
        return "bad"
    if text.startswith(OPEN):
        return "note"
    return "good" if text == "passed" or text.startswith(GOOD) else ""


BUDGETS = {
    "macs": "MACs",
    "params": "parameters",
    "ratio": "channels removed",
    "latency": "latency",
    "size": "file size",
}
"""Kinds of budgets, as people call them."""

REMAINING = ("macs", "params", "latency", "size")
"""Kinds of budgets whose share is of what remains."""

BAD = ("FAILED", "NOT exact", "NOT verified")
GOOD = ("exact: ", "verified on ")
OPEN = ("not measured: ", "budget not reached: ")
