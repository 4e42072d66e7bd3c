"""Networks saved with a part that ``torch.compile`` had wrapped: the wrapper stays in the file.

The pickle names the compiler's own objects around the part. What they would do is not wanted, as
the part itself is stored too: each is replaced by an object that holds nothing and does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import nn

from edgeprune.loading.refused_names import dangerous

if TYPE_CHECKING:
    from collections.abc import Callable

WRAPPER = "torch._dynamo.eval_frame.OptimizedModule"
OF_THE_COMPILER = ("torch._dynamo.", "torch._inductor.", "torch._functorch.")
BESIDES = ("torch._TorchCompileInductorWrapper", "contextlib.nullcontext")
"""What the compiler's objects are made with."""


class CompiledPart(nn.Module):
    """Stands for the wrapper where it was pickled by its state: keeps the part as ``_orig_mod``."""

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Keep nothing but the part."""
        nn.Module.__init__(self)
        self._orig_mod = state["_modules"]["_orig_mod"]


class Nothing:
    """Stands for an object that is not wanted."""


def stand_in(name: str) -> Callable[..., object] | None:
    """What to do where a file calls the compiler; None for all other names.

    Args:
        name: Dotted name in the file.
    """
    if name == WRAPPER:
        return _part
    if name == "builtins.getattr":
        return _attribute
    of_the_compiler = name.startswith(OF_THE_COMPILER) or name in BESIDES
    return nothing if of_the_compiler else None


def nothing(*_: object) -> Nothing:
    """The result of any call that is not wanted."""
    return Nothing()


def _part(part: object = None, *_: object) -> nn.Module:
    return part if isinstance(part, nn.Module) else CompiledPart()


def _attribute(of: object = None, *_: object) -> Nothing:
    if isinstance(of, Nothing):
        return of
    raise dangerous("builtins.getattr")
