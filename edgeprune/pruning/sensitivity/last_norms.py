"""Where features are compared inside of a network: the last normalisation at each resolution.

There features are at their level on any image, and what is wrong so far has passed many layers. All
of it is read off the recorded operators.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeprune.artifacts.recorded import OperatorTrace


def last_norms(record: OperatorTrace) -> list[str]:
    """The normalising layer that runs last, of those whose outputs have the same extent.

    Args:
        record: Operators of the network.

    Returns:
        Dotted names, in the order of execution.
    """
    last: dict[tuple[int, ...], str] = {}
    for operation in record.operations:
        if operation.kind == "norm" and operation.writes:
            extent = operation.writes[0].shape[2:]
            last.pop(extent, None)
            last[extent] = operation.layer
    return list(last.values())
