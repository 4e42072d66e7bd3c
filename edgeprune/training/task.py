"""What is trained, by which loss; and how several processes train the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.training.processes import Processes


class Task(Protocol):
    """What is trained, by which loss.

    Attributes:
        module: Its parameters that require gradients are trained, in place; it lies on the
            processes' device. The modes of its layers are the task's affair. Its buffers are
            copied at each step: large data does not belong there.
        shared: Whether all processes train the same module, each on its slice of the batch; else
            each trains its own.
    """

    module: nn.Module
    shared: bool

    def loss(self, module: nn.Module, step: int) -> Tensor:
        """The mean loss of a step over this process's slice of the batch, ().

        The same for the same weights and step: batches and draws are taken by the step
        (``batches.py``), and nothing is kept from one to the next.

        Args:
            module: What to call; its layers may be hooked, and not all of them need to take part.
            step: 0 for the first.
        """
        ...

    def error(self) -> float | None:
        """Error of ``module`` on held-out inputs, smaller is better; None: nothing to judge by.

        Each process may judge by its own part: the mean over the processes counts.
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
        # Where every parameter takes part, PyTorch complains that it was told to look for others.
        self.without_part = nn.Parameter(torch.zeros(1, device=device))
        self._loss = task.loss

    def forward(self, step: int) -> Tensor:
        return self._loss(self.trained, step)
