"""Compress a trained PyTorch CNN into a smaller, faster, proved ONNX model, without data.

    import edgeprune as ep
    report = ep.compress(model, example_input, ep.CompressConfig(budget=ep.Macs(0.5)))

Names are imported on first use, so that ``import edgeprune`` does not import torch.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprune.artifacts import ImageQuality
    from edgeprune.bench import BenchSettings
    from edgeprune.bench import compare as benchmark
    from edgeprune.calibration.folder import Folder
    from edgeprune.calibration.generator import Generated
    from edgeprune.calibration.inversion import Inversion
    from edgeprune.calibration.procedural import DeadLeaves, PinkNoise
    from edgeprune.calibration.sources import Given
    from edgeprune.config import CompressConfig
    from edgeprune.export import OnnxTarget
    from edgeprune.loading import load_run as load
    from edgeprune.loading import wrap
    from edgeprune.pipeline import compress, survey
    from edgeprune.pruning import Allocation, Macs, Params, Ratio, plan, prune
    from edgeprune.recovery import recover
    from edgeprune.recovery.analytic import Analytic
    from edgeprune.recovery.auto import Auto
    from edgeprune.recovery.distill import Distill
    from edgeprune.recovery.lbyl import Lbyl
    from edgeprune.recovery.neuron_merging import NeuronMerging
    from edgeprune.recovery.reconstruct import Reconstruct
    from edgeprune.recovery.supervise import Supervise
    from edgeprune.report.compression import CompressionReport
    from edgeprune.tracing import trace

__all__ = [
    "Allocation",
    "Analytic",
    "Auto",
    "BenchSettings",
    "CompressConfig",
    "CompressionReport",
    "DeadLeaves",
    "Distill",
    "Folder",
    "Generated",
    "Given",
    "ImageQuality",
    "Inversion",
    "Lbyl",
    "Macs",
    "NeuronMerging",
    "OnnxTarget",
    "Params",
    "PinkNoise",
    "Ratio",
    "Reconstruct",
    "Supervise",
    "benchmark",
    "compress",
    "load",
    "plan",
    "prune",
    "recover",
    "survey",
    "trace",
    "wrap",
]

_HOMES = {
    "Allocation": "pruning",
    "Analytic": "recovery.analytic",
    "Auto": "recovery.auto",
    "BenchSettings": "bench",
    "CompressConfig": "config",
    "CompressionReport": "report.compression",
    "DeadLeaves": "calibration.procedural",
    "Distill": "recovery.distill",
    "Folder": "calibration.folder",
    "Generated": "calibration.generator",
    "Given": "calibration.sources",
    "ImageQuality": "artifacts",
    "Inversion": "calibration.inversion",
    "Lbyl": "recovery.lbyl",
    "Macs": "pruning",
    "NeuronMerging": "recovery.neuron_merging",
    "OnnxTarget": "export",
    "Params": "pruning",
    "PinkNoise": "calibration.procedural",
    "Ratio": "pruning",
    "Reconstruct": "recovery.reconstruct",
    "Supervise": "recovery.supervise",
    "benchmark": "bench:compare",
    "compress": "pipeline",
    "load": "loading:load_run",
    "plan": "pruning",
    "prune": "pruning",
    "recover": "recovery",
    "survey": "pipeline",
    "trace": "tracing",
    "wrap": "loading",
}
"""Where each public name lives, and what it is called there if not the same."""


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'edgeprune' has no attribute {name!r}")
    module, _, attribute = _HOMES[name].partition(":")
    return getattr(import_module(f"edgeprune.{module}"), attribute or name)


def __dir__() -> list[str]:
    return __all__
