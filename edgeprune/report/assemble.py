"""From the artifacts of a run to its report.

``created``, the versions and, where nothing was measured, the machine are those of this process;
all else is a function of what is given.
"""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from edgeprune.report import compare, document, environment, sentences
from edgeprune.report.alternative_rows import better

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeprune import artifacts
    from edgeprune.artifacts import (
        CountComparison,
        ExportedModel,
        InstructionCounts,
        LatencyComparison,
        Measurement,
        RatioInterval,
        RecoveryStep,
    )

NO_ACCURACY = (
    "not measured: pass --eval DIR with labelled images, one folder a class, or test the result "
    "with your own metric"
)

IMAGE_CHANNELS = (1, 3)
"""Channels of images that a camera gives."""

ENVIRONMENT = (
    *("machine", "cpu", "cores", "threads", "governor"),
    *("os", "python", "packages", "runtime", "device"),
)
"""Keys that ``environment`` always has; None for what is not known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunResult:
    """What a run produced, for its report; None for what it did not produce.

    Attributes:
        command: Command line that the user typed, for people to repeat.
        seed: The run's seed.
        source: The network that went in.
        budget: Target, and what was reached.
        original_costs: MACs, parameters and memory of the original.
        compressed_costs: MACs, parameters and memory of the compressed network.
        original_file: ONNX file of the original.
        compressed_file: The deliverable; its parity becomes the report's.
        comparison: Measurements of both files; None after --no-bench.
        surgery: Proof of the pruned network.
        coverage: How much could be pruned.
        layers: Each layer's cost before and after.
        accuracy: Accuracies on the images of --eval; see ``compare.accuracy``.
        agreement: Agreement with the original, on images recovery never saw.
        outputs: How much of the original's outputs is kept; None where it cannot be told.
        precision: Which precision is delivered, and why; None where only one was made.
        alternatives: What one could do instead, measured.
        recovery: Recovery methods that ran.
        stages: Every stage with its status.
        notes: Remarks for the reader; those of the artifacts are added.
    """

    command: str
    seed: int
    source: artifacts.SourceModel | None = None
    budget: document.Budget | None = None
    original_costs: compare.Counted | None = None
    compressed_costs: compare.Counted | None = None
    original_file: ExportedModel | None = None
    compressed_file: ExportedModel | None = None
    comparison: LatencyComparison | CountComparison | None = None
    surgery: artifacts.SurgeryProof | None = None
    coverage: document.Coverage | None = None
    layers: Sequence[document.Layer] = ()
    accuracy: document.Accuracy | None = None
    agreement: document.Agreement | None = None
    outputs: artifacts.OutputsKept | None = None
    precision: artifacts.PrecisionChoice | None = None
    alternatives: Sequence[artifacts.Alternative] = ()
    recovery: Sequence[RecoveryStep] = ()
    stages: Sequence[document.Stage] = ()
    notes: Sequence[str] = ()


def assemble(run: RunResult) -> document.ReportDocument:
    """The report of a compression run, its gates not judged yet (``gates.judge``)."""
    found = run.comparison
    before = compare.side(run.original_costs, run.original_file, found.original if found else None)
    after = compare.side(
        run.compressed_costs, run.compressed_file, found.compressed if found else None
    )
    report = document.ReportDocument(
        **_header(run.command, run.seed),
        model=_model(run.source) if run.source else None,
        budget=run.budget,
        original=before,
        compressed=after,
        ratio=compare.ratios(before, after, found.latency if found else None),
        accuracy=run.accuracy,
        agreement=run.agreement,
        surgery=compare.surgery(run.surgery) if run.surgery else None,
        parity=compare.parity(run.compressed_file.parity) if run.compressed_file else None,
        coverage=run.coverage,
        recovery=tuple(map(compare.recovery, run.recovery)),
        stages=tuple(run.stages),
        environment=_environment(run.comparison),
        notes=tuple(_notes(run)),
        gates=(),
        layers=tuple(run.layers),
        fidelity=compare.fidelity(run.precision.quantized) if run.precision else None,
        precision=compare.precision(run.precision) if run.precision else None,
        unmeasured={} if run.accuracy else {"accuracy": NO_ACCURACY},
        outputs=run.outputs,
        alternatives=tuple(run.alternatives),
    )
    return replace(report, notes=(*better(report).values(), *report.notes))


@dataclass(frozen=True, slots=True)
class Benched:
    """One file that ``bench`` measured; ``costs`` is None where they cannot be counted."""

    file: document.OnnxFile
    measurement: Measurement | InstructionCounts
    costs: compare.Counted | None = None


def from_bench(
    original: Benched,
    *,
    measured_on: Mapping[str, object],
    notes: Sequence[str],
    command: str,
    seed: int,
) -> document.ReportDocument:
    """The report of ``bench A``: one model and nothing to compare it with."""
    return document.ReportDocument(
        **_header(command, seed),
        model=None,
        budget=None,
        original=_benched(original),
        compressed=None,
        ratio=None,
        accuracy=None,
        agreement=None,
        surgery=None,
        parity=None,
        coverage=None,
        recovery=(),
        stages=(),
        environment=complete_environment(measured_on),
        notes=tuple(notes),
        gates=(),
    )


def against(
    alone: document.ReportDocument,
    compressed: Benched,
    *,
    latency: RatioInterval | None,
    parity: artifacts.Parity | None,
) -> document.ReportDocument:
    """The report of ``bench A B``: that of A with B added; ``parity`` compares B with A."""
    after = _benched(compressed)
    return replace(
        alone,
        compressed=after,
        ratio=compare.ratios(alone.original, after, latency),
        parity=compare.parity(parity) if parity else None,
    )


def on_runtimes(
    report: document.ReportDocument,
    parity: artifacts.RuntimeParity,
    further: Sequence[artifacts.RuntimeRun],
) -> document.ReportDocument:
    """The report with its runtime compared with ONNX Runtime, and with further runtimes."""
    notes = tuple(note for note in (parity.complaint, parity.note) if note)
    return replace(
        report,
        runtime_parity=compare.runtime_parity(parity),
        runtimes=tuple(compare.runtime(run, report) for run in further),
        notes=report.notes + tuple(f"{report.environment['runtime']}: {note}" for note in notes),
    )


def complete_environment(known: Mapping[str, object]) -> dict[str, object]:
    """``known`` with every key that a report's environment has."""
    return {**dict.fromkeys(ENVIRONMENT), **known}


