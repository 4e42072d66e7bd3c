"""Reports to test with: every part filled, a run without figures, a measurement alone."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

from edgeprune.artifacts import (
    ExportedModel,
    ImageKind,
    ImageQuality,
    InputSpec,
    LatencyComparison,
    Measurement,
    Note,
    Parity,
    RatioInterval,
    RecoveryStep,
    Session,
    SurgeryProof,
)
from edgeprune.report import assemble, compare, document

if TYPE_CHECKING:
    from edgeprune.report.document import ReportDocument


@dataclass(frozen=True)
class Counts:
    macs: int
    params: int
    peak_activation_bytes: int
    layers: tuple[compare.CountedLayer, ...] = ()


def exported(name: str, size: int, notes: tuple[str, ...] = ()) -> ExportedModel:
    parity = Parity(2e-6, 1e-6, 1.0, 16, (1, 3))
    return ExportedModel(Path("somewhere") / name, 18, size, "c0de", parity, notes)


def measurement(factor: float = 1.0, peak: int = 4_000_000) -> Measurement:
    """Two sessions, of one block and of two."""
    blocks = (((0.010, 0.012),), ((0.011, 0.013), (0.014,)))
    scaled = (tuple(tuple(s * factor for s in block) for block in each) for each in blocks)
    first, second = scaled
    memory = (30_000_000, 2_000_000, peak, 2_500_000)
    return Measurement(
        (Session(first, 0.1, 0.02, *memory), Session(second, 0.3, 0.04, *memory)), 1_000_000
    )


def comparison() -> LatencyComparison:
    return LatencyComparison(
        original=measurement(),
        compressed=measurement(0.5, 3_000_000),
        latency=RatioInterval(0.5, 0.48, 0.54, 0.95),
        environment={"cpu": "Abacus 9000", "threads": 1, "runtime": "onnxruntime"},
        notes=("the machine was busy",),
    )


def quality() -> ImageQuality:
    return ImageQuality(128, 0.5, 2.0, 0.75, 10, kind=ImageKind.SYNTHESIZED)


def note(text: str) -> tuple[Note, ...]:
    return (Note("text", {"text": text}),)


def full_run() -> assemble.RunResult:
    source = SimpleNamespace(
        name="tinynet", sha256="feed", notes=(), input=InputSpec(((1, 3, 32, 32),))
    )
    return assemble.RunResult(
        command="edgeprune compress tinynet.pt",
        seed=7,
        source=source,  # type: ignore[arg-type]  # without a module there is no need of torch
        budget=document.Budget("macs", 0.5, 0.49),
        original_costs=Counts(2_000_000, 1000, 8192),
        compressed_costs=Counts(1_000_000, 400, 4096),
        original_file=exported("original.onnx", 4096),
        compressed_file=exported("compressed.onnx", 1024, ("constant folding was left out",)),
        comparison=comparison(),
        surgery=SurgeryProof(
            1e-7, 1e-4, 9, ("norm_1",), rolled_back={"layer3": "a reshape reads it"}
        ),
        coverage=document.Coverage(0.8, (document.Locked("fc|x", "it makes the output", 0.2),)),
        accuracy=compare.accuracy(n=100, original=0.93, pruned=0.5, recovered=0.91),
        agreement=document.Agreement(64, 0.6, 0.95, "procedural"),
        recovery=(
            RecoveryStep("lbyl", 1.5, 0, note("folded 7 layers")),
            RecoveryStep(
                "distill", 60.0, 256, note("trained"), ((0, math.inf), (50, 0.25)), quality()
            ),
        ),
        stages=(
            document.Stage("trace", "ok", 0.5),
            document.Stage("export", "degraded", 2.0, "no simplifier"),
        ),
    )


@cache
def full() -> ReportDocument:
    return assemble.assemble(full_run())


def unmeasured() -> ReportDocument:
    """What a run leaves with --no-bench and without --eval."""
    run = replace(full_run(), comparison=None, accuracy=None, agreement=None)
    return assemble.assemble(run)


def benched() -> ReportDocument:
    """What ``bench A`` leaves."""
    file = document.OnnxFile("a.onnx", 4096, "c0de", None)
    one = assemble.Benched(file, measurement())
    return assemble.from_bench(
        one, measured_on={"cpu": "Abacus 9000"}, notes=("noisy",), command="edgeprune bench", seed=0
    )
