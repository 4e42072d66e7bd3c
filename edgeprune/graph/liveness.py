"""Which parameters take part in inference: those that the outputs' gradients lead back to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from edgeprune.errors import ModelUnsupported, failing_as

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from contextlib import AbstractContextManager


@torch.enable_grad()
def live_parameters(module: nn.Module, inputs: Sequence[Tensor]) -> set[str]:
    """Dotted names of the parameters that the network's outputs depend on.

    Args:
        module: The network; its parameters must require gradients. It is put into eval mode.
        inputs: One tensor for each positional input.

    Raises:
        ModelUnsupported: If the network fails.
    """
    with failing_as(ModelUnsupported, "cannot run the network"), nothing_saved():
        returned = pytree.tree_leaves(module.eval()(*inputs))
    leaves = _leaf_ids(value.grad_fn for value in returned if isinstance(value, Tensor))
    return {name for name, value in module.named_parameters() if id(value) in leaves}


def nothing_saved() -> AbstractContextManager[None]:
    """Keep no activation for a backward pass, which never comes: only the graph is read."""
    return torch.autograd.graph.saved_tensors_hooks(lambda tensor: None, lambda nothing: nothing)


def _leaf_ids(roots: Iterable[object]) -> set[int]:
    """Identities of the leaf tensors that the given gradient functions lead back to."""
    stack, seen, leaves = [root for root in roots if root is not None], set(), set()
    while stack:
        function = stack.pop()
        if function in seen:
            continue
        seen.add(function)
        if hasattr(function, "variable"):
            leaves.add(id(function.variable))
        stack.extend(parent for parent, _ in getattr(function, "next_functions", ()) if parent)
    return leaves