def _header(command: str, seed: int) -> dict[str, Any]:
    now = datetime.datetime.now(datetime.timezone.utc)
    return {
        "schema_version": document.SCHEMA_VERSION,
        "edgeprune": environment.version(),
        "created": now.isoformat(timespec="seconds"),
        "command": command,
        "seed": seed,
    }


def _model(source: artifacts.SourceModel) -> document.Model:
    return document.Model(
        source.name, source.sha256, source.input.shapes, _preprocessing(source.input)
    )


def _preprocessing(spec: artifacts.InputSpec) -> document.Preprocessing | None:
    """How pixels become the input; None where it is no image."""
    (shape, dtype), *others = spec.typed_shapes
    channels = shape[1] if len(shape) == 4 else 0
    image = not others and dtype == "float32" and channels in IMAGE_CHANNELS
    fits = len(spec.mean) == len(spec.std) == channels
    return document.Preprocessing(spec.mean, spec.std) if image and fits else None


def _benched(found: Benched) -> document.Side:
    return replace(compare.side(found.costs, None, found.measurement), onnx=found.file)


def _environment(measured: LatencyComparison | CountComparison | None) -> dict[str, object]:
    """The device's environment if something was measured, with the packages that made the model."""
    if measured is None:
        return complete_environment(environment.host())
    device = measured.environment.get("packages")
    packages = {**environment.packages(), **(device if isinstance(device, dict) else {})}
    return complete_environment({**measured.environment, "packages": packages})


def _notes(run: RunResult) -> Iterator[str]:
    yield from run.source.notes if run.source else ()
    if run.budget and (missed := sentences.missed(run.budget)):
        yield missed
    if run.outputs and not run.accuracy and (broken := sentences.broken(run.outputs)):
        yield broken
    yield from run.notes
    rolled_back = run.surgery.rolled_back if run.surgery else None
    for group, reason in (rolled_back or {}).items():
        yield f"{group} was left whole: {reason}"
    for exported in (run.original_file, run.compressed_file):
        if exported:
            yield from (f"{exported.path.name}: {note}" for note in exported.notes)
    yield from run.comparison.notes if run.comparison else ()
