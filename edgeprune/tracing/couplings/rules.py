"""The rule for each operator; a new operator is one function and one line here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.graph.recording import BATCH_NORMS, RESHAPES
from edgeprune.tracing.couplings import elementwise, layers, layouts, norms, parts
from edgeprune.tracing.couplings.reductions import reduction, spatial, statistic

if TYPE_CHECKING:
    from torch import Tensor

    from edgeprune.artifacts.recorded import Operation
    from edgeprune.tracing.couplings.step import Rule, Step


def rule_of(operation: Operation) -> Rule:
    """The rule for an operator."""
    fallback = elementwise.pointwise if operation.kind == "pointwise" else unknown
    return RULES.get(operation.name, fallback)


def unknown(step: Step) -> None:
    """An operator without a rule: what it touches stays whole."""
    step.lock_all(f"its channels pass '{step.operation.name}', which has no rule yet,")


def made_anew(step: Step) -> None:
    """Tensors filled with numbers of their own."""


def filled(step: Step) -> Tensor | None:
    """One number everywhere: channels, along the second dimension, if their count can change."""
    if not step.resizable or len(step.shape) < 2:
        return None
    return layouts.constants(step, 1, step.shape)


POOLING = (
    *("max_pool2d_with_indices", "max_pool3d_with_indices", "avg_pool2d", "avg_pool3d"),
    *("_adaptive_avg_pool2d", "_adaptive_avg_pool3d", "adaptive_max_pool2d", "adaptive_max_pool3d"),
    *("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "upsample_linear1d"),
    *("upsample_bilinear2d", "upsample_bicubic2d", "upsample_trilinear3d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d"),
    *("reflection_pad1d", "reflection_pad2d", "reflection_pad3d"),
    *("replication_pad1d", "replication_pad2d", "replication_pad3d", "im2col"),
    *("avg_pool1d", "adaptive_avg_pool1d", "max_pool2d", "_upsample_nearest_exact1d"),
)
"""Operators on the map of each channel."""

FILLED = ("zeros", "ones", "full", "new_zeros", "new_ones", "new_full")
"""Operators whose result is one number everywhere."""

NEW = (
    *("empty", "arange", "linspace", "eye", "scalar_tensor", "rand", "empty_like"),
    *("new_empty", "empty_strided", "new_empty_strided", "randn", "randint", "rand_like"),
    *("randn_like", "_local_scalar_dense", "is_nonzero", "equal", "lift_fresh_copy"),
    *("fill", "zero"),
)
"""Operators whose result has no channels of what they read."""

AS_WIDE = ("zeros_like", "ones_like", "full_like")
"""Operators whose result is as wide as what they read, and shrinks with it."""

RULES: dict[str, Rule] = {
    "convolution": layers.convolution,
    "addmm": layers.linear,
    "mm": layers.linear,
    "bmm": layers.products,
    "baddbmm": lambda step: layers.products(step, 1, 2),
    "mv": layers.products,
    "dot": layers.products,
    "native_layer_norm": norms.layer_norm,
    "_fused_rms_norm": norms.layer_norm,
    "native_group_norm": norms.group_norm,
    **dict.fromkeys((*BATCH_NORMS, "_native_batch_norm_legit"), norms.batch_norm),
    **dict.fromkeys(POOLING, spatial),
    **dict.fromkeys(NEW, made_anew),
    **dict.fromkeys(FILLED, filled),
    **dict.fromkeys(RESHAPES, parts.reshaped),
    **dict.fromkeys(
        ("clone", "_to_copy", "native_dropout", "contiguous", *AS_WIDE), elementwise.identity
    ),
    **dict.fromkeys(
        (
            *("permute", "transpose", "t", "expand", "repeat", "flip", "movedim", "diagonal"),
            *("pixel_shuffle", "pixel_unshuffle", "unfold"),
        ),
        layouts.moved,
    ),
    "slice": parts.sliced,
    "split": parts.split,
    "split_with_sizes": parts.split,
    "select": parts.picked,
    "unbind": parts.picked,
    "cat": layouts.concatenated,
    "stack": layouts.concatenated,
    "constant_pad_nd": layouts.padded,
    "roll": parts.rolled,
    "as_strided": layouts.restrided,
    "index": parts.indexed,
    "channel_shuffle": parts.channel_shuffled,
    "native_channel_shuffle": parts.channel_shuffled,
    "mean": statistic("a mean", normalises=True),
    "sum": statistic("a sum"),
    "amax": statistic("a maximum"),
    "amin": statistic("a minimum"),
    "aminmax": reduction("a minimum and maximum"),
    "max": statistic("a maximum"),
    "min": statistic("a minimum"),
    "argmax": reduction("an argmax"),
    "argmin": reduction("an argmin"),
    "prod": reduction("a product"),
    "any": reduction("a test"),
    "all": reduction("a test"),
    "var": statistic("a variance", normalises=True),
    "std": statistic("a standard deviation", normalises=True),
    "var_mean": statistic("a variance", normalises=True),
    "std_mean": statistic("a standard deviation", normalises=True),
    "median": reduction("a median"),
    "logsumexp": reduction("a logsumexp"),
    "norm": statistic("a norm", 2, normalises=True),
    "linalg_vector_norm": statistic("a norm", 2, normalises=True),
    "_softmax": reduction("a softmax"),
    "_log_softmax": reduction("a softmax"),
    "_safe_softmax": reduction("a softmax"),
    "cumsum": reduction("a cumulative sum"),
    "cumprod": reduction("a cumulative product"),
    "sort": reduction("a sort"),
    "topk": reduction("a selection of the largest", 2),
    "index_select": reduction("a selection"),
    "gather": reduction("a selection"),
    "take_along_dim": reduction("a selection", 2),
    "repeat_interleave": reduction("a repetition"),
}
