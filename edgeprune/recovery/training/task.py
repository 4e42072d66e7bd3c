"""A pruned network that learns to give what the original gives, on images without labels.

What counts, and how much, is up to the loss (``supervise.py``, ``distill.py``); here is what all
methods that train share. Both networks normalise each batch by that batch's own statistics
(``bn_statistics.py`` says why), the batch being that of all processes; stored statistics are
transferred once training is done. Batches, flips and shifts follow from the step alone, so that a
run can be resumed, or shared.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional as F

from edgeprune.graph.layers import channel_axis
from edgeprune.graph.outputs import tensors_in
from edgeprune.training import generator, indices, normalise_by_batch
from edgeprune.training.layout import by_channel, inputs_on_device, on_device

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch import nn

    from edgeprune.recovery.block_ends import BlockEnd
    from edgeprune.training import Processes

SHIFT = 1 / 16
"""Images are moved by up to this share of their height and width."""


@dataclass(frozen=True, slots=True)
class NetworkOutputs:
    """What a network gives for some images.

    Attributes:
        features: Features at each block end, (N, K, …), of the channels that the pruned network
            still has.
        outputs: Outputs of the network, (N, …) each.
    """

    features: list[Tensor]
    outputs: list[Tensor]


Loss: TypeAlias = "Callable[[NetworkOutputs, NetworkOutputs], Tensor]"
"""The loss, (), from the outputs of the original and those of the pruned network."""


@dataclass(frozen=True, slots=True)
class ComparedLayers:
    """What teacher and student have in common.

    Attributes:
        norms: BatchNorms of both that normalise by the batch.
        ends: Block ends at which features are compared.
    """

    norms: Sequence[str]
    ends: Sequence[BlockEnd]


@dataclass(frozen=True, slots=True)
class ImagePool:
    """Images to train on and validation images.

    Attributes:
        inputs: Images to train on, one (N, …) for each input of the network.
        validation: Validation images, one (N, …) for each input of the network.
        batch: Number of images a step and process.
        seed: Random seed of the order of images, and of how they are flipped and shifted.
    """

    inputs: Sequence[Tensor]
    validation: Sequence[Tensor]
    batch: int
    seed: int


class DistillationTask:
    """The task that :func:`edgeprune.training.fit` trains.

    Args:
        teacher: The original; copied.
        student: The pruned network; trained in place.
        compared: Layers at which they are compared.
        loss_of: Loss on the outputs of both.
        pool: Images to train on and validation images.
        processes: Processes that train.
    """

    shared = True

    def __init__(
        self,
        teacher: nn.Module,
        student: nn.Module,
        compared: ComparedLayers,
        loss_of: Loss,
        pool: ImagePool,
        processes: Processes,
    ) -> None:
        self._trainable = {name for name, p in student.named_parameters() if p.requires_grad}
        self.module = on_device(student, processes.device).requires_grad_()
        original = on_device(copy.deepcopy(teacher), processes.device).requires_grad_(False)
        self._teacher = FeatureRecorder(original, compared.ends, only_kept=True)
        self._student = FeatureRecorder(self.module, compared.ends, only_kept=False)
        self._undo = [
            normalise_by_batch(network, compared.norms, processes)
            for network in (self.module, original)
        ]
        self._loss, self._pool, self._processes = loss_of, pool, processes

    def loss(self, module: nn.Module, step: int) -> Tensor:
        """The loss of a step, as :class:`edgeprune.training.Task` says."""
        pool = self._pool
        count = pool.batch * self._processes.count
        some = indices(len(pool.inputs[0]), count, step, pool.seed)
        # A new generator for each input: images of one sample are flipped and moved alike.
        shown = [varied(each[some], generator(pool.seed, step)) for each in pool.inputs]
        return self._compare(shown)

    def error(self) -> float:
        """The loss on the validation images."""
        validation, processes = self._pool.validation, self._processes
        count = len(validation[0]) // processes.count * processes.count
        return float(self._compare([each[:count] for each in validation]))

    def finish(self) -> nn.Module:
        """Remove the recorders and the normalisation by batch; the student, on the CPU."""
        for recorder in (self._teacher, self._student):
            recorder.remove()
        for undo in self._undo:
            undo.close()
        for name, parameter in self.module.named_parameters():
            parameter.requires_grad_(name in self._trainable)
        return by_channel(self.module)

    def _compare(self, images: Sequence[Tensor]) -> Tensor:
        places = self._processes.share(torch.arange(len(images[0])))
        own = [inputs_on_device(each[places], self._processes.device) for each in images]
        with torch.no_grad():
            wanted = self._teacher(own)
        return self._loss(wanted, self._student(own))


class FeatureRecorder:
    """Runs a network and records its features at block ends.

    Args:
        network: The network; it has hooks until :meth:`remove`.
        ends: Block ends at which features are recorded.
        only_kept: Whether to record only those channels that the pruned network has, too.
    """

    def __init__(self, network: nn.Module, ends: Sequence[BlockEnd], *, only_kept: bool) -> None:
        self._network = network
        self._recorded: dict[str, Tensor] = {}
        self._kept = {end.layer: end.kept if only_kept else None for end in ends}
        self._hooks = [
            network.get_submodule(layer).register_forward_hook(self._hook(layer))
            for layer in self._kept
        ]

    def __call__(self, inputs: Sequence[Tensor]) -> NetworkOutputs:
        """Run the network; its features and outputs."""
        outputs = tensors_in(self._network(*inputs))
        return NetworkOutputs(self.take(), outputs)

    def take(self) -> list[Tensor]:
        """Hand over the features of the last run, at each block end, and forget them."""
        return [self._recorded.pop(layer) for layer in self._kept]

    def remove(self) -> None:
        """Remove the hooks."""
        for hook in self._hooks:
            hook.remove()

    def _hook(self, layer: str) -> Callable[[nn.Module, tuple[Tensor, ...], Tensor], None]:
        kept = self._kept[layer]

        def record(module: nn.Module, _: tuple[Tensor, ...], output: Tensor) -> None:
            if kept is None:
                self._recorded[layer] = output
                return
            self._recorded[layer] = output.index_select(
                channel_axis(module), kept.to(output.device)
            )

        return record


def varied(images: Tensor, draw: torch.Generator) -> Tensor:
    """Images flipped at random, and all moved by as much; what is no image stays as it is.

    Args:
        images: Images, (N, C, H, W), or inputs of any other shape.
        draw: Generator on the CPU.

    Returns:
        The images, in the same shape.
    """
    if images.dim() != 4:
        return images
    flip = torch.rand(len(images), generator=draw) < 0.5
    images = torch.where(flip[:, None, None, None], images.flip(3), images)
    height, width = images.shape[2:]
    reach = [min(int(size * SHIFT), size - 1) for size in (height, width)]
    down, right = (int(torch.randint(2 * r + 1, (), generator=draw)) for r in reach)
    padded = F.pad(images, (reach[1], reach[1], reach[0], reach[0]), mode="reflect")
    return padded[:, :, down : down + height, right : right + width]
