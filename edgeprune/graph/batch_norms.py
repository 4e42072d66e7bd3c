"""What stands behind a layer: who takes its mean, and how often it runs.

A closed form that changes a layer's mean puts the difference into the BatchNorm that alone reads
the layer, or into the layer's bias. A layer that runs more than once must serve several inputs at
a time, and is left to the methods that use weights alone.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from torch import nn

if TYPE_CHECKING:
    from edgeprune.artifacts.recorded import Operation, OperatorTrace, Value


def norm_after(record: OperatorTrace) -> dict[str, str]:
    """The normalisation that alone reads a layer, by the layer's name.

    Args:
        record: Operators of the original network.

    Returns:
        Names of layers with the name of the normalising layer behind them.
    """
    consumers: dict[Value, list[Operation]] = {}
    for operation in record.operations:
        for view in operation.reads:
            consumers.setdefault(view.value, []).append(operation)
    found = {}
    for operation in record.operations:
        if operation.macs and operation.writes:
            behind = consumers.get(operation.writes[0].value, [])
            if len(behind) == 1 and behind[0].kind == "norm":
                found[operation.layer] = behind[0].layer
    return found


def called_once(record: OperatorTrace) -> set[str]:
    """Layers that multiply-accumulate or normalise exactly once in an inference."""
    calls = Counter(
        operation.layer
        for operation in record.operations
        if operation.macs or operation.kind == "norm"
    )
    return {layer for layer, count in calls.items() if count == 1}


def shared_norms(record: OperatorTrace, original: nn.Module, pruned: nn.Module) -> set[str]:
    """BatchNorms that two networks have and that run once.

    Args:
        record: Operators of the original network.
        original: The network before surgery.
        pruned: What is left of it.
    """
    return called_once(record) & batch_norms(original).keys() & batch_norms(pruned).keys()


def batch_norms(module: nn.Module) -> dict[str, nn.modules.batchnorm._BatchNorm]:
    """The BatchNorms that have stored statistics, by dotted name."""
    return {
        name: layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.running_mean is not None
    }
