"""State of a module in training: trained parameters, their running average, and buffers."""

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
        module: Module that is trained in place.
        decay: Decay of the running average, 0 to less than 1; 0: the average is the parameters
            themselves.

    Attributes:
        parameters: Parameters that require gradients, by dotted name, each once.
        average: Running average of the parameters, by the same names.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.parameters = {n: p for n, p in module.named_parameters() if p.requires_grad}
        self._module = module
        self._decay = decay
        self.average: dict[str, Tensor] = {
            name: parameter.detach().clone() if decay else parameter.detach()
            for name, parameter in self.parameters.items()
        }

    def update_average(self, step: int) -> None:
        """Move the average towards the parameters, after the update of a step (from 0).

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
        """Put the average into the module while the block lasts."""
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
        """Copies of the trained parameters and the buffers."""
        return _copies(self.parameters) | self.buffers()

    def put(self, state: Mapping[str, Tensor]) -> None:
        """Write parameters and buffers, by name, into the module; the others stay."""
        targets = self.parameters | dict(self._module.named_buffers())
        with torch.no_grad():
            for name, value in state.items():
                targets[name].copy_(value)

    def put_average(self, average: Mapping[str, Tensor]) -> None:
        """Replace the average; without a decay nothing is done."""
        for name in self.average if self._decay else ():
            self.average[name].copy_(average[name])


def _copies(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in tensors.items()}
