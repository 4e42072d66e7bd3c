"""The rule for each operator; a new operator is one function and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.graph.recording import RESHAPES
from edgeprune.moments import convolution, layouts, norms, pooling
from edgeprune.moments.pointwise import pointwise

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts.recorded import Operation
    from edgeprune.moments.calls import Call, Rule
    from edgeprune.moments.feature import Moments


def rule_of(operation: Operation) -> Rule | None:
    """The rule for an operator; None where there is none."""
    fallback = pointwise if operation.kind == "pointwise" else None
    return RULES.get(operation.name, fallback)


LAYER_INPUTS: dict[str, Callable[[Call], Moments | None]] = {
    "convolution": convolution.convolution_reads,
    "addmm": convolution.addmm_reads,
    "mm": convolution.mm_reads,
    "native_batch_norm": norms.batch_norm_reads,
}
"""Moments that the operators of layers read."""

RULES: dict[str, Rule] = {
    "convolution": convolution.convolution,
    "addmm": convolution.addmm,
    "mm": convolution.mm,
    "native_batch_norm": norms.batch_norm,
    "native_layer_norm": norms.layer_norm,
    "native_group_norm": norms.group_norm,
    "max_pool2d_with_indices": pooling.max_pool,
    "adaptive_max_pool2d": pooling.adaptive_max_pool,
    "avg_pool2d": pooling.average_pool,
    "_adaptive_avg_pool2d": pooling.adaptive_average_pool,
    "mean": pooling.mean,
    "upsample_nearest2d": pooling.upsample,
    "upsample_bilinear2d": pooling.upsample,
    "cat": layouts.concatenated,
    "constant_pad_nd": layouts.padded,
    "reflection_pad2d": layouts.identity,
    "replication_pad2d": layouts.identity,
    "clone": layouts.identity,
    "as_strided": layouts.restrided,
    "_to_copy": layouts.identity,
    "native_dropout": layouts.identity,
    "zeros_like": layouts.zeros,
    "new_zeros": layouts.zeros,
    "zeros": layouts.zeros,
    "slice": layouts.sliced,
    **dict.fromkeys(
        ("permute", "transpose", "t", "expand", "select", "split", "split_with_sizes", "unbind"),
        layouts.moved,
    ),
    **dict.fromkeys(RESHAPES, layouts.reshape),
}
