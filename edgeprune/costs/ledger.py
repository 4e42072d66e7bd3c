"""From a recording of operators over values to MACs, parameters and peak activation memory.

Three rules make a PyTorch module and its ONNX file cost the same:

1. What no output needs is not run: auxiliary heads, indices of a pooling that no one reads.
2. Several element-wise operators that together compute a function of one value are one operator:
   x · sigmoid(x) is SiLU, however it is spelled.
3. Normalisation and element-wise functions of one value run in place when nobody reads that
   value later, as fused runtimes do; everything else needs a buffer of its own for its output.

The peak is the largest sum of live activation bytes while any operator runs. The network's input
counts until its last consumer; parameters and constants do not count.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from math import inf
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:  # a recording of a module needs torch; counting an ONNX file does not
    from collections.abc import Mapping

    from edgeprune.artifacts.recorded import Value


@dataclass(frozen=True, slots=True)
class LayerCost:
    """The share of one layer.

    Attributes:
        name: Dotted name of the module, or name of the ONNX node.
        macs: Multiply-accumulates of one inference.
        params: Parameters that this layer is the first to read.
        activation_bytes: The most activation bytes live while one of its operators runs.
        output_shape: Shape of the last activation it writes, batch 1.
    """

    name: str
    macs: int
    params: int
    activation_bytes: int
    output_shape: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Costs:
    """What one inference costs at batch 1.

    Attributes:
        macs: Multiply-accumulates of convolutions and matrix products.
        params: Parameters that take part in inference.
        peak_activation_bytes: The most activation bytes live at any time.
        layers: The same by layer, in order of first execution.
        unused_params: Parameters that inference never needs, such as auxiliary heads.
        seconds: Time that each layer takes, and under "" what belongs to none, where a runtime
            told; empty: not measured.
    """

    macs: int
    params: int
    peak_activation_bytes: int
    layers: tuple[LayerCost, ...]
    unused_params: int = 0
    seconds: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Step:
    """One operator that ran.

    Attributes:
        layer: Name of the layer that ran it.
        kind: Kind of operator; pointwise and normalising ones may run in place.
        reads: Values it takes.
        writes: Values it makes.
        macs: Multiply-accumulates.
        shape: Shape of the first value it makes.
        parameters: Parameters behind the constants it takes; filled in by ``add_up``.
    """

    layer: str
    kind: Literal["pointwise", "norm", "other"]
    reads: tuple[Value, ...]
    writes: tuple[Value, ...]
    macs: int
    shape: tuple[int, ...]
    parameters: frozenset[Value] = frozenset()


@dataclass(frozen=True, slots=True)
class Recording:
    """Everything that ran, in order.

    Attributes:
        steps: The operators.
        activation_bytes: Size of each value that depends on the network's input; the values
            missing here are parameters and constants.
        inputs: The network's inputs.
        outputs: The network's outputs.
        parameters: Number of elements of each value that is a parameter.
    """

    steps: tuple[Step, ...]
    activation_bytes: dict[Value, int]
    inputs: tuple[Value, ...]
    outputs: tuple[Value, ...]
    parameters: dict[Value, int]


def add_up(recording: Recording) -> Costs:
    """Add up what a recording costs, by the rules on top of this file."""
    steps = _needed(_merged(_without_constants(recording), recording), recording.outputs)
    live_bytes = _live_bytes(steps, recording)
    layers: dict[str, LayerCost] = {}
    counted: set[Value] = set()
    for step, live in zip(steps, live_bytes, strict=True):
        first_read = step.parameters - counted
        counted |= first_read
        so_far = layers.get(step.layer, LayerCost(step.layer, 0, 0, 0, ()))
        layers[step.layer] = LayerCost(
            name=step.layer,
            macs=so_far.macs + step.macs,
            params=so_far.params + sum(recording.parameters[value] for value in first_read),
            activation_bytes=max(so_far.activation_bytes, live),
            output_shape=step.shape,
        )
    params = sum(layer.params for layer in layers.values())
    return Costs(
        macs=sum(layer.macs for layer in layers.values()),
        params=params,
        peak_activation_bytes=max(live_bytes, default=0),
        layers=tuple(layers.values()),
        unused_params=sum(recording.parameters.values()) - params,
    )


def _without_constants(recording: Recording) -> list[Step]:
    """Leave out what is computed from constants alone; its parameters go to whoever reads it."""
    behind = {value: frozenset({value}) for value in recording.parameters}
    steps = []
    for step in recording.steps:
        parameters = frozenset(each for v in step.reads for each in behind.get(v, ()))
        reads = tuple(v for v in step.reads if v in recording.activation_bytes)
        if any(value in recording.activation_bytes for value in step.writes):
            steps.append(replace(step, reads=reads, parameters=parameters))
        else:
            behind.update(dict.fromkeys(step.writes, parameters))
    return steps


def _merged(steps: list[Step], recording: Recording) -> list[Step]:
    """Let an operator that joins element-wise functions of one value read that value alone."""
    size = recording.activation_bytes
    made_by: dict[Value, Step] = {}
    merged = []
    for step in steps:
        if step.kind == "pointwise" and step.reads:
            lineages = [_lineage(value, made_by) for value in step.reads]
            source = _common_source(lineages)
            if source is not None and size[source] == size[step.writes[0]]:
                between = {v for line in lineages for v in line[: line.index(source)]}
                parameters = step.parameters.union(*(made_by[v].parameters for v in between))
                step = replace(step, reads=(source,), parameters=parameters)
                made_by[step.writes[0]] = step
        merged.append(step)
    return merged


def _lineage(value: Value, made_by: dict[Value, Step]) -> list[Value]:
    """The value, the one that it is an element-wise function of, and so on to the first."""
    line = [value]
    while line[-1] in made_by:
        line.append(made_by[line[-1]].reads[0])
    return line


def _common_source(lineages: list[list[Value]]) -> Value | None:
    """The nearest value that all lineages pass through."""
    return next((v for v in lineages[0] if all(v in line for line in lineages[1:])), None)


def _needed(steps: list[Step], outputs: tuple[Value, ...]) -> list[Step]:
    """Leave out what no output depends on."""
    wanted = set(outputs)
    kept = []
    for step in reversed(steps):
        if wanted.intersection(step.writes):
            wanted.update(step.reads)
            kept.append(step)
    return kept[::-1]


def _live_bytes(steps: list[Step], recording: Recording) -> list[int]:
    """Activation bytes that are live while each step runs."""
    size = recording.activation_bytes
    last_read: dict[Value, float] = {}
    for position, step in enumerate(steps):
        last_read.update(dict.fromkeys(step.reads, position))
    last_read.update(dict.fromkeys(recording.outputs, inf))
    live = sum(size[value] for value in recording.inputs if value in last_read)
    live_bytes = []
    for position, step in enumerate(steps):
        made = sum(size[value] for value in set(step.writes) if value in last_read)
        dying = [size[value] for value in set(step.reads) if last_read[value] == position]
        in_place = (
            step.kind != "other" and len(dying) == 1 == len(set(step.reads)) and made in dying
        )
        live_bytes.append(live + (0 if in_place else made))
        live += made - sum(dying)
    return live_bytes
