"""The ways to round weights to codes, by the names that the command line gives them."""

from __future__ import annotations

from edgeprune.choices import Choices
from edgeprune.export.rounding_for_outputs import ForOutputs
from edgeprune.export.weight_rounding import Nearest

ROUNDINGS: Choices[type[ForOutputs] | type[Nearest]] = Choices(
    "weight rounding", {"outputs": ForOutputs, "nearest": Nearest}
)
