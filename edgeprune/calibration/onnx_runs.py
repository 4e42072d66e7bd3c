"""Run an ONNX graph on inputs, and see its inner tensors as well as its outputs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import onnx
import onnxruntime
from onnx import TensorProto, shape_inference

from edgeprune.errors import VerificationFailed

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from torch import Tensor

    from edgeprune.parity import Array


def feeds(model: onnx.ModelProto, inputs: Sequence[Tensor]) -> list[dict[str, Array]]:
    """Inputs one by one, as a file of batch 1 takes them.

    Args:
        model: The graph; only the names of its inputs are read.
        inputs: One tensor (N, …) for each input.

    Returns:
        N mappings from the names of the inputs to arrays (1, …).
    """
    initializers = {tensor.name for tensor in model.graph.initializer}
    names = [each.name for each in model.graph.input if each.name not in initializers]
    arrays = [each.detach().float().cpu().numpy() for each in inputs]
    return [
        {name: array[n : n + 1] for name, array in zip(names, arrays, strict=True)}
        for n in range(len(arrays[0]))
    ]


def float_tensors(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the float32 tensors that depend on the input, the inputs themselves first."""
    inferred = shape_inference.infer_shapes(model).graph
    initializers = {tensor.name for tensor in inferred.initializer}
    made = [name for node in inferred.node for name in node.output]
    kinds = {
        each.name: each.type.tensor_type.elem_type
        for each in (*inferred.input, *inferred.value_info, *inferred.output)
    }
    named = [each.name for each in inferred.input if each.name not in initializers] + made
    return tuple(name for name in named if kinds.get(name) == TensorProto.FLOAT)


def tensors(
    model: onnx.ModelProto, names: Collection[str], fed: Iterable[Mapping[str, Array]]
) -> Iterator[dict[str, Array]]:
    """The values of some tensors, for one input after the other.

    Args:
        model: The graph; not changed.
        names: Names of inputs, inner tensors and outputs.
        fed: The inputs by name.

    Yields:
        The arrays by name.
    """
    inputs = {each.name for each in model.graph.input}
    wanted = [name for name in names if name not in inputs]
    run = session(with_outputs(model, dict.fromkeys(wanted, TensorProto.FLOAT)))
    for each in fed:
        found = dict(zip(wanted, run.run(wanted, dict(each)) if wanted else (), strict=True))
        yield {name: found[name] if name in found else each[name] for name in names}


def session(
    model: onnx.ModelProto | Path, *, optimized: bool = True
) -> onnxruntime.InferenceSession:
    """ONNX Runtime on the CPU, with a graph loaded.

    Args:
        model: The graph, or its file.
        optimized: Whether the runtime may fuse operators; off: it computes what is written.

    Raises:
        VerificationFailed: When it cannot be loaded.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 2
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # PyTorch waits too
    options.log_severity_level = 4
    if not optimized:
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    held = model.SerializeToString() if isinstance(model, onnx.ModelProto) else model
    try:
        return onnxruntime.InferenceSession(held, options, providers=["CPUExecutionProvider"])
    except Exception as cause:  # its exceptions share no base
        raise VerificationFailed(f"ONNX Runtime cannot load the graph: {cause}") from cause


def with_outputs(model: onnx.ModelProto, kinds: Mapping[str, int]) -> onnx.ModelProto:
    """A copy of the graph with more tensors among its outputs.

    Args:
        model: The graph; not changed.
        kinds: Names of the tensors, each with its element type.
    """
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    present = {each.name for each in copy.graph.output}
    for name, kind in kinds.items():
        if name not in present:
            copy.graph.output.append(onnx.helper.make_tensor_value_info(name, kind, None))
    return copy
