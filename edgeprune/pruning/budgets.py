"""What a user asks for: a share or a number of multiply-accumulates, parameters or channels.

--macs 50%   --macs 20M   --params 1.5M   --ratio 0.5
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Protocol

from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.pruning.widths import CostModel, Floats

SUFFIXES = {"": 1.0, "K": 1e3, "M": 1e6, "G": 1e9}


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
        """As :class:`Budget` says."""
        return _absolute(self.amount, float(model.macs_at(model.full)))

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """As :class:`Budget` says."""
        return model.macs_at(widths)

    def share(self, figure: float, original: float) -> float:
        """As :class:`Budget` says."""
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
        """As :class:`Budget` says."""
        return _absolute(self.amount, float(model.params_at(model.full)))

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """As :class:`Budget` says."""
        return model.params_at(widths)

    def share(self, figure: float, original: float) -> float:
        """As :class:`Budget` says."""
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
        """As :class:`Budget` says."""
        return (1 - self.amount) * float(model.full.sum())

    def reached(self, model: CostModel, widths: Floats) -> Floats:
        """As :class:`Budget` says."""
        return model.channels_at(widths)

    def share(self, figure: float, original: float) -> float:
        """As :class:`Budget` says: what is removed, not what remains."""
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
    found = re.fullmatch(r"\s*(\d+(?:\.\d*)?|\.\d+)\s*([%KMG]?)\s*", text, re.IGNORECASE)
    if found is None:
        raise UsageError(f"--{kind} {text}: expected something like 50%, 0.5 or 20M")
    number, suffix = float(found[1]), found[2].upper()
    amount = number / 100 if suffix == "%" else number * SUFFIXES[suffix]
    share = suffix == "%" or kind == "ratio" or (suffix == "" and amount <= 1)
    if share and not (0 <= amount < 1 if kind == "ratio" else 0 < amount <= 1):
        raise UsageError(f"--{kind} {text}: a share lies between 0 and 100%")
    return BUDGETS[kind](amount)


def _absolute(amount: float, whole: float) -> float:
    return amount * whole if amount <= 1 else amount
