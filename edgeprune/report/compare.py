"""From artifacts to the parts of a report: each side's figures and their ratios. Pure functions."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from edgeprune import artifacts, stats
from edgeprune.report import document, figures, sentences

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from edgeprune.artifacts import ExportedModel, InstructionCounts, Measurement, RatioInterval


class CountedLayer(Protocol):
    """What a cost counter found in one layer."""

    @property
    def name(self) -> str:
        """Dotted name."""

    @property
    def macs(self) -> int:
        """Multiply-accumulates of one inference at batch 1."""

    @property
    def params(self) -> int:
        """Parameters that it is the first to read."""


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
        """Costs layer by layer."""


def side(
    costs: Counted | None,
    exported: ExportedModel | None,
    measurement: Measurement | InstructionCounts | None,
) -> document.Side:
    """All that is known of one model."""
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


def measured(known: document.Side, measurement: Measurement | InstructionCounts) -> document.Side:
    """``known`` with what was measured, or what was counted instead."""
    if isinstance(measurement, artifacts.InstructionCounts):
        return replace(known, instructions=instructions(measurement))
    sessions = measurement.sessions
    load_peak = middle(session.load_peak_rss_bytes for session in sessions)
    run_peak = middle(session.run_peak_rss_bytes for session in sessions)
    return replace(
        known,
        latency_s=latency(measurement),
        inferences_per_s=throughput(measurement),
        load_s=stats.median([session.load_s for session in sessions]),
        first_s=stats.median([session.first_s for session in sessions]),
        load_samples_s=tuple(session.load_s for session in sessions),
        first_samples_s=tuple(session.first_s for session in sessions),
        idle_rss_bytes=middle(session.idle_rss_bytes for session in sessions),
        load_peak_rss_bytes=load_peak,
        run_peak_rss_bytes=run_peak,
        peak_rss_bytes=max(load_peak, run_peak),
        profile_peak_bytes=measurement.profile_peak_bytes,
    )


def middle(sizes: Iterable[int]) -> int:
    """The median of sizes, in whole bytes."""
    return round(stats.median(list(sizes)))


def throughput(measurement: Measurement) -> float:
    """Inferences per second of running, one after the other."""
    samples = measurement.samples_s
    return len(samples) / sum(samples)


def onnx_file(exported: ExportedModel) -> document.OnnxFile:
    """The file by its bare name, because it lies beside the report."""
    return document.OnnxFile(exported.path.name, exported.bytes, exported.sha256, exported.opset)


def latency(measurement: Measurement) -> document.Latency:
    """Quantiles over all samples, and the samples themselves."""
    samples = measurement.samples_s
    shares = (stats.P5, 0.5, 0.9, 0.99)
    p5, median, p90, p99 = (stats.quantile(samples, share) for share in shares)
    return document.Latency(
        median=median,
        p90=p90,
        p99=p99,
        n=len(samples),
        samples=samples,
        blocks=tuple(len(block) for block in measurement.blocks_s),
        sessions=tuple(len(session.blocks_s) for session in measurement.sessions),
        p5=p5,
    )


def instructions(counted: InstructionCounts) -> document.Instructions:
    """What was counted under emulation."""
    return document.Instructions(
        per_inference=counted.per_inference,
        samples=counted.samples,
        repeat=counted.repeat,
        host_max_rel_diff=counted.host_max_rel_diff,
    )


def ratios(
    original: document.Side, compressed: document.Side, interval: RatioInterval | None
) -> document.Ratio:
    """Compressed / original; None where either is unknown or the original is zero."""
    divided: dict[str, Any] = {
        figure.ratio: ratio(figure.of(compressed), figure.of(original))
        for figure in figures.with_ratio()
    }
    return document.Ratio(**divided, latency=interval)


def ratio(after: float | None, before: float | None) -> float | None:
    """``after / before``; None where either is unknown or ``before`` is zero."""
    return None if after is None or not before else finite(after / before)


def accuracy(  # noqa: PLR0913
    *,
    n: int,
    original: float,
    pruned: float,
    recovered: float,
    quantized: float | None = None,
    delivers_quantized: bool = False,
    turned: tuple[int, int] | None = None,
) -> document.Accuracy:
    """Accuracies as fractions, with the drop from the original to the deliverable.

    ``turned`` is on how many images the original alone is right, and the deliverable alone.
    """
    final = quantized if quantized is not None and delivers_quantized else recovered
    drop = original - final
    sure = stats.paired_difference(*turned, n) if turned else None
    return document.Accuracy(
        *("top-1", n, original, pruned, recovered, drop, quantized),
        low=sure and sure.low,
        high=sure and sure.high,
    )


def fidelity(quantized: artifacts.QuantizedModel) -> document.Fidelity:
    """How true a quantized file is; an error that is not finite is None."""
    found = quantized.fidelity
    return document.Fidelity(
        relative_error=finite(found.relative_error),
        agreement=found.agreement,
        expected_drop=found.expected_drop,
        clipped=found.most_clipped,
        n=found.n,
        source=found.origin,
        layers=found.clipped,
    )


def precision(choice: artifacts.PrecisionChoice) -> document.Precision:
    """Which precision is delivered, and why."""
    quantized, floats = choice.quantized, choice.float_file
    return document.Precision(
        asked=choice.asked,
        delivered=choice.delivered,
        ground=choice.ground,
        figure=choice.figure,
        ratio=choice.ratio,
        bytes=quantized.bytes / floats.bytes,
        activations=quantized.activations,
        kept_float=quantized.kept_float,
        kernel_codes=quantized.kernels.most_codes,
        beside=(quantized if choice.delivered == "fp32" else floats).path.name,
        rounding=quantized.rounding,
    )


def surgery(proof: artifacts.SurgeryProof) -> document.Surgery:
    """The proof of surgery; groups rolled back are in the notes."""
    return document.Surgery(finite(proof.max_rel_diff), proof.tolerance, proof.exempt, proof.dtype)


def parity(found: artifacts.Parity) -> document.Parity:
    """The comparison of outputs; a difference that is not finite is None."""
    return document.Parity(
        max_abs_diff=finite(found.max_abs_diff),
        max_rel_diff=finite(found.max_rel_diff),
        argmax_agreement=finite(found.argmax_agreement),
        n=found.n,
        batch_sizes=found.batch_sizes,
    )


def runtime_parity(found: artifacts.RuntimeParity) -> document.RuntimeParity | None:
    """A runtime's outputs against ONNX Runtime's; None where nothing was compared."""
    if not found.models:
        return None
    models = [parity(each) if each else None for each in found.models]
    return document.RuntimeParity(models[0], models[1] if len(models) > 1 else None)


def runtime(run: artifacts.RuntimeRun, report: document.ReportDocument) -> document.RuntimeResult:
    """The measurements of the models of ``report`` on one more runtime."""
    bare = [
        replace(UNKNOWN, onnx=each.onnx) for each in (report.original, report.compressed) if each
    ]
    sides = [measured(known, found) for known, found in zip(bare, run.models, strict=False)]
    original, compressed = (*sides, None, None)[:2]
    return document.RuntimeResult(
        runtime=run.runtime,
        status=run.status,
        detail=run.detail,
        original=original,
        compressed=compressed,
        ratio=ratios(original, compressed, run.latency) if original and compressed else None,
        parity=runtime_parity(run.parity),
    )


def recovery(step: artifacts.RecoveryStep) -> document.Recovery:
    """The record of a method: its time, its images and its losses."""
    return document.Recovery(
        method=step.method,
        seconds=step.seconds,
        images=step.images,
        detail=step.detail,
        notes=tuple({"kind": note.kind, **note.values} for note in step.notes),
        curve=tuple((steps, finite(loss)) for steps, loss in step.curve),
        quality=quality(step.quality) if step.quality else None,
    )


def quality(found: artifacts.ImageQuality) -> document.Quality:
    """How the original sees images; a shift that is not finite is None."""
    known = document.Quality(
        images=found.images,
        statistics_shift=finite(found.statistics_shift),
        noise_shift=finite(found.noise_shift),
        confidence=None if found.confidence is None else finite(found.confidence),
        classes=found.classes,
        imagined=found.kind is artifacts.ImageKind.SYNTHESIZED,
        passed=found.passed,
        detail="",
    )
    return replace(known, detail=sentences.image_quality(known))


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
