"""What a network costs: multiply-accumulates, parameters, peak activation memory.

One counter for PyTorch and ONNX. Both are first written down as the same recording, a list of
operators over values (``ledger.py``), and one set of rules turns a recording into figures; only
the recorders differ (``module.py``, ``graph.py``). Figures are for batch 1.

MACs are those of convolutions and matrix products; an addition of a bias, a pooling and an
activation function count none. Parameters are those that take part in inference.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.costs.ledger import Costs, LayerCost, add_up

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import nn

    from edgeprune.artifacts import InputSpec
    from edgeprune.artifacts.recorded import OperatorTrace

__all__ = ["Costs", "LayerCost", "count", "count_onnx"]


def count(
    module: nn.Module,
    input: InputSpec,  # noqa: A002 (the field's word)
    record: OperatorTrace | None = None,
) -> Costs:
    """Count what one inference of a PyTorch module costs.

    The module runs in eval mode, batch 1, on the device and in the dtype of its parameters; its
    weights, modes and gradient flags are afterwards what they were.

    Args:
        module: The network.
        input: Shapes that the network takes.
        record: Operators that it runs, where they are known; None: it is run once.

    Returns:
        The costs; layers bear the dotted names of the modules that ran the operators.
    """
    from edgeprune.costs.module import recording_of
    from edgeprune.graph.recording import trace_operators

    known = record or trace_operators(module, input.shapes, input.dtypes)
    return add_up(recording_of(module, known))


def count_onnx(path: Path, shapes: Mapping[str, Sequence[int]] | None = None) -> Costs:
    """Count what one inference of an ONNX file costs, from its shapes; imports no torch.

    Parameters are the floating-point tensors of rank 1 or more that the file carries: what was a
    buffer in PyTorch, positional encodings for one, cannot be told from a parameter here.
    BatchNorm's running statistics are not counted.

    Args:
        path: The file. A symbolic batch dimension counts as 1.
        shapes: Shapes of inputs whose other sizes it leaves open, by name; under "" that of the
            only input.

    Returns:
        The costs; layers bear the names of the nodes.

    Raises:
        ModelUnsupported: When a shape cannot be inferred, or the graph has loops or branches.
    """
    from edgeprune.costs.graph import record

    return add_up(record(path, shapes or {}))
