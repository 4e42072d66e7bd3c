"""Tensors that code writes to part by part: a record does not tell which part is which.

What reads such a tensor sees a value of which only the last part written is known. So all that
was written to it, and what it was a part of, stays whole.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.tracing.couplings.step import flat

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edgeprune.artifacts.recorded import Operation, OperatorTrace, Value
    from edgeprune.tracing.couplings.labels import ChannelLabels
    from edgeprune.tracing.couplings.step import Known

VIEWS = ("slice", "select", "split", "split_with_sizes", "unbind", "permute", "transpose", "expand")
"""Operators that show a part of a tensor, or all of it, where it lies."""


def lock_rewritten(record: OperatorTrace, labels: ChannelLabels, known: Known) -> None:
    """Keep whole what is written to part by part and then read.

    Args:
        record: Operators of the network.
        labels: All labels.
        known: Labels of every tensor.
    """
    made_by: dict[Value, Operation] = {}
    for operation in record.operations:
        for view in operation.reads:
            for writer in () if view.exact else _writers(view.value, made_by):
                for held in map(known.get, writer.reads):
                    if held is not None:
                        labels.lock(flat(held), "it is written to in place, part by part")
        for view in operation.writes:
            made_by.setdefault(view.value, operation)


def _writers(value: Value, made_by: dict[Value, Operation]) -> Iterator[Operation]:
    """The operator that wrote a part, and the views through which it reached that part."""
    writer = made_by.get(value)
    while writer is not None and writer.reads:
        yield writer
        writer = made_by.get(writer.reads[0].value)
        if writer is not None and writer.name not in VIEWS:
            return
