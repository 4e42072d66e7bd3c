"""Compress a trained PyTorch CNN into a smaller, faster, verified ONNX model, without data.

    import edgeprune as ep
    report = ep.compress(model, example_input, macs=0.5)

Names are imported on first use, so that ``import edgeprune`` does not import torch.
"""

from __future__ import annotations

import os
from importlib import import_module
from types import FunctionType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprune.artifacts import ImageKind, ImageQuality
    from edgeprune.bench import BenchSettings
    from edgeprune.errors import (
        BudgetUnreachable,
        DeviceFailed,
        EdgepruneError,
        GateFailed,
        ModelRefused,
        ModelUnsupported,
        UsageError,
        VerificationFailed,
    )
    from edgeprune.export import OnnxTarget
    from edgeprune.images.folder import Folder
    from edgeprune.images.given import Given
    from edgeprune.images.procedural import DeadLeaves, PinkNoise
    from edgeprune.images.synthesis.generator import Generated
    from edgeprune.images.synthesis.inversion import Inversion
    from edgeprune.loading import load_run as load
    from edgeprune.loading import wrap
    from edgeprune.pipeline.benchmark_call import benchmark
    from edgeprune.pipeline.check_call import check
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pipeline.result import CompressionReport
    from edgeprune.pipeline.stage_calls import (
        compress,
        export_model,
        load_model,
        plan,
        prune,
        recover,
        survey,
        trace,
    )
    from edgeprune.pruning import Allocation, Macs, Params, Ratio
    from edgeprune.recovery import RecoveryContext, RecoveryMethod
    from edgeprune.recovery.auto import Auto
    from edgeprune.recovery.blockwise.blockwise import Blockwise
    from edgeprune.recovery.closed_form.analytic import Analytic
    from edgeprune.recovery.closed_form.lbyl import Lbyl
    from edgeprune.recovery.closed_form.neuron_merging import NeuronMerging
    from edgeprune.recovery.layerwise.reconstruct import Reconstruct
    from edgeprune.recovery.training.distill import Distill
    from edgeprune.recovery.training.supervise import Supervise

# ONNX Runtime reads it on import; it would write to the user's cache folder, and send.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

__all__ = [
    "Allocation",
    "Analytic",
    "Auto",
    "BenchSettings",
    "Blockwise",
    "BudgetUnreachable",
    "CompressConfig",
    "CompressionReport",
    "DeadLeaves",
    "DeviceFailed",
    "Distill",
    "EdgepruneError",
    "Folder",
    "GateFailed",
    "Generated",
    "Given",
    "ImageKind",
    "ImageQuality",
    "Inversion",
    "Lbyl",
    "Macs",
    "ModelRefused",
    "ModelUnsupported",
    "NeuronMerging",
    "OnnxTarget",
    "Params",
    "PinkNoise",
    "Ratio",
    "Reconstruct",
    "RecoveryContext",
    "RecoveryMethod",
    "Supervise",
    "UsageError",
    "VerificationFailed",
    "benchmark",
    "check",
    "compress",
    "export_model",
    "load",
    "load_model",
    "plan",
    "prune",
    "recover",
    "survey",
    "trace",
    "wrap",
]

_HOMES = {
    "Allocation": "pruning",
    "Analytic": "recovery.closed_form.analytic",
    "Auto": "recovery.auto",
    "BenchSettings": "bench",
    "Blockwise": "recovery.blockwise.blockwise",
    "BudgetUnreachable": "errors",
    "CompressConfig": "pipeline.config",
    "CompressionReport": "pipeline.result",
    "DeadLeaves": "images.procedural",
    "DeviceFailed": "errors",
    "Distill": "recovery.training.distill",
    "EdgepruneError": "errors",
    "Folder": "images.folder",
    "GateFailed": "errors",
    "Generated": "images.synthesis.generator",
    "Given": "images.given",
    "ImageKind": "artifacts",
    "ImageQuality": "artifacts",
    "Inversion": "images.synthesis.inversion",
    "Lbyl": "recovery.closed_form.lbyl",
    "Macs": "pruning",
    "ModelRefused": "errors",
    "ModelUnsupported": "errors",
    "NeuronMerging": "recovery.closed_form.neuron_merging",
    "OnnxTarget": "export",
    "Params": "pruning",
    "PinkNoise": "images.procedural",
    "Ratio": "pruning",
    "Reconstruct": "recovery.layerwise.reconstruct",
    "RecoveryContext": "recovery",
    "RecoveryMethod": "recovery",
    "Supervise": "recovery.training.supervise",
    "UsageError": "errors",
    "VerificationFailed": "errors",
    "benchmark": "pipeline.benchmark_call",
    "check": "pipeline.check_call",
    "compress": "pipeline.stage_calls",
    "export_model": "pipeline.stage_calls",
    "load": "loading:load_run",
    "load_model": "pipeline.stage_calls",
    "plan": "pipeline.stage_calls",
    "prune": "pipeline.stage_calls",
    "recover": "pipeline.stage_calls",
    "survey": "pipeline.stage_calls",
    "trace": "pipeline.stage_calls",
    "wrap": "loading",
}
"""Where each public name lives, and what it is called there if not the same."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeprune' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    found = getattr(import_module(f"edgeprune.{module}"), attribute or name)
    if isinstance(found, FunctionType):
        from edgeprune.python_words import explained

        found = explained(found)
    globals()[name] = found  # the next time there is nothing to look up
    return found


def __dir__() -> list[str]:
    return __all__
