"""Budgets that only a measurement can tell: latency, and the size of the file.

--latency 50%   --latency 8ms   --size 50%   --size 2MB

How many multiply-accumulates may stay for a time is not known beforehand: a layer half as wide is
not twice as fast. So these budgets steer by a price that widths do have, and the run measures what
comes of it (``pipeline/measured_budget.py``).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, SupportsFloat

from edgeprune import units
from edgeprune.choices import Choices
from edgeprune.errors import UsageError
from edgeprune.pruning.budgets import Aim

if TYPE_CHECKING:
    from collections.abc import Container


@dataclass(frozen=True, slots=True)
class MeasuredBudget:
    """A figure of the exported file that is to be reached.

    Attributes:
        amount: Up to 1 a share of the original's, unless ``absolute``; else in ``unit``. A text is
            read as on the command line.
        absolute: Whether ``amount`` is a figure whatever its size: 0.008 seconds.
    """

    amount: float
    absolute: bool = False

    kind: ClassVar[str]
    unit: ClassVar[Literal["s", "bytes"]]
    prices: ClassVar[tuple[str, ...]]
    example: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse an amount that cannot be meant.

        Raises:
            UsageError: Says what may be meant.
        """
        amount, absolute = self._read(self.amount)
        absolute = self.absolute or absolute
        if not 0 < amount < math.inf or (not absolute and amount >= 1):
            raise UsageError(f"--{self.kind} {self.amount}: expected {self.example}")
        object.__setattr__(self, "amount", amount)
        object.__setattr__(self, "absolute", absolute)

    def share(self, original: float) -> float:
        """The share of the original's figure that is asked for.

        Args:
            original: The original's figure, in ``unit``.

        Raises:
            UsageError: The original is within the budget as it is.
        """
        asked = self.amount / original if self.absolute else self.amount
        if asked >= 1:
            write = units.PRINTERS[self.unit]
            raise UsageError(
                f"--{self.kind} {write(self.amount)}: the original's is {write(original)} already"
            )
        return asked

    def aim(self, share: float, priced: Container[str]) -> Aim:
        """A share of the first of ``prices`` that is known, as a budget of widths."""
        quantity = next(each for each in self.prices if each in priced)
        return Aim(self.kind, quantity, share)

    def _read(self, amount: object) -> tuple[float, bool]:
        """An amount as a number, and whether it bears a unit."""
        wrong = UsageError(f"--{self.kind} {amount}: expected {self.example}")
        if isinstance(amount, str):
            try:
                value, kind, _ = units.parse(amount)
            except ValueError:
                raise wrong from None
            if kind not in (None, "ratio", self.unit):
                raise wrong
            return value, kind == self.unit
        if isinstance(amount, bool) or not isinstance(amount, SupportsFloat):
            raise wrong
        return float(amount), False


class Latency(MeasuredBudget):
    """Median time of one inference of the deliverable, where the run measures."""

    __slots__ = ()
    kind = "latency"
    unit = "s"
    prices = ("latency", "macs")
    example = "a share of the original's, such as 50%, or a time, such as 8ms"


class Size(MeasuredBudget):
    """Bytes of the deliverable."""

    __slots__ = ()
    kind = "size"
    unit = "bytes"
    prices = ("params",)
    example = "a share of the original's, such as 50%, or a size, such as 2MB"


MEASURED_BUDGETS: Choices[type[Latency] | type[Size]] = Choices(
    "measured budget", {"latency": Latency, "size": Size}
)
