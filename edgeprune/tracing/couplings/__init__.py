"""Channel couplings: labels of channels travel through the recorded operators.

labels.py         labels and what is found out of them  elementwise.py  what meets is joined
disjoint_sets.py  union-find in arrays                  layouts.py      what moves, moves labels
step.py           one operator and its labels           parts.py        slices, splits, shuffles
rules.py          the table: one rule an operator       reductions.py   along dimensions
layers.py         who reads and who makes channels      norms.py        normalisations
rewritten.py      what is written to part by part
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from edgeprune.program.network import RecordedNetwork
from edgeprune.tracing.couplings.labels import ChannelLabels
from edgeprune.tracing.couplings.rewritten import lock_rewritten
from edgeprune.tracing.couplings.rules import rule_of
from edgeprune.tracing.couplings.step import Step

if TYPE_CHECKING:
    from torch import Tensor, nn

    from edgeprune.artifacts.recorded import Operation, OperatorTrace, TensorView, Value

TRANSPOSES = ("t", "transpose", "permute")


@dataclass(frozen=True, slots=True)
class Couplings:
    """What was found out about the channels of a network.

    Attributes:
        labels: All labels, joined as far as they can only go together.
        known: The labels of every tensor.
        record: The operators that were followed.
        module: The network.
    """

    labels: ChannelLabels
    known: dict[TensorView, Tensor | None]
    record: OperatorTrace
    module: nn.Module


def follow(record: OperatorTrace, module: nn.Module) -> Couplings:
    """Follow the channels of a network through its operators.

    Args:
        record: Operators of the network.
        module: The network.
    """
    labels, resizable = ChannelLabels(), isinstance(module, RecordedNetwork)
    known: dict[TensorView, Tensor | None] = {}
    weights = {value: (name, False) for value, name in record.tensors.items()}
    inputs = torch.from_numpy(labels.source("the network's input", None, (1,)).labels)
    labels.lock(inputs.numpy(), "its channels are added to the network's input")
    given = set(record.inputs)
    used = {view.value for each in record.operations for view in each.reads} | {*record.outputs}
    for operation in record.operations:
        for view in operation.reads:
            if view.value in given and view not in known:
                known[view] = inputs.reshape([1] * len(view.shape)).expand(view.shape)
        if _passes_weight(operation, record, weights):
            continue
        moving = record.activation_bytes
        step = Step(
            operation, known, labels, record.tensors, weights, moving, used, module, resizable
        )
        known.update(zip(operation.writes, _written(step), strict=False))
    lock_rewritten(record, labels, known)
    labels.settle()
    return Couplings(labels, known, record, module)


def _written(step: Step) -> tuple[Tensor | None, ...]:
    """The labels of what an operator writes; what it touches is locked where its rule fails."""
    try:
        result = rule_of(step.operation)(step)
    except (RuntimeError, IndexError, ValueError, TypeError):  # a form that its rule knows not of
        step.lock_all(f"its channels pass '{step.operation.name}' in an unknown form")
        return ()
    return result if isinstance(result, tuple) else (result,)


def _passes_weight(
    operation: Operation, record: OperatorTrace, weights: dict[Value, tuple[str, bool]]
) -> bool:
    """Follow a weight to the layer that uses it, transposed as linear layers have it."""
    reads = operation.reads
    if not reads or reads[0].value not in weights or reads[0].value in record.activation_bytes:
        return False
    if operation.name in TRANSPOSES and len(reads[0].shape) == 2:
        name, transposed = weights[reads[0].value]
        weights[operation.writes[0].value] = (name, not transposed)
        return True
    return operation.kind == "reshape" and reads[0].shape == operation.writes[0].shape
