"""The schema of report.json.

Units are SI and in the key (``_s``, ``_bytes``); every ratio is compressed / original; shares,
accuracies and agreements are fractions from 0 to 1. A key is always there: what a run did not
produce is null, and so is a figure that is not finite, because JSON has no NaN.

``schema_version`` counts up when a key goes or changes its meaning. Keys that are added have a
default, so that reports without them are still read; added to version 1 since::

    model.preprocessing  {mean, std} of pixels, where the input is an image
    surgery.dtype        precision that the proof was made in
    budget.missed        whether asked and reached differ by more than 1 % of the original
    budget.finer_unit    the --unit with which they would not
    budget.sensitivity   what the network loses with channels of each group, where widths were
                         chosen by it: {curves: [{group, criterion, widths, errors}], images,
                         origin}
    budget.predicted     the figure of a measured budget that its price foretold
    budget.original      the original's figure where a measured budget is no share of it
    recovery[].curve     [[steps done, loss on held-out images], …] of a method that trains
    recovery[].notes     what detail says, as data: {kind, …}
    recovery[].quality   how the original sees the images that a method fitted to, if no camera
                         saw them: {images, statistics_shift, noise_shift, confidence, classes,
                         imagined, passed, detail}
    latency_s            .sessions, .p5: of runs that nothing interrupted, as ratio.latency is
    load_samples_s       and first_samples_s: of each session; load_s and first_s are medians
    run_peak_rss_bytes   and load_peak_rss_bytes: peak_rss_bytes is the larger of the two
    profile_peak_bytes   the most one inference takes by the runtime's own count, always the same
    instructions         of each side and in ratio: per inference, on an emulated processor
    layers               what each layer had and has left
    baseline             this report against an earlier one of the same machine
    runtime_parity       what another runtime than ONNX Runtime computed against it, by model
    runtimes             further runtimes: {runtime, status, detail, original, compressed, ratio,
                         parity}
    accuracy.quantized   of the quantized file itself, delivered or not; drop is the deliverable's
    accuracy.low         and .high: interval of the drop, 95 %
    agreement.quantized  agreement of the quantized file
    fidelity             how true the quantized file is to the float file
    precision            which of both is delivered, and why
    coverage.fixed_width_macs_share
                         MACs of layers whose output channels stay
    coverage.groups      MACs that go with each group's channels
    outputs              share of the outputs' variation that is kept on images that are not real
    alternatives               what one could do instead of pruning: {kind, detail, latency, bytes,
                         outputs, accuracy, agreement}, ratios to the original
    unmeasured           what is not known of the result, and how to know it: {accuracy: …}
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from edgeprune.artifacts import (  # noqa: TC001 - msgspec reads hints
    Alternative,
    OutputsKept,
    RatioInterval,
    Sensitivity,
)
from edgeprune.report.covered import Coverage as Coverage  # noqa: TC001
from edgeprune.report.covered import Locked as Locked
from edgeprune.report.covered import Shrinking as Shrinking
from edgeprune.report.measured import Instructions as Instructions
from edgeprune.report.measured import Latency as Latency
from edgeprune.report.measured import OnnxFile as OnnxFile
from edgeprune.report.measured import Parity as Parity  # noqa: TC001
from edgeprune.report.measured import Ratio as Ratio  # noqa: TC001
from edgeprune.report.measured import RuntimeParity as RuntimeParity  # noqa: TC001
from edgeprune.report.measured import RuntimeResult as RuntimeResult  # noqa: TC001
from edgeprune.report.measured import Side as Side  # noqa: TC001
from edgeprune.report.quality import Accuracy as Accuracy  # noqa: TC001
from edgeprune.report.quality import Agreement as Agreement  # noqa: TC001
from edgeprune.report.quality import Fidelity as Fidelity  # noqa: TC001
from edgeprune.report.quality import Precision as Precision  # noqa: TC001

SCHEMA_VERSION = 1
FILE_NAME = "report.json"


@dataclass(frozen=True, slots=True)
class Preprocessing:
    """How pixels become the network's input: from 0 to 1, less ``mean``, divided by ``std``.

    A value for each channel, red, green and blue in this order where there are three.
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Model:
    """The network that went in; ``input`` holds a shape for each positional input.

    ``preprocessing`` is null where the input is no image.
    """

    name: str
    sha256: str
    input: tuple[tuple[int, ...], ...]
    preprocessing: Preprocessing | None = None


