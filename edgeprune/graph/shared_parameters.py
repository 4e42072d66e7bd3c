"""Modules that share a parameter: what one loses, the other loses too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def sharing(module: nn.Module) -> dict[nn.Module, str]:
    """Modules that own a parameter together with others.

    Args:
        module: The network.

    Returns:
        For each such module the name of the first other owner.
    """
    owners: dict[int, list[tuple[int, str, nn.Module]]] = {}
    for place, (name, layer) in enumerate(module.named_modules()):
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((place, name, layer))
    first: dict[nn.Module, tuple[int, str]] = {}
    for several in owners.values():
        for _, _, layer in several:
            others = [(place, name) for place, name, other in several[:2] if other is not layer]
            if others:
                first[layer] = min(first.get(layer, others[0]), others[0])
    return {layer: name for layer, (_, name) in first.items()}
