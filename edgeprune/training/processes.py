"""The processes that train together: one, or those that ``torchrun`` started.

Lightning Fabric joins them (gloo on CPUs, NCCL on GPUs, one a process) and chooses the precision:
bfloat16 where a GPU computes it, float32 on CPUs.

Every process computes the loss of its own slice of the batch. What is minimised is the *mean* J of
these losses L_1 … L_N, and gradients are averaged over the processes, so a gradient that one
process holds before that is one of N·J = Σ L_r. :meth:`Processes.mean_of` follows this rule.
"""

from __future__ import annotations

import inspect
import logging
import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, distributed, nn

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lightning_fabric import Fabric


@dataclass(frozen=True, slots=True)
class Processes:
    """The processes that train together, as one of them sees them.

    Attributes:
        rank: Number of this process, 0 to ``count`` - 1; 0 writes files and reports progress.
        count: Number of processes.
        device: Device of this process, for modules and inputs.
        fabric: Lightning Fabric that connects them.
    """

    rank: int
    count: int
    device: torch.device
    fabric: Fabric

    def __deepcopy__(self, memo: dict[int, Any]) -> Processes:
        """Itself: a copied module still belongs to the same processes."""
        return self

    def share(self, indices: Tensor) -> Tensor:
        """The slice of a global batch that is this process's.

        Args:
            indices: Indices of the global batch, (N·B,), the same in all processes.

        Returns:
            Indices of this process, (B,); all slices together, by rank, are ``indices``.

        Raises:
            ValueError: If the batch cannot be shared evenly: the mean of the processes' mean
                losses would not be that of the batch.
        """
        if len(indices) % self.count:
            raise ValueError(f"{self.count} processes cannot share {len(indices)} inputs evenly")
        return indices.chunk(self.count)[self.rank] if len(indices) else indices

    def agreed(self, value: float) -> float:
        """The value of rank 0, in all processes: decisions by it are the same everywhere."""
        if self.count == 1:
            return value
        shared = torch.tensor(value, dtype=torch.float64, device=self.device)
        distributed.broadcast(shared, src=0)
        return float(shared)

    def mean_of(self, tensor: Tensor) -> Tensor:
        """The mean over all processes, differentiable.

        Backwards, too, gradients are averaged over the processes: y = (1/N) Σ x_r gives
        ∂(Σ L_s)/∂x_r = (1/N) Σ_s ∂L_s/∂y, which is what averaging the parameters' gradients over
        the processes then makes into the gradient of the mean loss.

        Args:
            tensor: Floating-point, on ``device``, of the same shape in all processes; all must
                call this, and run its backward pass, in the same order.

        Returns:
            Mean, of the shape of ``tensor``.
        """
        if self.count == 1:
            return tensor
        mean: Tensor = _Mean.apply(tensor, self.count)
        return mean

    def barrier(self) -> None:
        """Wait until all processes have called this."""
        self.fabric.barrier()


def join() -> Processes:
    """Join the processes that ``torchrun`` started; without it, be the only one.

    May be called again at any time. The random generators are not touched.

    Raises:
        UsageError: If there are GPUs, but fewer than processes.
    """
    local, world = 1, 1
    if distributed.is_available() and distributed.is_torchelastic_launched():
        local, world = int(os.environ["LOCAL_WORLD_SIZE"]), int(os.environ["WORLD_SIZE"])
    accelerator = "cuda" if torch.cuda.is_available() else "cpu"
    if accelerator == "cuda" and torch.cuda.device_count() < local:
        raise UsageError(
            f"--nproc-per-node {local}: there are {torch.cuda.device_count()} GPUs, and each "
            "process needs its own; start fewer, or set CUDA_VISIBLE_DEVICES= to train on CPUs"
        )
    fabric = _fabric(accelerator, local, world)
    return Processes(fabric.global_rank, fabric.world_size, fabric.device, fabric)


def leave() -> None:
    """Leave the process group, if there is one; call it at the end of the program."""
    if distributed.is_available() and distributed.is_initialized():
        distributed.destroy_process_group()


def _fabric(accelerator: str, local: int, world: int) -> Fabric:
    """Fabric for ``local`` of ``world`` processes, launched, on one kind of device."""
    # Seconds to import, and only training needs it.
    from lightning_fabric import Fabric
    from lightning_fabric.plugins.environments.lightning import LightningEnvironment
    from lightning_fabric.strategies.ddp import DDPStrategy

    settings: dict[str, Any] = {"accelerator": accelerator, "precision": _precision(accelerator)}
    with _silent():
        if world == 1:
            # Named, since otherwise Fabric looks for a cluster and warns about the one it finds.
            return Fabric(devices=1, plugins=LightningEnvironment(), **settings)
        # Parameters may go without a gradient, and buffers are the task's own affair.
        averaging: dict[str, Any] = {"find_unused_parameters": True, _buffers_in_forward(): False}
        together = DDPStrategy(**averaging)
        settings |= {"devices": local, "num_nodes": world // local, "strategy": together}
        fabric = Fabric(**settings)
        fabric.launch()
    return fabric


def _precision(accelerator: str) -> str:
    """Fabric's precision; older GPUs have bfloat16 only by emulation, slower than float32."""
    if accelerator == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False):
        return "bf16-mixed"
    return "32-true"


def _buffers_in_forward() -> str:
    """DistributedDataParallel's argument for sending buffers; renamed in PyTorch 2.15."""
    known = inspect.signature(nn.parallel.DistributedDataParallel).parameters
    return "forward_sync_buffers" if "forward_sync_buffers" in known else "broadcast_buffers"


@contextmanager
def _silent() -> Iterator[None]:
    """Silence the messages of Fabric."""
    logger = logging.getLogger("lightning_fabric")
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


class _Mean(torch.autograd.Function):
    """Mean over the processes, forwards and backwards."""

    @staticmethod
    def forward(ctx: Any, tensor: Tensor, count: int) -> Tensor:
        ctx.count = count
        return _mean(tensor, count)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return _mean(gradients[0], ctx.count), None


def _mean(tensor: Tensor, count: int) -> Tensor:
    total = tensor.clone(memory_format=torch.contiguous_format)
    distributed.all_reduce(total)
    return total / count
