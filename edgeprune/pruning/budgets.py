"""Budgets: a share or a number of multiply-accumulates, parameters or channels.

--macs 50%   --macs 20M   --params 1.5M   --ratio 0.5
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from edgeprune import units
from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.pruning.pricing import CostModel


class Budget(Protocol):
    """Something to be reached by choosing widths.

    Attributes:
        kind: Name of the budget: its flag without the dashes.
        quantity: The price it is about; a key of :class:`~edgeprune.pruning.pricing.CostModel`.
    """

    kind: ClassVar[str]
    quantity: ClassVar[str]

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

    def asked(self, model: CostModel) -> float:
        """The number of channels that remain."""
        return (1 - self.amount) * model.original(self.quantity)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that is removed, not what remains."""
        return 1 - figure / original


BUDGETS: Choices[type[Macs] | type[Params] | type[Ratio]] = Choices(
    "budget", {"macs": Macs, "params": Params, "ratio": Ratio}
)


def parse_budget(kind: str, text: str) -> Budget:
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
