"""The oracle: a pruned network must compute what the original computes with those channels masked.

The original is run with the removed channels absent from where they are made; what that does
further on, ``absent_channels.py`` says. Then every layer of the pruned network must give the masked
original's output, restricted to the channels it kept. Both run in double precision, so that a
correct surgery agrees to about 1e-14 and rounding cannot hide an error; each layer is measured
against its own scale, so that a network whose activations are tiny cannot pass for nothing.
"""

from __future__ import annotations

from contextlib import nullcontext
from math import isfinite
from typing import TYPE_CHECKING, TypeAlias, TypeVar

import torch
from torch import Tensor, nn

from edgeprune.artifacts import PruningPlan, SurgeryProof, TracedModel
from edgeprune.errors import ModelUnsupported, VerificationFailed, failing_as
from edgeprune.graph.computed_weights import with_computed_weight
from edgeprune.graph.failing_call import watching
from edgeprune.graph.layers import CHANNEL_LAYERS, channel_axis
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.outputs import tensors_in
from edgeprune.graph.running import running_layers
from edgeprune.pruning.absent_channels import ABSENT, AbsentChannels
from edgeprune.pruning.double_precision import DoublePrecision
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

OUTPUT = "the network's output"
DOES_NOT_RUN = "the pruned network does not run"
COMPARED = (*CHANNEL_LAYERS, nn.PReLU)
"""Layers whose output is compared: those that own channels."""

RECORDED_BATCH = 2
"""Inputs at a time for a network whose sizes were recorded: some of them follow the batch."""

Result = TypeVar("Result")
Outputs: TypeAlias = dict[str, list[Tensor]]
"""What each layer gave, call by call."""


def compare_with_masked(
    traced: TracedModel, plan: PruningPlan, pruned: nn.Module, *, tolerance: float
) -> SurgeryProof:
    """Compare ``pruned`` with the original under the masks of ``plan``, layer by layer.

    Args:
        traced: The original with its groups.
        plan: What was removed.
        pruned: The result of surgery; not changed.
        tolerance: Largest relative difference allowed.

    Returns:
        The proof, with the largest difference found.

    Raises:
        VerificationFailed: Names the layer that differs most, or whose shape is wrong.
    """
    batch = 1 if traced.written is None else RECORDED_BATCH
    inputs = random_inputs(traced.source.input, batch=batch)
    dtype, (expected, exempt) = in_double_if_it_can(
        lambda dtype: _masked_original(traced, plan, inputs, dtype),
        "cannot run the network with masked channels",
    )
    small = light_copy(pruned)
    with watching(small, VerificationFailed, DOES_NOT_RUN):
        actual = outputs_by_layer(small, inputs, dtype)
    worst, difference = most_different(expected, actual)
    if not difference <= tolerance:
        raise VerificationFailed(
            f"'{worst}' differs from the masked original by {difference:.1e} of its scale "
            f"({tolerance:.0e} is allowed)"
        )
    precision = str(dtype).removeprefix("torch.")
    return SurgeryProof(difference, tolerance, len(expected), exempt, precision)


def in_double_if_it_can(
    run: Callable[[torch.dtype], Result], complaint: str
) -> tuple[torch.dtype, Result]:
    """Run a network in double precision, or in single where its forward insists on that.

    Args:
        run: Runs it in a precision.
        complaint: What could not be done, to begin the message where neither works.

    Returns:
        The precision, and what ``run`` gave.

    Raises:
        ModelUnsupported: It runs in neither.
    """
    try:
        with failing_as(ModelUnsupported):
            return torch.float64, run(torch.float64)
    except ModelUnsupported:  # in whatever words it insists
        with failing_as(ModelUnsupported, complaint):
            return torch.float32, run(torch.float32)


def most_different(expected: Outputs, actual: Outputs) -> tuple[str, float]:
    """The layer whose outputs differ most, and by how much relative to their scale."""
    differences = {
        layer: _largest_difference(outputs, actual.get(layer, []))
        for layer, outputs in expected.items()
    }
    worst = max(differences, key=lambda layer: differences[layer])
    return worst, differences[worst]


