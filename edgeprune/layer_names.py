"""Names in a network must be plain: exporters write them into source code that is then run.

PyTorch generates Python code with the names of sub-modules, parameters and buffers in it. A model
file chooses these names. One with a quote or a line break in it could end a string literal there,
and go on as code; one of letters, digits, underscores and hyphens ("block1-0", as torchvision's
RegNet has them) cannot.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import ModelRefused
from edgeprune.printable import printable
from edgeprune.sound_modules import require_sound

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch import nn

SHOWN = 60
"""So many characters of a name are shown."""


def is_plain(name: object) -> bool:
    """Whether a name has letters, digits, underscores and hyphens alone: "conv1", "3x3", "1-0"."""
    if not isinstance(name, str) or name == "":
        return False
    return f"_{name.replace('-', '_')}".isidentifier()


def require_plain(module: nn.Module, what: str) -> None:
    """Refuse a network with a name that could become code, or one of no sound form.

    Args:
        module: The network.
        what: What it is, to begin the message: "'gift.pt'".

    Raises:
        ModelRefused: Shows the name, or says what stands where it must not.
        ModelUnsupported: A tensor is none that a layer can compute with.
    """
    require_sound(module, what)
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
                f"{what} has a layer or tensor named '{shown}': names must consist of "
                "letters, digits, underscores and hyphens, because exporters write them into code; "
                "rename it where the network is built"
            )
