"""Which module's forward is running, and how a place in a network is named.

An operator belongs to the innermost module that runs; ``ROOT`` stands for the network itself.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from torch.nn.modules.module import register_module_forward_hook, register_module_forward_pre_hook

from edgeprune.artifacts.recorded import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn


@contextmanager
def running_layers(network: nn.Module) -> Iterator[list[str]]:
    """Keep the names of the modules whose forwards are running, the innermost last.

    Args:
        network: The network; a module that is not one of its own goes by the name of the one that
            calls it.

    Yields:
        The dotted names, ``ROOT`` first; they change while the network runs.
    """
    names = {id(each): name or ROOT for name, each in network.named_modules()}
    running = [ROOT]

    def enter(module: nn.Module, _: object) -> None:
        running.append(names.get(id(module), running[-1]))

    def leave(*_: object) -> None:
        running.pop()

    with (
        register_module_forward_pre_hook(enter),
        register_module_forward_hook(leave, always_call=True),
    ):
        yield running


def module_of(network: nn.Module, layer: str) -> nn.Module:
    """The module that a name stands for.

    Args:
        network: The network.
        layer: Dotted name of one of its modules, or ``ROOT``.
    """
    return network if layer == ROOT else network.get_submodule(layer)


def in_words(layer: str, root: str = "the network's forward") -> str:
    """A place as messages name it.

    Args:
        layer: Dotted name of a module, or ``ROOT``.
        root: Words for the network itself.
    """
    return root if layer == ROOT else f"'{layer}'"
