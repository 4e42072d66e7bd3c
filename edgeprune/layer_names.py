"""Names in a network must be plain: exporters write them into source code that is then run.

PyTorch generates Python code with the names of sub-modules, parameters and buffers in it. A model
file chooses these names. One that is no identifier and no number could end a string literal there,
and go on as code.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import ModelRefused
from edgeprune.printable import printable

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

SHOWN = 60
"""So many characters of a name are shown."""


def is_plain(name: object) -> bool:
    """Whether a name is an identifier, or a number as layers of a sequence have."""
    return isinstance(name, str) and (name.isidentifier() or (name.isascii() and name.isdigit()))


def require_plain(module: nn.Module, what: str) -> None:
    """Refuse a network with a name that could become code.

    Args:
        module: The network.
        what: What it is, to begin the message: "'gift.pt'".

    Raises:
        ModelRefused: Shows the name.
    """
    for part in module.modules():
        require_plain_names(vars(part), what)
        for names in (part._modules, part._parameters, part._buffers):
            require_plain_names(names, what)


def require_plain_names(names: Iterable[object], what: str) -> None:
    """Refuse a name, without dots, that could become code; raises ModelRefused."""
    for name in names:
        if not is_plain(name):
            shown = printable(str(name)[:SHOWN], keep="")
            raise ModelRefused(
                f"{what} has a layer or tensor named '{shown}': names must be identifiers or "
                "numbers, because exporters write them into code; rename it where the network is "
                "built"
            )
