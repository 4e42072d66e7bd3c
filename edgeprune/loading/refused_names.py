"""What a file asked for and does not get, in words: which names, and what would help.

A refusal names all packages that are missing at once, by their root: whoever allows a package
module by module has to try again for each. A name that can run any code ends it at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from edgeprune.errors import ModelRefused
from edgeprune.loading.quantized_layers import ADVICE, is_of_quantization

if TYPE_CHECKING:
    from edgeprune.blueprint import Allowed

DANGEROUS = ("builtins", "os", "posix", "nt", "sys", "subprocess", "shutil", "socket", "runpy")

KNOWN = ("torch", "torchvision", "collections", "_codecs", "numpy", "pathlib")
"""Packages that are no user's: their networks are allowed, and nothing else of them."""

SHOWN = 4  # modules in an error


def dangerous(name: str) -> ModelRefused:
    """The refusal of a name that can run any code."""
    return ModelRefused(
        f"it asks for {name} when loaded, which can run any code: do not load it unless you trust "
        "it (--trust)"
    )


class RefusedNames:
    """Collects the names that a file is not given.

    Args:
        allowed: What the user allowed.
    """

    def __init__(self, allowed: Allowed) -> None:
        self._allowed = allowed
        self._names: list[tuple[str, str]] = []

    def add(self, module: str, name: str, refusal: ModelRefused) -> None:
        """Take note of one.

        Args:
            module: Module that the file asks for.
            name: Name in it.
            refusal: Why it was not given, which counts where the name as such is allowed.

        Raises:
            ModelRefused: It can run any code, is no such class, or allowing it would not help.
        """
        asks = f"it asks for {module}.{name} when loaded"
        root = module.partition(".")[0]
        if root in DANGEROUS:
            raise dangerous(f"{module}.{name}")
        if is_of_quantization(module):
            raise ModelRefused(
                "it holds a network that is quantized or prepared for quantization-aware training, "
                f"QAT ({module}.{name}): {ADVICE}"
            )
        if self._allowed.permits(module, name):
            raise refusal
        if root in KNOWN:
            raise ModelRefused(
                f"{asks}, which is no layer: save the network's state_dict() instead and pass "
                "--arch, or pass --trust if you trust the file"
            )
        self._names.append((module, name))

    def require_none(self) -> None:
        """Refuse the file if a name was missing.

        Raises:
            ModelRefused: Says what to allow, all packages at once.
        """
        if not self._names:
            return
        module, name = self._names[0]
        asks = f"it asks for {module}.{name} when loaded, which is not allowed"
        if module == "__main__":
            way_out = f"--allow path/to/script.py, the script that defines {name}"
        else:
            way_out = f"{self._flags()}, if that is your network's own code"
        raise ModelRefused(f"{asks}: pass {way_out}, or --trust if you trust the file")

    def _flags(self) -> str:
        modules = dict.fromkeys(module for module, _ in self._names if module != "__main__")
        roots = dict.fromkeys(module.partition(".")[0] for module in modules)
        more = f" and {len(modules) - SHOWN} more" if len(modules) > SHOWN else ""
        listed = ", ".join(list(modules)[:SHOWN]) + more
        return " ".join(f"--allow {root}" for root in roots) + f" (modules {listed})"
