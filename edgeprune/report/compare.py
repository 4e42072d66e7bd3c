"""From artifacts to the parts of a report: each side's figures and their ratios. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol

from edgeprune import stats
from edgeprune.report import document

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune import artifacts
    from edgeprune.artifacts import ExportedModel, Measurement, RatioInterval


class CountedLayer(Protocol):
    """What a cost counter found in one layer."""

    @property
    def name(self) -> str:
        """Dotted name."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference at batch 1."""


class Counted(Protocol):
    """What a cost counter found in one model."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference at batch 1."""

    @property
    def params(self) -> int:
        """Parameters."""

    @property
    def peak_activation_bytes(self) -> int:
        """The most that activations alive at the same time take."""

    @property
    def layers(self) -> Sequence[CountedLayer]:
        """The same by layer."""


def side(
    costs: Counted | None, exported: ExportedModel | None, measurement: Measurement | None
) -> document.Side:
    """What is known of one model."""
    known = UNKNOWN
    if costs:
        known = replace(
            known,
            macs=costs.macs,
            params=costs.params,
            peak_activation_bytes=costs.peak_activation_bytes,
        )
    if exported:
        known = replace(known, onnx=onnx_file(exported))
    return measured(known, measurement) if measurement else known


def measured(known: document.Side, measurement: Measurement) -> document.Side:
    """``known`` with what was measured."""
    return replace(
        known,
        latency_s=latency(measurement),
        peak_rss_bytes=measurement.peak_rss_bytes,
        idle_rss_bytes=measurement.idle_rss_bytes,
        load_s=measurement.load_s,
        first_s=measurement.first_s,
    )


def onnx_file(exported: ExportedModel) -> document.OnnxFile:
    """The file by its bare name, because it lies beside the report."""
    return document.OnnxFile(exported.path.name, exported.bytes, exported.sha256, exported.opset)


def latency(measurement: Measurement) -> document.Latency:
    """Quantiles over all samples, and the samples themselves."""
    samples = tuple(sample for block in measurement.blocks_s for sample in block)
    median, p90, p99 = (stats.quantile(samples, share) for share in (0.5, 0.9, 0.99))
    blocks = tuple(len(block) for block in measurement.blocks_s)
    return document.Latency(median, p90, p99, len(samples), samples, blocks)


def ratios(
    original: document.Side, compressed: document.Side, interval: RatioInterval | None
) -> document.Ratio:
    """Compressed / original; None where either is unknown or the original is zero."""
    return document.Ratio(
        macs=ratio(compressed.macs, original.macs),
        params=ratio(compressed.params, original.params),
        bytes=ratio(file_bytes(compressed), file_bytes(original)),
        peak_rss=ratio(compressed.peak_rss_bytes, original.peak_rss_bytes),
        latency=interval,
    )


def file_bytes(known: document.Side) -> int | None:
    """Size of the model's file."""
    return known.onnx.bytes if known.onnx else None


def ratio(after: float | None, before: float | None) -> float | None:
    """``after / before``; None where either is unknown or ``before`` is zero."""
    return None if after is None or not before else finite(after / before)


def accuracy(
    *, n: int, original: float, pruned: float, recovered: float, metric: str = "top-1"
) -> document.Accuracy:
    """Accuracies as fractions, with the drop from the original to the recovered network."""
    return document.Accuracy(metric, n, original, pruned, recovered, drop=original - recovered)


def surgery(proof: artifacts.SurgeryProof) -> document.Surgery:
    """What the proof says; groups rolled back are told in the notes."""
    return document.Surgery(finite(proof.max_rel_diff), proof.tolerance, proof.exempt)


def parity(found: artifacts.Parity) -> document.Parity:
    """What comparing outputs found; a difference that is not finite is None."""
    return document.Parity(
        max_abs_diff=finite(found.max_abs_diff),
        max_rel_diff=finite(found.max_rel_diff),
        argmax_agreement=finite(found.argmax_agreement),
        n=found.n,
        batch_sizes=found.batch_sizes,
    )


def recovery(step: artifacts.RecoveryStep) -> document.Recovery:
    """What a method did, on which images."""
    return document.Recovery(
        method=step.method,
        seconds=step.seconds,
        images=step.images,
        detail=step.detail,
        curve=tuple((steps, finite(loss)) for steps, loss in step.curve),
        quality=quality(step.quality) if step.quality else None,
    )


def quality(found: artifacts.ImageQuality) -> document.Quality:
    """How the original sees images; a shift that is not finite is None."""
    return document.Quality(
        images=found.images,
        statistics_shift=finite(found.statistics_shift),
        noise_shift=finite(found.noise_shift),
        confidence=None if found.confidence is None else finite(found.confidence),
        classes=found.classes,
        imagined=found.imagined,
        passed=found.passed,
        detail=str(found),
    )


def finite(value: float) -> float | None:
    """``value``, unless it is infinite or not a number: JSON has neither."""
    return value if math.isfinite(value) else None


UNKNOWN = document.Side(
    macs=None,
    params=None,
    peak_activation_bytes=None,
    onnx=None,
    latency_s=None,
    peak_rss_bytes=None,
    idle_rss_bytes=None,
    load_s=None,
    first_s=None,
)
"""A model of which nothing is known yet."""
