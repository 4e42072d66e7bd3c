"""What a run changes: the parameters that are trained, their running average, and the buffers."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


class Weights:
    """The weights of a module under training.

    Args:
        module: Trained in place.
        decay: Of the running average; 0: the average is the parameters themselves.

    Attributes:
        parameters: Those that require gradients, by dotted name, each once.
        average: Their running average, by the same names.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._module = module
        self._decay = decay
        self.average: dict[str, Tensor] = {
            name: parameter.detach().clone() if decay else parameter.detach()
            for name, parameter in self.parameters.items()
        }

    def follow(self, step: int) -> None:
        """Move the average towards the parameters, after the update of a step, 0 for the first.

        Early on the average forgets faster than by its decay, or it would be the initial weights
        for as long as 1/(1 − decay) steps: as in TensorFlow, by (1 + step)/(10 + step).
        """
        if not self._decay:
            return
        decay = min(self._decay, (1 + step) / (10 + step))
        for name, parameter in self.parameters.items():
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Have the average in the module's place for a while."""
        current = _copies(self.parameters) if self._decay else {}
        try:
            if self._decay:
                self.put(self.average)
            yield
        finally:
            self.put(current)

    def buffers(self) -> dict[str, Tensor]:
        """Copies of the module's buffers."""
        return _copies(dict(self._module.named_buffers()))

    def state(self) -> dict[str, Tensor]:
        """Copies of all that may change: parameters and buffers as they are."""
        return _copies(self.parameters) | self.buffers()

    def put(self, state: Mapping[str, Tensor]) -> None:
        """Write parameters and buffers, or some of them, into the module."""
        held = self.parameters | dict(self._module.named_buffers())
        with torch.no_grad():
            for name, value in state.items():
                held[name].copy_(value)

    def put_average(self, average: Mapping[str, Tensor]) -> None:
        """Go on from another average; there is none to put without a decay."""
        for name in self.average if self._decay else ():
            self.average[name].copy_(average[name])


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
