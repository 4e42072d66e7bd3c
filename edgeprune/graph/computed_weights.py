"""Layers that do not use their weight as it is stored, but one that they compute from it.

Weight standardisation does so (arXiv:1903.10520), and so do binary and scaled weights.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.artifacts.recorded import TensorView

if TYPE_CHECKING:
    from edgeprune.artifacts.recorded import OperatorTrace


def with_computed_weight(record: OperatorTrace) -> set[str]:
    """Names of the layers that run a convolution with a weight that is no parameter.

    Args:
        record: Operators of the network.
    """
    return {
        operation.layer
        for operation in record.operations
        if operation.name == "convolution"
        and isinstance(operation.arguments[1], TensorView)
        and operation.arguments[1].value not in record.tensors
    }
