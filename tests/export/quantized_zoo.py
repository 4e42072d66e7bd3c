"""Networks of the zoo, exported and quantized, for tests that look at the files."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import onnx
import zoo

from edgeprune.artifacts import ExportedModel, ImageKind, InputSpec, QuantizedModel, SourceModel
from edgeprune.export import OnnxTarget, Quantize
from edgeprune.export.weight_rounding import Nearest
from edgeprune.images.given import Given
from edgeprune.images.procedural import DeadLeaves

if TYPE_CHECKING:
    from pathlib import Path

SPEC = InputSpec((zoo.INPUT_SHAPE,))
QUICK = Quantize(count=24, held_out=8, weight_rounding=Nearest())
PHOTOS = DeadLeaves()(SourceModel(zoo.build("chain"), SPEC, "", ""), 32, 9)
REAL = replace(QUICK, images=Given(PHOTOS, "photos", ImageKind.REAL))
"""Calibrates on images that count as real."""
TARGET = OnnxTarget(simplify=False)
"""The newer exporter folds BatchNorms by itself; one network in the tests is simplified too."""


@dataclass(frozen=True)
class Pair:
    """A network's float file and its quantized one."""

    source: SourceModel
    exported: ExportedModel
    quantized: QuantizedModel

    @property
    def before(self) -> onnx.ModelProto:
        return onnx.load(self.exported.path)

    @property
    def after(self) -> onnx.ModelProto:
        return onnx.load(self.quantized.path)


def source(name: str) -> SourceModel:
    """A network of the zoo that takes its procedural images for data."""
    network = zoo.build(name)
    images = DeadLeaves()(SourceModel(network, SPEC, name, ""), 32, 5)[0]
    return SourceModel(zoo.calibrated(network, images), SPEC, name, "")


def pair(name: str, folder: Path, quantize: Quantize = QUICK, target: OnnxTarget = TARGET) -> Pair:
    """Export and quantize a network of the zoo."""
    network = source(name)
    exported = target(network.module, SPEC, folder / f"{name}.onnx", {"source_name": name})
    quantized = quantize(network, exported, target, folder / f"{name}.int8.onnx")
    return Pair(network, exported, quantized)
