"""The schema of report.json.

Units are SI and in the key (``_s``, ``_bytes``); every ratio is compressed / original; shares,
accuracies and agreements are fractions from 0 to 1. A key is always there: what a run did not
produce is null, and so is a figure that is not finite, because JSON has no NaN.

``schema_version`` counts up when a key goes or changes its meaning. Keys that are added have a
default, so that reports without them are still read; added to version 1 since:

    recovery[].curve     [[steps done, loss on held-out images], …] of a method that trains
    recovery[].quality   how the original sees the images that a method fitted to, if no camera
                         saw them: {images, statistics_shift, noise_shift, confidence, classes,
                         imagined, passed, detail}
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from edgeprune.artifacts import RatioInterval  # noqa: TC001 - msgspec reads hints

SCHEMA_VERSION = 1
FILE_NAME = "report.json"


@dataclass(frozen=True, slots=True)
class Model:
    """The network that went in; ``input`` holds a shape for each positional input."""

    name: str
    sha256: str
    input: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Budget:
    """What was to be reached and what was; ``unit`` is "ratio", "s", "bytes" or "count"."""

    kind: str
    asked: float
    reached: float | None
    unit: str = "ratio"


@dataclass(frozen=True, slots=True)
class OnnxFile:
    """A model file; ``path`` is relative to the report where they lie in one directory."""

    path: str
    bytes: int
    sha256: str
    opset: int | None


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds; ``blocks`` are the lengths of the consecutive blocks that ``samples`` is made of."""

    median: float
    p90: float
    p99: float
    n: int
    samples: tuple[float, ...]
    blocks: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Side:
    """One of the two models."""

    macs: int | None
    params: int | None
    peak_activation_bytes: int | None
    onnx: OnnxFile | None
    latency_s: Latency | None
    peak_rss_bytes: int | None
    idle_rss_bytes: int | None
    load_s: float | None
    first_s: float | None


@dataclass(frozen=True, slots=True)
class Ratio:
    """Compressed / original."""

    macs: float | None
    params: float | None
    bytes: float | None
    peak_rss: float | None
    latency: RatioInterval | None


@dataclass(frozen=True, slots=True)
class Accuracy:
    """On labelled images; ``drop`` is original − recovered."""

    metric: str
    n: int
    original: float
    pruned: float
    recovered: float
    drop: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Share of images, none of them seen by recovery, where the top class is the original's."""

    n: int
    pruned: float
    recovered: float
    source: str


@dataclass(frozen=True, slots=True)
class Surgery:
    """The pruned network against the original with the same channels masked."""

    max_rel_diff: float | None
    tolerance: float
    exempt: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Parity:
    """The ONNX file against PyTorch; from ``bench``, the second file against the first."""

    max_abs_diff: float | None
    max_rel_diff: float | None
    argmax_agreement: float | None
    n: int
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Locked:
    """A layer that could not be pruned, why, and its share of the original's MACs."""

    layer: str
    reason: str
    macs_share: float


@dataclass(frozen=True, slots=True)
class Coverage:
    """How much of the network pruning could reach."""

    prunable_macs_share: float
    locked: tuple[Locked, ...]


@dataclass(frozen=True, slots=True)
class Quality:
    """How the original sees the images of a recovery method: a set, or its first images.

    A shift is the distance of what BatchNorms read from what they have stored, in standard
    deviations of a channel. Images ``passed`` if theirs is far below that of white noise; those
    that the original ``imagined`` should, those drawn by rule need not.
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
class ReportDocument:
    """report.json. A block is null where the run had no such stage, as ``bench`` has no surgery."""

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
