"""Budgets: a share or a number of multiply-accumulates, parameters or channels.

--macs 50%   --macs 20M   --params 1.5M   --ratio 0.5
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol, SupportsFloat

from edgeprune import units
from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.pruning.pricing import CostModel


PERCENT = 100
"""Numbers up to here, and above 1, are no share and no count of anything: who types one means per
cent."""


class Budget(Protocol):
    """Something to be reached by choosing widths.

    Attributes:
        kind: Name of the budget: its flag without the dashes.
        quantity: The price it is about; a key of :class:`~edgeprune.pruning.pricing.CostModel`.
    """

    @property
    def kind(self) -> str:
        """See the class."""
        ...

    @property
    def quantity(self) -> str:
        """See the class."""
        ...

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in the quantity's own unit."""
        ...

    def share(self, figure: float, original: float) -> float:
        """The figure as the user states it: a share of the original."""
        ...


@dataclass(frozen=True, slots=True)
class Remaining:
    """What remains of a quantity.

    Attributes:
        amount: Up to 1 a share of the original, above it a figure in the quantity's own unit.
    """

    amount: float

    kind: ClassVar[str]
    quantity: ClassVar[str]

    def __post_init__(self) -> None:
        """Refuse an amount that cannot be meant.

        Raises:
            UsageError: Says what may be meant.
        """
        object.__setattr__(self, "amount", _number(self.kind, self.amount))
        if not 0 < self.amount < math.inf:
            raise UsageError(f"--{self.kind} {self.amount:g}: a share lies between 0 and 100%")
        if 1 < self.amount <= PERCENT:
            raise UsageError(
                f"--{self.kind} {self.amount:g}: did you mean {self.amount:g}%, or "
                f"{self.amount / 100:g} of the original?"
            )

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in the quantity's own unit."""
        return self.amount * model.original(self.quantity) if self.amount <= 1 else self.amount

    def share(self, figure: float, original: float) -> float:
        """The share of the original that remains."""
        return figure / original


class Macs(Remaining):
    """Multiply-accumulates that remain: a share of the original, or a number above 1."""

    __slots__ = ()
    kind = quantity = "macs"


class Params(Remaining):
    """Parameters that remain: a share of the original, or a number above 1."""

    __slots__ = ()
    kind = quantity = "params"


@dataclass(frozen=True, slots=True)
class Ratio:
    """Channels to remove, as a share of all channels that may be removed.

    Attributes:
        amount: From 0, which removes nothing, to just below 1.
    """

    amount: float

    kind: ClassVar[str] = "ratio"
    quantity: ClassVar[str] = "channels"

    def __post_init__(self) -> None:
        """Refuse an amount that cannot be meant.

        Raises:
            UsageError: It is no share, or all channels.
        """
        object.__setattr__(self, "amount", _number(self.kind, self.amount))
        if not 0 <= self.amount < 1:
            raise UsageError(f"--ratio {self.amount:g}: a share lies between 0 and 100%")

    def asked(self, model: CostModel) -> float:
        """The number of channels that remain."""
        return (1 - self.amount) * model.original(self.quantity)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that is removed, not what remains."""
        return 1 - figure / original


@dataclass(frozen=True, slots=True)
class Aim:
    """A share of a price, on the way to a budget that is measured.

    Attributes:
        kind: Name of that budget, for messages.
        quantity: The price.
        remaining: Share of the original that remains.
    """

    kind: str
    quantity: str
    remaining: float

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in the quantity's own unit."""
        return self.remaining * model.original(self.quantity)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that remains."""
        return figure / original


BUDGETS: Choices[type[Macs] | type[Params] | type[Ratio]] = Choices(
    "budget", {"macs": Macs, "params": Params, "ratio": Ratio}
)


def _number(kind: str, amount: object) -> float:
    """An amount as a number; a text is read as ``parse_budget`` reads it."""
    if isinstance(amount, str):
        return parse_budget(kind, amount).amount
    if isinstance(amount, bool) or not isinstance(amount, SupportsFloat):
        raise UsageError(f"--{kind} {amount!r}: expected something like 50%, 0.5 or 20M")
    return float(amount)


def parse_budget(kind: str, text: str) -> Macs | Params | Ratio:
    """Read a budget as it stands on the command line.

    Args:
        kind: A row of :data:`BUDGETS`.
        text: "50%", "0.5", "20M", "1500000".

    Returns:
        The budget.

    Raises:
        UsageError: If the text is no amount, or one that cannot be meant.
    """
    try:
        amount, unit, _ = units.parse_amount(text)
    except ValueError:
        raise UsageError(f"--{kind} {text}: expected something like 50%, 0.5 or 20M") from None
    share = unit == "ratio" or kind == "ratio" or (unit is None and amount <= 1)
    if share and not (0 <= amount < 1 if kind == "ratio" else 0 < amount <= 1):
        raise UsageError(f"--{kind} {text}: a share lies between 0 and 100%")
    return BUDGETS[kind](amount)
