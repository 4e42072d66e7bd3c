"""Original and pruned network over the same images, block by block, with cached features.

What goes on behind a block is kept for all images, in both networks, and nothing else: a block is
trained without the ones before it being run again, and without a gradient leaving it.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.errors import ModelUnsupported
from edgeprune.graph.batch_norms import shared_norms
from edgeprune.graph.program_recording import recorded
from edgeprune.program.form import LayerCall
from edgeprune.random_inputs import random_inputs
from edgeprune.recovery.blockwise.block_task import Chunk
from edgeprune.recovery.blockwise.blocks import blocks_of
from edgeprune.recovery.blockwise.kept_values import kept_values
from edgeprune.training import normalise_by_batch
from edgeprune.training.layout import by_channel, inputs_on_device, on_device

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import InputSpec, PrunedModel, TracedModel
    from edgeprune.program.network import RecordedNetwork
    from edgeprune.recovery.blockwise.blocks import Block

BATCH = 2
"""Images on which shapes are read off."""


class PairedBlocks:
    """Teacher and student, recorded; BatchNorms normalise each chunk by its own statistics.

    Args:
        traced: The original with its groups; copied.
        pruned: The network being recovered; copied.
        convolutions: Dense convolutions that a block has at least.
        device: Device to run on.

    Attributes:
        student: The copy of the pruned network, recorded.
        blocks: The blocks of both.
        kept: Channels that stay, of values that lose some, by number.

    Raises:
        ModelUnsupported: A network cannot be recorded, or they do not run the same steps.
    """

    def __init__(
        self, traced: TracedModel, pruned: PrunedModel, convolutions: int, device: torch.device
    ) -> None:
        spec = traced.source.input
        self._device = device
        self._copied = on_device(copy.deepcopy(pruned.module).eval(), device)
        teacher = on_device(copy.deepcopy(traced.source.module).eval(), device)
        self.student, self._teacher = recorded(self._copied, spec), recorded(teacher, spec)
        if _steps(self.student) != _steps(self._teacher):
            raise ModelUnsupported("the pruned network does not run the original's steps")
        norms = shared_norms(traced.record, teacher, self._copied)
        for network in (self.student, self._teacher):
            network.requires_grad_(False)
            normalise_by_batch(network, norms)
        original, left = (
            _forms_of_values(each, spec, device) for each in (self._teacher, self.student)
        )
        shapes = {value: tuple(each.shape) for value, each in original.items()}
        self.kept = kept_values(traced, pruned.plan, self._teacher, shapes)
        self._compared = {
            value
            for value, each in original.items()
            if value in left
            and each.is_floating_point()
            and self._staying(value, each).shape == left[value].shape
        }
        sizes = {value: prod(shapes[value]) for value in self._compared}
        self.blocks = blocks_of(self._teacher, sizes, convolutions)
        self._chunks: list[_Cached] = []

    def show(self, chunks: Sequence[Sequence[Tensor]]) -> None:
        """Take images, in chunks that stay together; both networks are before their first block.

        Args:
            chunks: For each chunk the network's inputs, (N, …) each.
        """
        shown = (tuple(inputs_on_device(each, self._device) for each in chunk) for chunk in chunks)
        self._chunks = [
            _Cached(inputs, dict(enumerate(inputs)), dict(enumerate(inputs))) for inputs in shown
        ]

    @torch.no_grad()
    def lead(self, block: Block) -> list[Chunk]:
        """Let the teacher pass a block.

        Returns:
            What the student reads there and should give, by chunk. What cannot be compared is left
            out: no floating-point tensor, or one of which it is not known which channels are left.
        """
        found = []
        for cached in self._chunks:
            given = {value: cached.student[value] for value in block.reads}
            cached.teacher = self._teacher.run_part(block.steps, cached.teacher, cached.inputs)
            wanted = {
                value: self._staying(value, cached.teacher[value])
                for value in block.gives
                if value in self._compared
            }
            found.append(Chunk(cached.inputs, given, wanted))
        return found

    @torch.no_grad()
    def follow(self, block: Block) -> None:
        """Let the student pass a block, as it now is."""
        for cached in self._chunks:
            cached.student = self.student.run_part(block.steps, cached.student, cached.inputs)

    def finish(self) -> nn.Module:
        """The student, on the CPU."""
        return by_channel(self._copied)

    def _staying(self, value: int, features: Tensor) -> Tensor:
        kept = self.kept.get(value)
        return features if kept is None else kept.of(features)


@dataclass(slots=True)
class _Cached:
    """What goes on between two blocks, for one chunk.

    Attributes:
        inputs: Inputs of the network.
        teacher: The teacher's values, by number.
        student: The student's.
    """

    inputs: tuple[Tensor, ...]
    teacher: dict[int, Tensor]
    student: dict[int, Tensor]


def _steps(network: RecordedNetwork) -> list[tuple[str, tuple[int, ...]]]:
    """What each step runs and which values it makes, whatever their sizes."""
    return [
        (step.layer if isinstance(step, LayerCall) else step.name, step.makes)
        for step in network.program.steps
    ]


@torch.no_grad()
def _forms_of_values(
    network: RecordedNetwork, spec: InputSpec, device: torch.device
) -> dict[int, Tensor]:
    """Every value as a tensor of its shape and type, without memory."""
    inputs = [each.to(device) for each in random_inputs(spec, batch=BATCH)]
    values = dict(enumerate(inputs))
    seen = {value: each.to("meta") for value, each in values.items()}
    for place, step in enumerate(network.program.steps):
        values = network.run_part(slice(place, place + 1), values, inputs)
        seen |= {value: values[value].to("meta") for value in step.makes if value in values}
    return seen
