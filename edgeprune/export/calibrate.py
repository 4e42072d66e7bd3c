"""What a quantizer has to know of a network: its float graph, inputs, and what they make of it.

The twin is exported in the same way as the network, so both have the same nodes and tensors, and
what is read off the one holds for the other by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import onnx

from edgeprune.artifacts import ImageKind
from edgeprune.calibration import onnx_runs
from edgeprune.calibration.fidelity import fidelity
from edgeprune.calibration.input_range import (
    credible,
    first_spread,
    into_ranges,
    known_ranges,
    require_ranges,
)
from edgeprune.calibration.twin import make_twin
from edgeprune.errors import UsageError, VerificationFailed
from edgeprune.graph.batch_norms import batch_norms

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from torch import Tensor

    from edgeprune.artifacts import ExportedModel, Fidelity, Range, SourceModel
    from edgeprune.export.onnx import OnnxTarget
    from edgeprune.images.source import ImageSource
    from edgeprune.parity import Array

FEWEST = 8
"""Inputs that ranges need at least, and as many more to be judged on."""
LOOKED_AT = 32
"""Inputs on which the first BatchNorm is looked at."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """What a quantizer knows of a network.

    Attributes:
        model: The float graph, each node with a name of its own.
        reference: The same graph at its real level on the inputs: the twin's, or ``model`` itself
            where the images are real or there is no BatchNorm.
        fitting: Inputs that ranges are read off, one by one.
        held_out: Inputs that nothing is fitted to, one by one.
        origin: Where the inputs are from, to follow "64 inputs".
        input_ranges: Range of each input, by name; None where it is not known.
        floats: Names of the float tensors of ``model`` that depend on the inputs.
        real: Whether the inputs are what the network is for.
    """

    model: onnx.ModelProto
    reference: onnx.ModelProto
    fitting: Sequence[Mapping[str, Array]]
    held_out: Sequence[Mapping[str, Array]]
    origin: str
    input_ranges: Mapping[str, Range | None]
    floats: tuple[str, ...]
    real: bool


@dataclass(frozen=True, slots=True)
class CalibrationInputs:
    """Where the inputs come from.

    Attributes:
        images: Makes them.
        count: Number of inputs that ranges are read off.
        held_out: Number of further inputs that fidelity is measured on.
        ranges: Lowest and highest value of each input, as the user says; empty: nothing is said.
        seed: Random seed.
        twin: Whether ranges are read off the inputs, for which the twin is needed.
    """

    images: ImageSource
    count: int
    held_out: int
    ranges: tuple[Range, ...]
    seed: int
    twin: bool = True


def calibrate(
    network: SourceModel, exported: ExportedModel, target: OnnxTarget, wanted: CalibrationInputs
) -> Calibration:
    """Make inputs, the twin and its graph.

    Args:
        network: The network that was exported; not changed.
        exported: Its float file.
        target: How it was exported.
        wanted: Where the inputs come from.

    Raises:
        UsageError: If there are too few inputs.
        VerificationFailed: If the twin's graph is not the network's.
    """
    model = with_names(onnx.load(exported.path))
    made, known = made_inputs(network, wanted)
    held_out = min(wanted.held_out, len(made[0]) - FEWEST)
    real = wanted.images.kind is ImageKind.REAL
    if real:  # there may be fewer than asked for
        held_out = max(FEWEST, min(held_out, len(made[0]) // 4))
    split = len(made[0]) - held_out
    fitting = tuple(each[:split] for each in made)
    plain = real or not wanted.twin
    reference = model if plain else _twin_graph(network, model, target, fitting)
    fed = onnx_runs.feeds(model, made)
    return Calibration(
        model=model,
        reference=reference,
        fitting=fed[:split],
        held_out=fed[split:],
        origin=wanted.images.origin,
        input_ranges=dict(zip(fed[0], known, strict=True)),
        floats=onnx_runs.float_tensors(model),
        real=real,
    )


def made_inputs(
    network: SourceModel, wanted: CalibrationInputs
) -> tuple[tuple[Tensor, ...], tuple[Range | None, ...]]:
    """The inputs, and the range of each where it is known.

    Procedural inputs fill the ranges that the user gives. Where they plainly are not what the
    network takes, they are scaled until they spread in its first layer as data do.

    Args:
        network: The network; not changed.
        wanted: Where the inputs come from.

    Raises:
        UsageError: If there are too few inputs, or more ranges than inputs.
    """
    require_ranges(wanted.ranges, network.input)
    made = wanted.images(network, wanted.count + wanted.held_out, wanted.seed)
    if len(made[0]) < 2 * FEWEST:
        raise UsageError(f"quantization needs {2 * FEWEST} images or more, not {len(made[0])}")
    if wanted.images.kind is ImageKind.REAL:
        seen = tuple((float(each.min()), float(each.max())) for each in made)
        return made, wanted.ranges or seen
    if wanted.ranges:
        return into_ranges(made, network.input, wanted.ranges), wanted.ranges
    spread = first_spread(network.module, [each[:LOOKED_AT] for each in made])
    if spread and not credible(spread):
        made = tuple(each / spread for each in made)
    return made, known_ranges(spread, network.input)


def compared(
    known: Calibration, quantized: onnx.ModelProto, ranges: Mapping[str, Range]
) -> Fidelity:
    """How true a quantized graph is to the float graph, on inputs that no range was read off.

    Args:
        known: Holds the float graph and the inputs.
        quantized: The same graph with some tensors quantized.
        ranges: Range of each quantized tensor.
    """
    outputs = [each.name for each in quantized.graph.output if each.name in known.floats]
    return fidelity(
        onnx_runs.tensors(known.model, dict.fromkeys((*outputs, *ranges)), known.held_out),
        onnx_runs.tensors(quantized, outputs, known.held_out),
        outputs=outputs,
        ranges=ranges,
        origin=known.origin,
    )


def with_names(model: onnx.ModelProto) -> onnx.ModelProto:
    """Give every node that has no name, or that of another, one of its own; in place."""
    given = {node.name for node in model.graph.node}
    taken: set[str] = set()
    for place, node in enumerate(model.graph.node):
        if not node.name or node.name in taken:
            names = (f"{node.op_type}_{number}" for number in count(place))
            node.name = next(name for name in names if name not in given | taken)
        taken.add(node.name)
    return model


def _twin_graph(
    network: SourceModel, model: onnx.ModelProto, target: OnnxTarget, inputs: tuple[Tensor, ...]
) -> onnx.ModelProto:
    """The graph of the network's twin, with the nodes and tensors of ``model``."""
    if not batch_norms(network.module):
        return model
    twin = make_twin(network.module, inputs)
    with TemporaryDirectory(prefix="edgeprune-twin-") as folder:
        exported = target(twin, network.input, Path(folder) / "twin.onnx", {})
        graph = onnx.load(exported.path)
    if _structure(graph) != _structure(model):
        raise VerificationFailed(
            "the network's twin was exported as another graph: ranges cannot be read off it; "
            "--image-free takes them from BatchNorm statistics"
        )
    return graph


def _structure(model: onnx.ModelProto) -> list[tuple[str, list[str], list[str]]]:
    """Every node with the activations that it reads and makes; constants may have other names."""
    constants = {tensor.name for tensor in model.graph.initializer}
    return [
        (node.op_type, [name for name in node.input if name not in constants], list(node.output))
        for node in model.graph.node
    ]
