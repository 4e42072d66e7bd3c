"""Run the original and the pruned network side by side, layer by layer.

A layer of the pruned network is best mended while both networks are about to run it: the original's
output is the target, and the pruned network's input is all that the layer has to make it from. The
original runs in a thread of its own and waits at each layer until the pruned network has passed it,
so that no more than one layer's features of each are kept, however deep the networks are.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.outputs import tensors_in


@dataclass(frozen=True, slots=True)
class LayerPair:
    """A layer in both networks, just before the pruned one runs it.

    Attributes:
        layer: Dotted name of the layer.
        wanted: Output of the original's layer, all of its channels.
        original: Input of the original's layer, all of its channels.
        actual: Input of the pruned network's layer.
    """

    layer: str
    wanted: Tensor
    original: Tensor
    actual: Tensor


OnLayer: TypeAlias = Callable[[LayerPair], None]
"""Called at each layer; may change the pruned network's, which runs afterwards."""


@torch.no_grad()
def side_by_side(
    original: nn.Module,
    pruned: nn.Module,
    inputs: Sequence[Tensor],
    layers: Collection[str],
    on_layer: OnLayer,
) -> tuple[list[Tensor], list[Tensor]]:
    """Run both networks on the same inputs and pair each layer named, in order of execution.

    Args:
        original: The network before surgery; in whatever mode its layers are to run.
        pruned: The same network with channels removed; ``on_layer`` may change the weights of the
            layer it is called for, which runs afterwards.
        inputs: One tensor for each positional input, (N, …).
        layers: Dotted names of modules with one input tensor and one output tensor.
        on_layer: Called at each layer, as often as a layer is called.

    Returns:
        All output tensors of the original, and of the pruned network.

    Raises:
        ModelUnsupported: If the two do not call the same layers in the same order.
    """
    guide = _Guide(original, tuple(inputs))

    def meet(name: str, given: tuple[Tensor, ...]) -> None:
        with guide.waiting_at(name) as (read, wanted):
            on_layer(LayerPair(name, wanted, read, given[0]))

    with ExitStack() as stack:
        for name in layers:
            wait, arrive = guide.hook(name), _before(name, meet)
            stack.enter_context(original.get_submodule(name).register_forward_hook(wait))
            stack.enter_context(pruned.get_submodule(name).register_forward_pre_hook(arrive))
        stack.enter_context(guide)
        actual = tensors_in(pruned(*inputs))
        return guide.finished(), actual


def _before(
    name: str, meet: Callable[[str, tuple[Tensor, ...]], None]
) -> Callable[[nn.Module, tuple[Tensor, ...]], None]:
    """A forward pre-hook that waits at ``name``."""
    return lambda _, given: meet(name, given)


@dataclass(slots=True)
class _Guide:
    """The original in its thread: it runs ahead to the next layer and waits there."""

    module: nn.Module
    inputs: tuple[Tensor, ...]
    arrived: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    served: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    at: tuple[str, Tensor, Tensor] | None = None
    outputs: list[Tensor] | None = None
    failure: BaseException | None = None
    dismissed: bool = False
    thread: threading.Thread | None = None

    def __enter__(self) -> _Guide:
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.dismissed = True
        self.served.release()
        if self.thread is not None:
            self.thread.join()

    def hook(self, name: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        """A forward hook that waits at ``name`` until the pruned network has passed it."""

        def wait(_: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> None:
            self.at = (name, given[0], output)
            self.arrived.release()
            self.served.acquire()
            self.at = None
            if self.dismissed:
                raise _Dismissed

        return wait

    @contextmanager
    def waiting_at(self, name: str) -> Iterator[tuple[Tensor, Tensor]]:
        """The original's input and output at ``name``; the original resumes on exit."""
        self.arrived.acquire()
        if self.failure is not None:
            raise self.failure
        if self.at is None or self.at[0] != name:
            raise ModelUnsupported(
                f"the network calls '{name}' in another order once channels are removed; "
                "it can only be recovered in closed form"
            )
        yield self.at[1:]
        self.served.release()

    def finished(self) -> list[Tensor]:
        """All outputs, once the last layer is passed."""
        if self.thread is not None:
            self.arrived.acquire()
        if self.outputs is None:
            raise self.failure or ModelUnsupported(
                "the pruned network calls fewer layers than the original"
            )
        return self.outputs

    @torch.no_grad()
    def _run(self) -> None:
        try:
            self.outputs = tensors_in(self.module(*self.inputs))
        except _Dismissed:
            pass
        except BaseException as failure:  # raised again where the pruned network runs
            self.failure = failure
        finally:
            self.arrived.release()


class _Dismissed(BaseException):
    """The pruned network stopped early: nobody waits for the original any more."""
