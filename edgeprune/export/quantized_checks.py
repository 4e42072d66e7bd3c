"""Prove a quantized graph: its weights, its outputs, and that the runtime computes what it says.

Three laws, each checked on the finished graph by arithmetic of its own:

1. Every code of a weight is the nearest to the float weight (or, under another rounding, one of its
   two neighbours).
2. No output lies behind a quantizer with nothing but moved or rescaled values between.
3. The runtime's fused integer kernels give the codes that the graph says, or the next ones. Every
   layer is computed as it is written from the codes that the runtime had there itself, because a
   difference of one code in the first layer would else grow from layer to layer, and hide a wrong
   kernel among the roundings.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import onnx

from edgeprune.artifacts import KernelProof
from edgeprune.calibration.onnx_operators import DEQUANTIZE, QUANTIZE
from edgeprune.calibration.onnx_runs import session, with_outputs
from edgeprune.errors import VerificationFailed
from edgeprune.export.float_part import float_part, layer_of
from edgeprune.export.qdq import quantized_activations, weight_codes
from edgeprune.parity import NetworkComparison

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from edgeprune.parity import Array

LARGEST_CODE = 127
MOST_CODES = 1
"""Codes by which fused kernels may differ: they round the scale of a product once more."""
GIVEN = "given:"
"""Prefix of the codes that are handed in."""
OUTPUT_TOLERANCE = 1e-3
"""Largest difference of an output from what the last codes give, as a share of its scale."""


def check_weights(quantized: onnx.ModelProto, original: onnx.ModelProto, *, nearest: bool) -> None:
    """Prove that every weight's code is the nearest, or one of the two neighbours.

    Raises:
        VerificationFailed: Names the layer.
    """
    nodes = {node.name: node for node in original.graph.node}
    for layer in weight_codes(quantized, original):
        exact = layer.values.astype(np.float64) / layer.scale.astype(np.float64)
        exact = np.clip(exact, -LARGEST_CODE - 1, LARGEST_CODE)
        off = float(np.abs(layer.codes - exact).max(initial=0.0))
        most = 0.5 + 1e-4 if nearest else 1.0 + 1e-4
        if off > most:
            raise VerificationFailed(
                f"a weight of {layer_of(nodes[layer.node])!r} is {off:.2f} codes from its float "
                f"value, more than {most:.1f}"
            )


def check_outputs(quantized: onnx.ModelProto, original: onnx.ModelProto) -> None:
    """Prove that no output is made of codes.

    Raises:
        VerificationFailed: Names the tensor.
    """
    between = float_part(original).tensors
    for node in quantized.graph.node:
        ends = {node.input[0]} if node.op_type == QUANTIZE else set()
        if node.op_type == DEQUANTIZE:
            ends = {node.output[0]} & {each.name for each in quantized.graph.output}
        if found := ends & between:
            raise VerificationFailed(f"{found.pop()!r} is quantized in front of an output")


def check_kernels(quantized: onnx.ModelProto, fed: Iterable[Mapping[str, Array]]) -> KernelProof:
    """Prove that the optimized graph computes what is written.

    Args:
        quantized: The graph.
        fed: Inputs in the ranges of the codes.

    Raises:
        VerificationFailed: When a layer's codes are further off than rounding, or an output is.
    """
    codes = list(quantized_activations(quantized).values())
    outputs = [each.name for each in quantized.graph.output]
    names = outputs + codes
    given_out = with_outputs(quantized, _kinds(quantized))
    fused = session(given_out)
    plain = session(_from_codes(given_out, codes), optimized=False)
    off = dict.fromkeys(codes, 0)
    comparison = NetworkComparison()
    for each in fed:
        found = dict(zip(names, fused.run(names, dict(each)), strict=True))
        given = {GIVEN + name: found[name] for name in codes}
        again = dict(zip(names, plain.run(names, {**each, **given}), strict=True))
        for name in codes:
            apart = np.abs(found[name].astype(np.int16) - again[name].astype(np.int16))
            off[name] = max(off[name], int(apart.max(initial=0)))
        comparison.add({name: again[name] for name in outputs}, [found[name] for name in outputs])
    proof = KernelProof(
        most_codes=max(off.values(), default=0),
        max_rel_diff=comparison.result().max_rel_diff,
        n=comparison.n,
    )
    _judge(proof, off)
    return proof


def _judge(proof: KernelProof, off: Mapping[str, int]) -> None:
    if proof.most_codes > MOST_CODES:
        worst = max(off, key=lambda name: off[name])
        raise VerificationFailed(
            f"ONNX Runtime's integer kernels give {worst!r} {proof.most_codes} codes beside what "
            "the file says: this CPU may saturate products of 8-bit numbers; choose another "
            "--activations, or --precision fp32"
        )
    if proof.max_rel_diff > OUTPUT_TOLERANCE:
        raise VerificationFailed(
            f"ONNX Runtime's outputs differ by {proof.max_rel_diff:.1e} of their scale from what "
            f"the quantized file says (at most {OUTPUT_TOLERANCE:.0e} is rounding)"
        )


def _from_codes(model: onnx.ModelProto, codes: Collection[str]) -> onnx.ModelProto:
    """A copy whose layers read codes that are handed in, and not those of the layers before."""
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    kinds = _kinds(model)
    for node in copy.graph.node:
        if node.op_type == DEQUANTIZE and node.input[0] in codes:
            node.input[0] = GIVEN + node.input[0]
    for name in codes:
        copy.graph.input.append(onnx.helper.make_tensor_value_info(GIVEN + name, kinds[name], None))
    return copy


def _kinds(model: onnx.ModelProto) -> dict[str, int]:
    """Element type of the codes of each activation: that of their zero point."""
    zeros = {tensor.name: tensor.data_type for tensor in model.graph.initializer}
    return {
        node.output[0]: zeros[node.input[2]]
        for node in model.graph.node
        if node.op_type == QUANTIZE
    }
