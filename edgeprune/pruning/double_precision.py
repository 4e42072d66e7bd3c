"""Run a network of single precision in double precision, without a copy of its weights.

Every function of torch gets its operands in double precision: a weight is converted where it is
used, and what it was converted to goes again as soon as the function is done.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

ATTRIBUTES = ("__get__", "__set__", "size", "dim", "numel", "stride", "data_ptr")
"""Functions that look at a tensor, not at its numbers, or change which tensor it is."""


LARGE = 1 << 23
"""Elements of a weight that are converted at once: 64 MiB of them."""


class DoublePrecision(TorchFunctionMode):
    """Computes in double precision what is computed within it; inputs must be in it already."""

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Call ``func`` on its operands in double precision."""
        name = getattr(func, "__name__", "")
        if name in ATTRIBUTES:
            found = func(*args, **(kwargs or {}))
            return torch.float64 if found is torch.float32 else found  # some layers compare
        if func is F.linear and not kwargs and args[1].numel() > LARGE:
            return _by_rows(*args)
        kept = 1 if _writes(name) else 0  # what it writes to stays the same tensor
        args = (*args[:kept], *pytree.tree_map(_double, args[kept:]))
        return func(*args, **pytree.tree_map(_double, kwargs or {}))


def _by_rows(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """``F.linear`` with a large weight, which is converted a part of its rows at a time."""
    x, rows = _double(x), max(1, LARGE // weight.shape[1])
    parts = [F.linear(x, _double(part)) for part in torch.split(weight, rows)]
    whole = torch.cat(parts, dim=-1)
    return whole if bias is None else whole + bias


def _writes(name: str) -> bool:
    """Whether a function changes its first operand: ``add_``, ``__setitem__``, ``add_.Tensor``."""
    if name.startswith("__"):
        return name == "__setitem__" or name in IN_PLACE
    return name.partition(".")[0].endswith("_")


def _double(value: Any) -> Any:
    single = isinstance(value, Tensor) and value.dtype == torch.float32
    return value.double() if single else value


IN_PLACE = tuple(
    f"__i{operation}__"
    for operation in ("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "and", "or", "xor")
)
