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
    from edgeprune.pruning.widths import CostModel, Floats


class Budget(Protocol):
    """Something to be reached by choosing widths."""

    kind: ClassVar[str]

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in its own unit."""
        ...

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """The figure at ``widths`` (…, G), in the same unit."""
        ...

    def share(self, figure: float, original: float) -> float:
        """The figure as the user states it: a share of the original."""
        ...


@dataclass(frozen=True, slots=True)
class Macs:
    """Multiply-accumulates that remain.

    Attributes:
        amount: Up to 1 a share of the original, above it a number of multiply-accumulates.
    """

    amount: float
    kind: ClassVar[str] = "macs"

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in its own unit; see :class:`Budget`."""
        return _absolute(self.amount, float(model.macs_at(model.full)))

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """The figure at ``widths``, in the same unit; see :class:`Budget`."""
        return model.macs_at(widths)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that remains; see :class:`Budget`."""
        return figure / original


@dataclass(frozen=True, slots=True)
class Params:
    """Parameters that remain.

    Attributes:
        amount: Up to 1 a share of the original, above it a number of parameters.
    """

    amount: float
    kind: ClassVar[str] = "params"

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in its own unit; see :class:`Budget`."""
        return _absolute(self.amount, float(model.params_at(model.full)))

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """The figure at ``widths``, in the same unit; see :class:`Budget`."""
        return model.params_at(widths)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that remains; see :class:`Budget`."""
        return figure / original


@dataclass(frozen=True, slots=True)
class Ratio:
    """Channels to remove, as a share of all channels that may be removed.

    Attributes:
        amount: From 0, which removes nothing, to just below 1.
    """

    amount: float
    kind: ClassVar[str] = "ratio"

    def asked(self, model: CostModel) -> float:
        """The figure to reach, in its own unit; see :class:`Budget`."""
        return (1 - self.amount) * float(model.full.sum())

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """The figure at ``widths``, in the same unit; see :class:`Budget`."""
        return model.channels_at(widths)

    def share(self, figure: float, original: float) -> float:
        """The share of the original that is removed, not what remains; see :class:`Budget`."""
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


def _absolute(amount: float, whole: float) -> float:
    return amount * whole if amount <= 1 else amount
