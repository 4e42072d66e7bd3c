"""Write down every operator of an ONNX file, from its shapes; nothing is run.

Values are numbered so that a reshape keeps the number of what it reshapes.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Literal

import numpy as np
import onnx
import onnx.inliner
import onnx.numpy_helper
from onnx import helper

from edgeprune.costs.ledger import Recording, Step
from edgeprune.costs.operators import (
    CONTROL_FLOW,
    MACS,
    NORMS,
    POINTWISE,
    RESHAPES,
    SETTINGS_FROM,
    SHAPE_READERS,
    Shape,
)
from edgeprune.errors import ModelUnsupported, failing_as

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from edgeprune.artifacts.recorded import Value


def record(path: Path, shapes: Mapping[str, Sequence[int]]) -> Recording:
    """Write down the operators of the file, with a symbolic batch taken as 1.

    Args:
        path: The file.
        shapes: Shapes of inputs whose other sizes it leaves open, by name; see ``count_onnx``.

    Raises:
        ModelUnsupported: When a shape cannot be inferred, or the graph has loops or branches.
    """
    try:
        model = onnx.load(path)
    except Exception as cause:  # protobuf's own class, which differs between its versions
        raise ModelUnsupported("cannot count the file: it is not ONNX") from cause
    with failing_as(ModelUnsupported, "cannot count the ONNX file"):
        return _recorded(model, shapes)


def _recorded(model: onnx.ModelProto, shapes: Mapping[str, Sequence[int]]) -> Recording:
    """The operators of a file; one that is malformed may fail in any way."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _fix_sizes(model.graph, shapes)
    inferred = onnx.shape_inference.infer_shapes(model, data_prop=True)
    return _GraphRecorder(inferred.graph).recording()


def _fix_sizes(graph: onnx.GraphProto, shapes: Mapping[str, Sequence[int]]) -> None:
    """Give the open dimensions of the inputs their size, wherever they stand; the batch is 1."""
    known: dict[str, int] = {}
    for each in _inputs(graph):
        shape = shapes.get(each.name) or shapes.get("") or (1,)
        free = [(d, size) for d, size in zip(_dims(each), shape, strict=False) if _symbolic(d)]
        known |= {dim.dim_param: size for dim, size in free if dim.dim_param}
        for dim, size in free:
            dim.dim_value = size
    for info in (*graph.output, *graph.value_info):
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param in known:
                dim.dim_value = known[dim.dim_param]
    whole = [v for v in graph.value_info if not any(map(_symbolic, _dims(v)))]
    del graph.value_info[:]
    graph.value_info.extend(whole)
    for output in graph.output:
        if any(map(_symbolic, _dims(output))):
            output.type.tensor_type.ClearField("shape")


def _inputs(graph: onnx.GraphProto) -> list[onnx.ValueInfoProto]:
    """The inputs that callers pass; old files list their weights among them."""
    weights = {each.name for each in graph.initializer}
    return [each for each in graph.input if each.name not in weights]


def _dims(info: onnx.ValueInfoProto) -> list[onnx.TensorShapeProto.Dimension]:
    return list(info.type.tensor_type.shape.dim)


def _symbolic(dim: onnx.TensorShapeProto.Dimension) -> bool:
    return not dim.HasField("dim_value")


class _GraphRecorder:
    """Numbers the values of a graph and measures them."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph
        self._infos = {v.name: v for v in (*graph.input, *graph.output, *graph.value_info)}
        self._weights = {each.name: each for each in graph.initializer}
        self._values: dict[str, Value] = {}
        self._sizes: dict[Value, int] = {}

    def recording(self) -> Recording:
        """All nodes as steps of the ledger."""
        inputs = tuple(self._activation(each.name) for each in _inputs(self._graph))
        parameters = {
            self._number(name): prod(tensor.dims)
            for name, tensor in self._weights.items()
            if _could_be_parameter(tensor)
        }
        steps = [step for node in self._graph.node if (step := self._step(node)) is not None]
        read = {value for step in steps for value in step.reads}
        return Recording(
            steps=tuple(steps),
            activation_bytes=self._sizes,
            inputs=inputs,
            outputs=tuple(self._number(each.name) for each in self._graph.output),
            parameters={value: n for value, n in parameters.items() if value in read},
        )

    def _step(self, node: onnx.NodeProto) -> Step | None:
        if node.op_type in CONTROL_FLOW:
            raise ModelUnsupported(
                f"cannot count {node.name!r}: what {node.op_type} costs depends on the data"
            )
        reads = tuple(map(self._number, self._operands(node)))
        outputs = [name for name in node.output if name]
        depends = any(value in self._sizes for value in reads)
        if depends and node.op_type in RESHAPES:
            self._values[outputs[0]] = reads[0]
            return None
        writes = tuple(map(self._activation if depends else self._number, outputs))
        macs = MACS[node.op_type](node, self.shape) if depends and node.op_type in MACS else 0
        shape = self.shape(outputs[0]) if depends else ()
        return Step(node.name or outputs[0], _kind(node), reads, writes, macs, shape)

    def _operands(self, node: onnx.NodeProto) -> list[str]:
        """What the node reads, less its settings and statistics."""
        if node.op_type in SHAPE_READERS:
            return []
        if node.op_type == "InstanceNormalization" and self._plain(node):
            return [node.input[0]]
        first_setting = SETTINGS_FROM.get(node.op_type, len(node.input))
        return [
            name
            for position, name in enumerate(node.input)
            if name and (position < first_setting or self._values.get(name) in self._sizes)
        ]

    def _plain(self, node: onnx.NodeProto) -> bool:
        """Whether the scale is all ones and the bias all zeros: an exported GroupNorm."""
        tensors = [self._weights.get(name) for name in node.input[1:]]
        return all(
            tensor is not None and bool(np.all(onnx.numpy_helper.to_array(tensor) == filler))
            for tensor, filler in zip(tensors, (1, 0), strict=True)
        )

    def _number(self, name: str) -> Value:
        return self._values.setdefault(name, len(self._values))

    def _activation(self, name: str) -> Value:
        elements = prod(self.shape(name))
        dtype = helper.tensor_dtype_to_np_dtype(self._infos[name].type.tensor_type.elem_type)
        self._sizes[self._number(name)] = elements * dtype.itemsize
        return self._number(name)

    def shape(self, name: str) -> Shape:
        """Shape of a value or weight; raises ModelUnsupported when it is not known."""
        if name in self._weights:
            return tuple(self._weights[name].dims)
        info = self._infos.get(name)
        if info is None or not info.type.tensor_type.HasField("shape"):
            raise ModelUnsupported(f"cannot count the ONNX file: the shape of {name!r} is unknown")
        if any(map(_symbolic, _dims(info))):
            raise ModelUnsupported(f"cannot count the ONNX file: {name!r} has an open dimension")
        return tuple(dim.dim_value for dim in _dims(info))


def _could_be_parameter(tensor: onnx.TensorProto) -> bool:
    dtype = helper.tensor_dtype_to_np_dtype(tensor.data_type)
    whole = dtype in (np.int8, np.uint8)  # weights stored as small integers
    return len(tensor.dims) > 0 and (whole or bool(np.dtype(dtype).kind in "fV"))


def _kind(node: onnx.NodeProto) -> Literal["pointwise", "norm", "other"]:
    if node.op_type in NORMS:
        return "norm"
    return "pointwise" if node.op_type in POINTWISE else "other"
