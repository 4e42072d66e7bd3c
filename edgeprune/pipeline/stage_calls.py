"""The stages as one calls them from Python: each takes a bare network too, and wraps it itself."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from edgeprune import costs, loading, pruning, recovery, tracing
from edgeprune.artifacts import SourceModel, TracedModel
from edgeprune.errors import UsageError
from edgeprune.pipeline import compress as whole_line
from edgeprune.pipeline.config import CompressConfig
from edgeprune.pipeline.settings import converted
from edgeprune.pipeline.stage_log import no_stages
from edgeprune.recovery import RecoveryContext

if TYPE_CHECKING:
    import os

    from typing_extensions import Unpack

    from edgeprune.artifacts import ExportedModel, PrunedModel, PruningPlan
    from edgeprune.costs import Costs
    from edgeprune.loading.given_inputs import Example
    from edgeprune.pipeline.result import CompressionReport
    from edgeprune.pipeline.settings import Settings
    from edgeprune.pipeline.stage_log import Stages
    from edgeprune.pruning import Budget, Planned, PlanOptions

Model = nn.Module | SourceModel | str | Path
"""A network, what ``ep.wrap`` gave for one, or the path of a model file or a run directory."""


def compress(
    model: Model,
    example_input: Example = None,
    config: CompressConfig | None = None,
    *,
    directory: str | os.PathLike[str] | None = None,
    stages: Stages = no_stages,
    **settings: Unpack[Settings],
) -> CompressionReport:
    """Compress a network.

        report = ep.compress(model, x, macs=0.5, recover="reconstruct", images="photos/")

    Args:
        model: Any network; never changed. Or the path of a model file.
        example_input: A tensor or a shape, where the input cannot be inferred.
        config: Every setting; those given as keywords beat it.
        directory: Folder of the run's files; None: a temporary one that lives as long as the
            report.
        stages: Called with the name of each stage that starts; gives its progress callback.
        **settings: Settings of ``CompressConfig``, and ``macs=``, ``params=`` or ``ratio=``.

    Returns:
        The compressed network and the report.

    Raises:
        EdgepruneError: One of its kinds, see ``errors.py``.
    """
    if config is not None and not isinstance(config, CompressConfig):
        raise UsageError(
            f"config={config!r}: pass ep.CompressConfig(...), or its settings as keywords, "
            "such as macs=0.5"
        )
    changed = converted("compress", settings)
    effective = replace(config, **changed) if config else CompressConfig(**changed)
    folder = None if directory is None else Path(directory)
    source = _source(model, example_input)
    return whole_line.compress(source, None, effective, directory=folder, stages=stages)


def trace(
    model: Model,
    example_input: Example = None,
    *,
    keep: str | tuple[str, ...] = (),
    time_limit_s: float = tracing.LIMIT_S,
) -> TracedModel:
    """Find the channel groups of a network, and why some cannot be pruned.

    Args:
        model: A network; not changed.
        example_input: A tensor or a shape, where the input cannot be inferred.
        keep: Globs of layer names that keep their channels.
        time_limit_s: CPU seconds after which to give up.

    Returns:
        The network with its groups; ``survey`` also locks those whose surgery fails.
    """
    source, globs = _source(model, example_input), converted("trace", {"keep": keep})["keep"]
    return tracing.trace(source, keep=globs, time_limit_s=time_limit_s)


def survey(
    model: Model, example_input: Example = None, *, keep: str | tuple[str, ...] = ()
) -> tuple[TracedModel, Costs]:
    """Find out what can be pruned, and what the network costs; changes nothing.

    Args:
        model: A network.
        example_input: A tensor or a shape, where the input cannot be inferred.
        keep: Globs of layer names that keep their channels.

    Returns:
        The network with its groups, those whose surgery fails the proof locked, and its costs.
    """
    source, globs = _source(model, example_input), converted("survey", {"keep": keep})["keep"]
    return whole_line.survey(source, globs)


def plan(
    model: Model | TracedModel,
    costs: Costs | Example = None,
    budget: Budget | float | str = 0.5,
    **options: Unpack[PlanOptions],
) -> Planned:
    """Choose the channels that stay.

    Args:
        model: What ``survey`` gave, or a network.
        costs: What ``survey`` gave beside it; for a network, its example input.
        budget: What to reach.
        **options: ``criterion``, ``allocation`` and ``seed``, as ``CompressConfig`` has them.

    Returns:
        The plan, and what it reaches.
    """
    traced, counted = _surveyed(model, costs)
    settings = converted("plan", {"budget": budget, **options})
    return pruning.plan(traced, counted, **settings)


def prune(
    model: Model | TracedModel,
    plan: PruningPlan | Planned | str | os.PathLike[str],
    example_input: Example = None,
) -> PrunedModel:
    """Carry out a plan, and prove the result.

    Args:
        model: What ``survey`` or ``trace`` gave, or a network.
        plan: What ``plan`` gave, or the path of a plan.json.
        example_input: The input of a network, where it cannot be inferred.
    """
    chosen = converted("prune", {"plan": plan})["plan"]
    traced = model if isinstance(model, TracedModel) else trace(model, example_input)
    return pruning.prune(traced, chosen)


def recover(
    traced: TracedModel,
    pruned: PrunedModel,
    methods: Any = "auto",
    context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
) -> PrunedModel:
    """Give back accuracy that pruning took.

    Args:
        traced: The original with its groups.
        pruned: What ``prune`` gave; not changed.
        methods: Recovery methods or their names, in the order of application.
        context: Images, time and seed.
    """
    return recovery.recover(
        traced, pruned, converted("recover", {"recover": methods})["recover"], context
    )


def export_model(
    model: Model,
    path: str | os.PathLike[str],
    example_input: Example = None,
    *,
    target: Any = "onnx",
    seed: int = 0,
) -> ExportedModel:
    """Write a network as a file for a runtime, and compare the file with PyTorch.

        ep.export_model(model, "model.onnx", x).parity.max_rel_diff

    Args:
        model: A network; not changed.
        path: The file; one of that name is replaced.
        example_input: A tensor or a shape, where the input cannot be inferred.
        target: ``ep.OnnxTarget(opset=17)``, or the name of a target.
        seed: Random seed of the inputs on which file and network are compared.

    Returns:
        The file, with the comparison.

    Raises:
        ModelUnsupported: The network cannot be written so.
        VerificationFailed: The file computes something else than the network.
    """
    chosen = converted("export_model", {"target": target})["target"]
    source, file = _source(model, example_input), Path(path)
    if file.suffix != chosen.suffix:
        raise UsageError(f"path={str(path)!r}: this target writes {chosen.suffix} files")
    origin = {"source_name": source.name, "source_sha256": source.sha256}
    written: ExportedModel = chosen(source.module, source.input, file, origin, None, seed)
    return written


def load_model(path: str | os.PathLike[str], example_input: Example = None) -> SourceModel:
    """Read a model file without running code from it.

        source = ep.load_model("model.pt", (1, 3, 224, 224))

    Args:
        path: A whole network of torch's or torchvision's classes, or a run directory. What needs
            more, as weights alone do, takes ``edgeprune.loading.LoadOptions``.
        example_input: A tensor or a shape, where the input cannot be inferred.

    Returns:
        The network with its input; every stage takes it.

    Raises:
        UsageError: There is no such file, or it does not say what the network takes.
        ModelRefused: The file is damaged, or would run code.
    """
    return _source(Path(path), example_input)


def _surveyed(model: Model | TracedModel, given: Costs | Example) -> tuple[TracedModel, Costs]:
    """The traced network and its costs, counted where they were not given."""
    if not isinstance(model, TracedModel):
        if isinstance(given, costs.Costs):
            raise UsageError("plan() takes what survey() gave: the traced network and its costs")
        return survey(model, given)
    if isinstance(given, costs.Costs):
        return model, given
    source = model.source
    return model, costs.count(source.module, source.input, model.record)


def _source(model: object, example_input: Example) -> SourceModel:
    """The network ready for the stages; says what else to pass where it is none."""
    if isinstance(model, SourceModel):
        return model
    if isinstance(model, (str, Path)):
        given = loading.example_inputs(example_input)
        options = loading.LoadOptions(
            input_shapes=given.shapes, input_dtypes=given.dtypes, input_names=given.names
        )
        return loading.load(model, options)
    return loading.wrap(model, example_input)  # type: ignore[arg-type]  # wrap says what is wrong
