"""Networks prepared for quantization-aware training, or quantized: recognised by their layers.

Their weights are what fake quantization made of them, or integers: neither is what a channel is
judged by. Int8 comes after pruning.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from edgeprune.errors import ModelUnsupported

if TYPE_CHECKING:
    from torch import nn

OF_QUANTIZATION = re.compile(r"torch\.(ao|quantization|nn\.(intrinsic|qat|quantiz\w*))\b|torchao\b")
FUSED = re.compile(r"torch\.(ao\.)?nn\.intrinsic\.modules\.fused\b")
"""Layers in one, in float."""

ADVICE = "pass the float network that it was made from; quantize after pruning"


def is_of_quantization(module: str) -> bool:
    """Whether a Python module holds layers that are quantized, or prepared for it."""
    return OF_QUANTIZATION.match(module) is not None


def require_float(network: nn.Module) -> None:
    """Refuse a network with quantized layers, or such that are prepared for it.

    Raises:
        ModelUnsupported: Names the layer.
    """
    for name, part in network.named_modules():
        home = type(part).__module__
        if is_of_quantization(home) and not FUSED.match(home):
            raise ModelUnsupported(
                f"'{name}' is a {type(part).__name__}, of a network that is quantized or prepared "
                f"for quantization-aware training (QAT): {ADVICE}"
            )