def _masked_original(
    traced: TracedModel, plan: PruningPlan, inputs: tuple[Tensor, ...], dtype: torch.dtype
) -> tuple[Outputs, tuple[str, ...]]:
    """Outputs of the original under the masks of ``plan``, and where fewer channels count."""
    lost = traced.removed(plan)
    original = light_copy(traced.source.module)
    modules = dict(original.named_modules())
    makers = {
        member.layer for group in traced.groups for member in group.having("producer", "depthwise")
    }
    for layer in makers & modules.keys():
        if gone := lost.get((layer, "out")):
            modules[layer].register_forward_hook(_absent(gone))
    for layer in with_computed_weight(traced.record) & modules.keys():
        _hide_inputs(modules[layer], lost.get((layer, "in"), ()))
    with running_layers(original) as running, AbsentChannels(running) as absent:
        outputs = outputs_by_layer(original, inputs, dtype, _present)
    return outputs, tuple(absent.over_fewer)


def _everything(output: Tensor) -> Tensor:
    return output.flatten().clone()


def _present(output: Tensor) -> Tensor:
    return output[~output.isnan()]


@torch.no_grad()
def outputs_by_layer(
    module: nn.Module,
    inputs: tuple[Tensor, ...],
    dtype: torch.dtype,
    recorded: Callable[[Tensor], Tensor] = _everything,
) -> Outputs:
    """Every compared layer's outputs, call by call, and the network's own.

    Args:
        module: A copy of a network, which gets hooks.
        inputs: What it is run on.
        dtype: Precision to run in.
        recorded: What is kept of a layer's output: all that is there, in order; a new tensor.
    """
    seen: Outputs = {}

    def recorder(name: str) -> Callable[..., None]:
        def record(_: nn.Module, __: object, output: Tensor) -> None:
            seen.setdefault(name, []).append(recorded(output))

        return record

    for name, layer in module.named_modules():
        if isinstance(layer, COMPARED):
            layer.register_forward_hook(recorder(name))
    with DoublePrecision() if dtype == torch.float64 else nullcontext():
        returned = module.eval()(*(v.to(dtype) if v.is_floating_point() else v for v in inputs))
    seen[OUTPUT] = tensors_in(returned)
    return seen


def _absent(channels: Collection[int]) -> Callable[..., Tensor]:
    """A hook that makes the given output channels of a layer absent."""

    def hide(layer: nn.Module, _: object, output: Tensor) -> Tensor:
        gone = torch.tensor(sorted(channels), device=output.device)
        return output.index_fill(channel_axis(layer), gone, ABSENT)

    return hide


def _hide_inputs(conv: nn.Module, channels: Collection[int]) -> None:
    """Make the weights of input channels absent, where a convolution computes with its weight."""
    weight = conv._parameters.get("weight")
    if weight is not None and channels:
        gone = torch.tensor([i for i in channels if i < weight.shape[1]], device=weight.device)
        conv.weight = nn.Parameter(weight.detach().index_fill(1, gone, ABSENT))


def _largest_difference(expected: list[Tensor], actual: list[Tensor]) -> float:
    """Largest relative difference over all calls of a layer."""
    if len(expected) != len(actual):
        return float("inf")
    return max(_relative_difference(e, a) for e, a in zip(expected, actual, strict=True))


def _relative_difference(expected: Tensor, actual: Tensor) -> float:
    """Largest difference relative to the largest magnitude expected; 0 for two silent layers.

    What is not finite is infinitely far: a NaN compares as neither larger nor smaller.
    """
    if expected.shape != actual.shape:
        return float("inf")
    expected, actual = expected.detach().double(), actual.detach().double()  # masks as numbers
    scale = float(expected.abs().max()) if expected.numel() else 0.0
    difference = float((expected - actual).abs().max()) if expected.numel() else 0.0
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return difference / scale if isfinite(difference) and isfinite(scale) else float("inf")
