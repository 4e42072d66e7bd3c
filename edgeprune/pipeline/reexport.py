"""The way back after training of the user's own: a run's network with other weights.

Pruning gives a smaller network, its owner trains it on data that we never see, and what is shipped
must be a file that was exported, verified and measured like the first one.
"""

from __future__ import annotations

import copy
import datetime
import shutil
from dataclasses import replace
from typing import TYPE_CHECKING

from edgeprune import blueprint
from edgeprune.artifacts import PrunedModel, SurgeryProof
from edgeprune.artifacts.exported import COMPRESSED, ORIGINAL
from edgeprune.errors import UsageError
from edgeprune.export.weights import save_weights
from edgeprune.loading.run_directory import WEIGHTS, load_run, stored_input, weights_file
from edgeprune.pipeline import export_and_measure
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.stage_log import StageLog, Stages, no_stages
from edgeprune.pruning import plan_file
from edgeprune.report import assemble, compare, document, files, formats

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from edgeprune.artifacts import CountComparison, ExportedModel, LatencyComparison
    from edgeprune.bench import BenchSettings
    from edgeprune.export import OnnxTarget

KEPT = (plan_file.FILE_NAME, ORIGINAL, "recipe.yaml")
"""Files of the first run that hold for its network with other weights too."""


def reexport(  # noqa: PLR0913 - keywords
    run: Path,
    module: nn.Module,
    folder: Path,
    *,
    target: OnnxTarget,
    bench: BenchSettings | None,
    stages: Stages = no_stages,
    command: str = "",
) -> PrunedModel:
    """Export, verify and measure a run's network with weights of the user's own.

    Args:
        run: The run directory whose network was trained.
        module: The network with its new weights; not changed.
        folder: An empty folder, which gets the files of a run directory.
        target: What to export to.
        bench: Where and how to measure; None: not at all.
        stages: Called with the name of each stage that starts; gives its progress callback.
        command: What the user typed, for the report.

    Returns:
        The network as it was written.

    Raises:
        UsageError: The network is not the run's, or the run has no original.onnx to compare with.
        VerificationFailed: The file computes something else than the network.
    """
    before, log = files.decode(run), StageLog(stages)
    tuned = _tuned(run, module)
    for name in KEPT:
        if (run / name).is_file():
            shutil.copyfile(run / name, folder / name)
    with log.stage("save") as stage:
        save_weights(tuned, folder / WEIGHTS)
        stage.detail = "weights of the user's own training"
    config = CompressConfig(target=target, bench=bench, seed=before.seed)
    origin = {"plan_sha256": plan_file.digest(tuned.plan)}
    job = (tuned, folder / COMPRESSED, origin)
    exported = export_and_measure.export_one(target, before.seed, log, job)
    found = None
    if config.bench is not None and (folder / ORIGINAL).is_file():
        pair = (folder / ORIGINAL, exported.path)
        found = export_and_measure.compared("bench", pair, config.bench, log)
    report = _report(before, exported, found, log)
    formats.write(replace(report, command=command or before.command), folder)
    return tuned


def _tuned(run: Path, module: nn.Module) -> PrunedModel:
    """The network as a pruned one, in eval mode; refused where it is not the run's.

    Raises:
        UsageError: Names the first tensor that is missing, or has another shape.
    """
    expected, given = load_run(run).state_dict(), module.state_dict()
    for name, tensor in expected.items():
        if name not in given:
            raise UsageError(f"the weights have no '{name}', which the network in '{run}' has")
        if given[name].shape != tensor.shape:
            shapes = f"{tuple(given[name].shape)}, not {tuple(tensor.shape)}"
            raise UsageError(f"'{name}' has the shape {shapes} as in '{run}'")
    stored = weights_file(run)
    network = blueprint.read(stored)
    return PrunedModel(
        module=copy.deepcopy(module).cpu().eval(),
        input=stored_input(network, stored),
        plan=plan_file.read(run / plan_file.FILE_NAME),
        surgery=SurgeryProof(0.0, 0.0, 0),  # the report keeps the run's own
    )


def _report(
    before: document.ReportDocument,
    exported: ExportedModel,
    found: LatencyComparison | CountComparison | None,
    log: StageLog,
) -> document.ReportDocument:
    """The run's report with what is new of its deliverable; what was judged before is not known."""
    small = before.compressed or compare.UNKNOWN
    after = replace(
        compare.side(None, exported, found.compressed if found else None),
        macs=small.macs,
        params=small.params,
        peak_activation_bytes=small.peak_activation_bytes,
    )
    original = compare.measured(before.original, found.original) if found else before.original
    trained = document.Recovery("own training", 0.0, 0, "weights of the user's own")
    now = datetime.datetime.now(datetime.timezone.utc)
    measured_on = assemble.complete_environment(found.environment) if found else before.environment
    return replace(
        before,
        created=now.isoformat(timespec="seconds"),
        original=original,
        compressed=after,
        ratio=compare.ratios(original, after, found.latency if found else None),
        parity=compare.parity(exported.parity),
        accuracy=None,
        agreement=None,
        outputs=None,
        fidelity=None,
        precision=None,
        unmeasured={"accuracy": assemble.NO_ACCURACY},
        recovery=(*before.recovery, trained),
        stages=tuple(log.records),
        environment=measured_on,
        notes=(*exported.notes, *(found.notes if found else ())),
        gates=(),
        baseline=None,
        runtime_parity=None,
        runtimes=(),
    )
