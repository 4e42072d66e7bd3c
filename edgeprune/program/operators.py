"""Operators that a program may name: arithmetic on tensors, without side effects.

Left out is what reads memory that nobody wrote (``empty``), strides of its own (``as_strided``),
indices that are not checked, random numbers, and whatever gives a number of a tensor to code.
"""

from __future__ import annotations

import functools
import re
from typing import TYPE_CHECKING, Any

import torch

from edgeprune.printable import printable
from edgeprune.program.form import Device, Extreme, Held, Kind, Made, Several, Sized

if TYPE_CHECKING:
    from edgeprune.program.form import Argument

LAYOUTS = (
    *("view", "_unsafe_view", "reshape", "squeeze", "unsqueeze", "permute", "transpose", "t"),
    *("expand", "repeat", "flip", "roll", "slice", "select", "split_with_sizes", "unbind", "cat"),
    *("stack", "constant_pad_nd", "pixel_shuffle", "pixel_unshuffle", "channel_shuffle", "unfold"),
    *("native_channel_shuffle", "diagonal", "index", "index_select", "gather", "clone", "_to_copy"),
    *("detach", "alias", "contiguous", "reflection_pad1d", "reflection_pad2d", "im2col", "col2im"),
    *("reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d"),
    *("repeat_interleave", "tril", "triu", "masked_fill", "copy", "where"),
)
NEW = (
    *("zeros", "ones", "full", "zeros_like", "ones_like", "full_like", "new_zeros", "new_ones"),
    *("new_full", "arange", "linspace", "eye", "scalar_tensor", "fill", "zero"),
)
POINTWISE = (
    *("add", "sub", "rsub", "mul", "div", "pow", "square", "sqrt", "rsqrt", "reciprocal", "neg"),
    *("abs", "sign", "exp", "exp2", "expm1", "log", "log1p", "log2", "sin", "cos", "tan", "erf"),
    *("atan", "atan2", "floor", "ceil", "round", "trunc", "frac", "remainder", "fmod"),
    *("floor_divide", "clamp", "clamp_min", "clamp_max", "maximum", "minimum", "relu", "sigmoid"),
    *("tanh", "silu", "gelu", "mish", "elu", "celu", "selu", "leaky_relu", "hardtanh"),
    *("hardsigmoid", "hardswish", "softplus", "log_sigmoid_forward", "_prelu_kernel", "lerp"),
    *("threshold", "addcmul", "addcdiv", "eq", "ne", "lt", "le", "gt", "ge", "logical_and"),
    *("logical_or", "logical_not", "logical_xor", "bitwise_and", "bitwise_or", "bitwise_not"),
)
REDUCTIONS = (
    *("mean", "sum", "amax", "amin", "aminmax", "max", "min", "argmax", "argmin", "prod", "any"),
    *("all", "var", "std", "var_mean", "std_mean", "median", "logsumexp", "norm", "cumsum"),
    *("linalg_vector_norm", "cumprod", "sort", "topk", "_softmax", "_log_softmax"),
    *("_safe_softmax", "softmax", "log_softmax"),
)
LAYERS = (
    *("convolution", "addmm", "mm", "bmm", "baddbmm", "mv", "dot", "embedding"),
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "_batch_norm_no_update"),
    *("native_layer_norm", "native_group_norm", "_fused_rms_norm", "_adaptive_avg_pool2d"),
    *("_adaptive_avg_pool3d", "adaptive_avg_pool1d", "adaptive_max_pool2d", "avg_pool1d"),
    *("adaptive_max_pool3d", "avg_pool2d", "avg_pool3d", "max_pool2d_with_indices"),
    *("max_pool3d_with_indices", "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d"),
    *("upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d", "upsample_bicubic2d"),
    *("_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa", "_upsample_nearest_exact2d"),
    *("grid_sampler_2d", "adaptive_avg_pool2d", "adaptive_avg_pool3d"),
)
OPERATORS = frozenset((*LAYOUTS, *NEW, *POINTWISE, *REDUCTIONS, *LAYERS))
"""ATen names, without overload and in-place underscore."""

REINTERPRETS = "view.dtype"
"""Shows the bytes of numbers as other numbers."""

DTYPES = {
    *("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8"),
    "bool",
}
FORMATS = {"contiguous_format", "channels_last", "channels_last_3d", "preserve_format"}


@functools.cache
def operator_of(name: str) -> Any:
    """The operator of that name.

    Args:
        name: An ATen operator and its overload: ``add_.Tensor``.

    Raises:
        ValueError: There is none that a program may name.
    """
    packet, _, overload = name.partition(".")
    plain = packet if packet.startswith("_") else packet.removesuffix("_")
    if plain in OPERATORS and name != REINTERPRETS:
        overloads = getattr(torch.ops.aten, packet)
        if overload in overloads.overloads():
            found = getattr(overloads, overload)
            if _is_arithmetic(found._schema):
                return found
    shown = printable(name[:60], keep="")
    raise ValueError(f"it runs an operator '{shown}', which no recorded network may")


def _is_arithmetic(schema: Any) -> bool:
    """Whether an operator makes tensors of tensors, and writes to none that is named for it."""
    return all(
        str(each.real_type) in TYPES and not (each.kwarg_only and each.is_out)
        for each in schema.arguments
    ) and all(str(each.type) in ("Tensor", "List[Tensor]") for each in schema.returns)


def takes(kind: str, argument: Argument) -> bool:
    """Whether an argument is of the type that an operator's schema asks for.

    Args:
        kind: ``Tensor``, ``List[int]``, ``Optional[ScalarType]``.
        argument: As a program has it.
    """
    if optional := re.fullmatch(r"Optional\[(.+)\]", kind):
        return argument is None or takes(optional[1], argument)
    if several := re.fullmatch(r"List\[(.+)\]", kind):
        return isinstance(argument, Several) and all(
            takes(several[1], each) for each in argument.items
        )
    if isinstance(argument, Kind):
        return argument.name in {"ScalarType": DTYPES, "MemoryFormat": FORMATS}.get(kind, ())
    if isinstance(argument, bool):
        return kind in ("bool", "number")
    return isinstance(argument, _TAKEN.get(kind, ()))


_TAKEN: dict[str, tuple[type, ...]] = {
    "Tensor": (Made, Held),
    "int": (int, Sized),
    "float": (int, float, Extreme),
    "number": (int, float, Sized, Extreme),
    "str": (str,),
    "Device": (Device,),
}
_ELEMENTS = ("Tensor", "int", "float", "Optional[Tensor]", "bool")
_PLAIN = (*_TAKEN, "bool", "ScalarType", "Layout", "MemoryFormat")
TYPES = frozenset(
    form.format(kind)
    for form, kinds in (
        ("{}", _PLAIN),
        ("Optional[{}]", _PLAIN),
        ("List[{}]", _ELEMENTS),
        ("Optional[List[{}]]", _ELEMENTS),
    )
    for kind in kinds
)
"""Types of arguments that have a form in a program; a layout is always left out."""