@dataclass(frozen=True, slots=True)
class Budget:
    """The target and what was reached; ``unit`` is "ratio", "s", "bytes" or "count".

    ``missed`` says that they differ by more than 1 % of the original, or that a measured figure is
    3 % above; ``finer_unit`` is the --unit that would not, if there is one. ``predicted`` is what
    the price that steered to a measured budget foretold, ``original`` the original's figure where
    ``asked`` is not a share of it.
    """

    kind: str
    asked: float
    reached: float | None
    unit: str = "ratio"
    missed: bool = False
    finer_unit: int | None = None
    sensitivity: Sensitivity | None = None
    predicted: float | None = None
    original: float | None = None


@dataclass(frozen=True, slots=True)
class Surgery:
    """The pruned network against the original with the same channels masked, both in ``dtype``."""

    max_rel_diff: float | None
    tolerance: float
    exempt: tuple[str, ...]
    dtype: str | None = None


@dataclass(frozen=True, slots=True)
class Quality:
    """How the original sees the images of a recovery method: a set, or its first images.

    A shift is the distance of what BatchNorms read from what they have stored, in standard
    deviations of a channel. Images ``passed`` if theirs is far below that of white noise; those
    synthesized by model inversion (``imagined``) should, procedural ones need not.
    """

    images: int
    statistics_shift: float | None
    noise_shift: float | None
    confidence: float | None
    classes: int | None
    imagined: bool
    passed: bool
    detail: str


@dataclass(frozen=True, slots=True)
class Recovery:
    """A method that ran; ``images`` is how many it used, ``curve`` the loss on others by steps."""

    method: str
    seconds: float
    images: int
    detail: str
    curve: tuple[tuple[int, float | None], ...] = ()
    quality: Quality | None = None
    notes: tuple[dict[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of the run."""

    name: str
    status: Literal["ok", "degraded", "skipped", "failed"]
    seconds: float
    detail: str = ""


@dataclass(frozen=True, slots=True)
class Gate:
    """A --fail-if expression; ``value`` is what its first path held, ``values`` all of them."""

    expression: str
    value: float
    passed: bool
    values: dict[str, float]


@dataclass(frozen=True, slots=True)
class LayerCost:
    """Cost of one layer at batch 1; ``channels`` are those of its output, where they are known."""

    channels: int | None
    macs: int
    params: int


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer with weights, by its dotted name; ``after`` is null where it is gone."""

    name: str
    kind: str
    before: LayerCost
    after: LayerCost | None


@dataclass(frozen=True, slots=True)
class Baseline:
    """This report's compressed (or only) model against that of an earlier report: now / then.

    ``latency`` is null where the two were not measured alike; ``differs`` names the differences.
    """

    path: str
    created: str
    latency: RatioInterval | None
    bytes: float | None
    macs: float | None
    params: float | None
    peak_rss: float | None
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ReportDocument:
    """report.json. A part is null where the run had no such stage, as ``bench`` has no surgery.

    ``unmeasured`` has what a reader must not take for good because nothing says otherwise, with
    what would measure it.
    """

    schema_version: int
    edgeprune: str
    created: str
    command: str
    seed: int
    model: Model | None
    budget: Budget | None
    original: Side
    compressed: Side | None
    ratio: Ratio | None
    accuracy: Accuracy | None
    agreement: Agreement | None
    surgery: Surgery | None
    parity: Parity | None
    coverage: Coverage | None
    recovery: tuple[Recovery, ...]
    stages: tuple[Stage, ...]
    environment: dict[str, Any]
    notes: tuple[str, ...]
    gates: tuple[Gate, ...]
    layers: tuple[Layer, ...] = ()
    baseline: Baseline | None = None
    runtime_parity: RuntimeParity | None = None
    runtimes: tuple[RuntimeResult, ...] = ()
    fidelity: Fidelity | None = None
    precision: Precision | None = None
    unmeasured: dict[str, str] = field(default_factory=dict)
    outputs: OutputsKept | None = None
    alternatives: tuple[Alternative, ...] = ()
