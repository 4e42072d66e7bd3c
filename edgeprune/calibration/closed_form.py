"""Ranges of activations without any image: from BatchNorm statistics and weights alone.

Behind a BatchNorm every channel has mean β and standard deviation |γ|. A tensor's range reaches
from the lowest to the highest of its channels' means, minus and plus six standard deviations, as in
Nagel et al., "Data-Free Quantization Through Weight Equalization and Bias Correction",
arXiv:1906.04721, section 4.1; from there levels pass through the operators (``levels.py``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from onnx import numpy_helper
from torch import nn

from edgeprune.calibration.levels import RULES, Levels, reaching, weighted
from edgeprune.calibration.onnx_operators import CONVOLUTIONS, WEIGHTED, filters_first
from edgeprune.errors import UsageError
from edgeprune.graph.batch_norms import batch_norms, called_once, norm_after
from edgeprune.graph.recording import operators_of
from edgeprune.moments.propagation import natural_images

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import onnx

    from edgeprune.artifacts import InputSpec, Range, SourceModel
    from edgeprune.artifacts.recorded import OperatorTrace


def closed_form_ranges(
    network: SourceModel, model: onnx.ModelProto, inputs: Mapping[str, Range | None]
) -> dict[str, Range]:
    """The range of every activation.

    Args:
        network: The network that was exported; not changed.
        model: Its float graph, BatchNorms folded.
        inputs: Range of each input, by name; None where it is not known.

    Returns:
        Ranges by tensor; none behind an operator without a rule, up to the next BatchNorm.

    Raises:
        UsageError: If the layers of the graph are not those of the network.
    """
    behind = _behind_norms(network, model)
    if behind is None:
        raise UsageError(
            "--image-free: the file's layers with weights are not the network's, one by one: leave "
            "the flag out"
        )
    found = _passed_on(model, behind, _of_inputs(network.input, inputs))
    return {name: levels.span for name, levels in found.items()}


def reach_of_norms(network: SourceModel, model: onnx.ModelProto) -> dict[str, Range]:
    """How far values reach at most, by BatchNorms alone: what they cannot tell is left out.

    Args:
        network: The network that was exported; not changed.
        model: Its float graph, BatchNorms folded.

    Returns:
        Ranges of the tensors that depend on inputs through BatchNorms only; none where the layers
        of the graph are not those of the network.
    """
    found = _passed_on(model, _behind_norms(network, model) or {}, {})
    return {name: levels.span for name, levels in found.items()}


def _passed_on(
    model: onnx.ModelProto, behind: Mapping[str, Levels], inputs: Mapping[str, Levels]
) -> dict[str, Levels]:
    """Levels of all tensors that those of the inputs and of the BatchNorms lead to."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    found = dict(inputs)
    for node in model.graph.node:
        read = [found.get(name) for name in node.input if name and name not in constants]
        if made := behind.get(node.name) or _made(node, read, constants):
            found.update(dict.fromkeys(node.output, made))
    return found


def _made(
    node: onnx.NodeProto, read: list[Levels | None], constants: dict[str, onnx.TensorProto]
) -> Levels | None:
    """Levels behind a node; None where they are not known."""
    known = [levels for levels in read if levels is not None]
    if not known or len(known) < len(read):
        return None
    if node.op_type in WEIGHTED and node.input[1] in constants:
        return _weighted(node, known[0], constants)
    return RULES[node.op_type](node, known, constants) if node.op_type in RULES else None


def _of_inputs(spec: InputSpec, inputs: Mapping[str, Range | None]) -> dict[str, Levels]:
    """Levels of natural images, or standard normal ones, within the range that is known."""
    found = {}
    for (name, known), shape in zip(inputs.items(), spec.shapes, strict=True):
        if len(shape) == 4:
            prior = natural_images(shape[1], spec)
            levels = reaching(prior.mean, prior.std)
        else:
            channels = shape[1] if len(shape) > 1 else 1
            zeros = torch.zeros(channels, dtype=torch.float64)
            levels = reaching(zeros, zeros + 1)
        found[name] = Levels(levels.mean, levels.std, known or levels.span)
    return found


def _behind_norms(network: SourceModel, model: onnx.ModelProto) -> dict[str, Levels] | None:
    """Levels behind each convolution whose BatchNorm was folded into it, by the node's name.

    None where the graph's layers are not the network's, one by one.
    """
    record = operators_of(network)
    constants = {tensor.name for tensor in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in WEIGHTED and n.input[1] in constants]
    layers = list(_layers(network.module, record))
    if not _alike(network.module, layers, nodes):
        return None
    norms, after, once = batch_norms(network.module), norm_after(record), called_once(record)
    found = {}
    for node, layer in zip(nodes, layers, strict=True):
        norm = norms.get(after.get(layer, ""))
        if norm is not None and layer in once and norm.affine:
            found[node.name] = reaching(
                norm.bias.detach().double().cpu(), norm.weight.detach().double().abs().cpu()
            )
    return found


def _layers(module: nn.Module, record: OperatorTrace) -> Iterator[str]:
    """The layers with weights in the order in which they run."""
    kinds = (nn.modules.conv._ConvNd, nn.Linear)
    for operation in record.operations:
        if operation.macs and isinstance(module.get_submodule(operation.layer), kinds):
            yield operation.layer


def _alike(module: nn.Module, layers: Sequence[str], nodes: Sequence[onnx.NodeProto]) -> bool:
    """Whether the nodes are those of the layers, one by one."""
    return len(layers) == len(nodes) and all(
        isinstance(module.get_submodule(name), nn.Linear) is (node.op_type not in CONVOLUTIONS)
        for name, node in zip(layers, nodes, strict=True)
    )


def _weighted(
    node: onnx.NodeProto, read: Levels, constants: Mapping[str, onnx.TensorProto]
) -> Levels:
    """Levels behind a layer without BatchNorm, from what it reads and its weights."""
    weight, *bias = (
        torch.from_numpy(numpy_helper.to_array(constants[name]).copy())
        for name in node.input[1:3]
        if name in constants
    )
    if node.op_type in ("Gemm", "MatMul") and not filters_first(node):
        weight = weight.movedim(-1, 0)
    elif node.op_type == "ConvTranspose":
        weight = weight.transpose(0, 1)
    return weighted(read, weight, bias[0] if bias else None)
