"""Modules that share a parameter: what one loses, the other loses too."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def sharing(module: nn.Module) -> dict[str, str]:
    """Names of modules that own a parameter together with others.

    Args:
        module: The network.

    Returns:
        For each such module the name of the first other owner.
    """
    owners: dict[int, list[tuple[int, str]]] = {}
    for place, (name, layer) in enumerate(module.named_modules()):
        for parameter in layer.parameters(recurse=False):
            owners.setdefault(id(parameter), []).append((place, name))
    first: dict[str, tuple[int, str]] = {}
    for several in owners.values():
        for owner in several:
            others = [other for other in several[:2] if other != owner]
            if others:
                first[owner[1]] = min(first.get(owner[1], others[0]), others[0])
    return {name: other for name, (_, other) in first.items()}
