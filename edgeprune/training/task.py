"""Module and loss of a training run, and how several processes train the same module."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.training.processes import Processes


class Task(Protocol):
    """Module and loss of a training run.

    Attributes:
        module: Module on the processes' device, of which the parameters that require gradients
            are trained in place. The task sets the modes of its layers. Its buffers are copied at
            each step: large data does not belong there.
        shared: Whether all processes train the same module, each on its slice of the batch; else
            each trains its own.
    """

    module: nn.Module
    shared: bool

    def loss(self, module: nn.Module, step: int) -> Tensor:
        """The mean loss of a step over this process's slice of the batch, ().

        The loss is a function of weights and step: batches and random numbers depend on the step
        (``batches.py``), and nothing is kept from one step to the next.

        Args:
            module: Module to call; its layers may be hooked, and not all of them need to take
                part.
            step: Number of the step, from 0.
        """
        ...

    def error(self) -> float | None:
        """Error of ``module`` on validation inputs, smaller is better; None: no validation.

        Each process may use its own part of the inputs: the mean over the processes counts.
        """
        ...


def loss_of_step(task: Task, processes: Processes) -> Callable[[int], Tensor]:
    """The task's loss of a step; its gradients are averaged over the processes if they share."""
    if processes.count == 1 or not task.shared:
        return lambda step: task.loss(task.module, step)
    loss = _Loss(task, processes.device)
    wrapped: Callable[[int], Tensor] = processes.fabric.strategy.setup_module(loss)
    return wrapped


class _Loss(nn.Module):
    """A task's loss as a module, for DistributedDataParallel to wrap.

    Wrapped around the network, it would wait for the gradient of every parameter that the
    network's *output* depends on, and a loss on intermediate features gives the last layers none.
    """

    def __init__(self, task: Task, device: torch.device) -> None:
        super().__init__()
        self.trained = task.module
        # Where every parameter takes part, PyTorch complains about ``find_unused_parameters``.
        self.without_part = nn.Parameter(torch.zeros(1, device=device))
        self._loss = task.loss

    def forward(self, step: int) -> Tensor:
        return self._loss(self.trained, step)
