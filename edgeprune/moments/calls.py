"""One recorded operator, with the known moments of the tensors that it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

from torch import Tensor

from edgeprune.artifacts.recorded import Operation, TensorView
from edgeprune.moments.feature import FeatureMoments, Moments

Known: TypeAlias = Mapping[TensorView, "FeatureMoments | Tensor"]
"""Moments of the tensors that depend on the input, values of the constant ones."""

Rule: TypeAlias = Callable[["Call"], "tuple[FeatureMoments | None, ...] | FeatureMoments | None"]
"""Computes the moments of an operator's outputs; None where they are unknown."""


@dataclass(frozen=True, slots=True)
class Call:
    """One recorded operator.

    Attributes:
        operation: The operator.
        known: Moments and values of tensors so far.
        stored_var: Running variance of the BatchNorm that reads the output of this operator,
            (C_out,); None where there is none.
        read: Moments of the channels that the operator of a layer reads; None for others.
    """

    operation: Operation
    known: Known
    stored_var: Tensor | None = None
    read: Moments | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first output."""
        return self.operation.writes[0].shape

    def argument(self, position: int) -> Any:
        """An argument as it was passed; None where the operator has fewer."""
        arguments = self.operation.arguments
        return arguments[position] if position < len(arguments) else None

    def feature(self, position: int = 0) -> FeatureMoments | None:
        """Moments of an argument that depends on the network's input; None where unknown."""
        found = self._found(self.argument(position))
        return found if isinstance(found, FeatureMoments) else None

    def channels(self, position: int = 0) -> FeatureMoments | None:
        """Moments of an argument of which every index along the second dimension is one channel."""
        feature = self.feature(position)
        return feature if feature and feature.is_map else None

    def constant(self, position: int) -> Tensor | None:
        """The value of an argument that does not depend on the network's input."""
        found = self._found(self.argument(position))
        return found if isinstance(found, Tensor) else None

    def operands(self) -> list[FeatureMoments | Tensor | None]:
        """Moments or value of each tensor that the operator reads, in order."""
        return [self._found(view) for view in self.operation.reads]

    def _found(self, view: object) -> FeatureMoments | Tensor | None:
        return self.known.get(view) if isinstance(view, TensorView) and view.exact else None
