"""How many channels a layer has, read off the attributes that torch's layers declare; no torch."""

from __future__ import annotations

from typing import Literal

ATTRIBUTES: dict[str, tuple[str, ...]] = {
    "out": (
        *("out_channels", "out_features", "num_features", "num_channels", "num_parameters"),
        *("normalized_shape", "embed_dim"),
    ),
    "in": ("in_channels", "in_features"),
}
"""Where torch's layers keep their widths, by side; the first that a layer has counts."""


def width_of(layer: object, side: Literal["in", "out"] = "out") -> int | None:
    """Number of channels on one side of a layer; None where it does not declare any.

    Args:
        layer: A module.
        side: ``out`` for the channels it makes, ``in`` for those it reads.
    """
    for name in ATTRIBUTES[side]:
        declared = getattr(layer, name, None)
        if isinstance(declared, tuple | list) and declared:  # channels come before rows and columns
            declared = declared[0]
        if isinstance(declared, int):
            return declared
    return None
