"""Call a network the way its exported file is called: in eval mode, outputs flat and named."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from torch import Tensor, nn


@contextmanager
def in_eval_mode(module: nn.Module) -> Iterator[None]:
    """Put the module into eval mode, and every part of it back into its own mode afterwards."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def without_logging() -> Iterator[None]:
    """Drop all log messages of the block."""
    silenced_below = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(silenced_below)


def input_names(count: int, own: Sequence[str] = ()) -> list[str]:
    """Names of inputs: their own, ``input``, or ``input_0``, ``input_1``, … for several."""
    if own:
        return list(own)
    return ["input"] if count == 1 else [f"input_{position}" for position in range(count)]


def named_outputs(result: object, taken: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The tensors in the result of a network, by the names they have in the exported file.

    A single tensor is ``output``; a member of a mapping, a named tuple or a dataclass has the name
    of its key, a member of a sequence that of its position: ``output_0``. Nested names are joined
    by underscores. Members that are no tensors are left out.

    Args:
        result: Return value of ``forward``.
        taken: Names of the inputs, which no output may have.

    Returns:
        The tensors by name, in order of appearance.
    """
    named: dict[str, Tensor] = {}
    for parts, tensor in _leaves(result, ()):
        words = parts if parts and not parts[0].isdigit() else ("output", *parts)
        name = "_".join(words)
        while name in named or name in taken:
            name += "_"
        named[name] = tensor
    return named


def _leaves(tree: object, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Tensor]]:
    if isinstance(tree, Tensor):
        yield path, tree
        return
    for key, branch in _branches(tree):
        yield from _leaves(branch, (*path, key))


def _branches(tree: object) -> list[tuple[str, object]]:
    if isinstance(tree, Mapping):
        return [(str(key), value) for key, value in tree.items()]
    if isinstance(tree, tuple | list):
        names = getattr(tree, "_fields", map(str, range(len(tree))))
        return list(zip(names, tree, strict=True))
    if dataclasses.is_dataclass(tree) and not isinstance(tree, type):
        return [(field.name, getattr(tree, field.name)) for field in dataclasses.fields(tree)]
    return []


class Flat(nn.Module):
    """The network with its tensors returned as one tuple, in the order of ``named_outputs``."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self.training = False

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """The network's output tensors."""
        return tuple(named_outputs(self.network(*inputs)).values())
