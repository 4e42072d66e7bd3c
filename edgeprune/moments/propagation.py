"""What every layer reads, from BatchNorm statistics and weights alone: no image.

A network is taken at its word: a BatchNorm stores mean and variance of what it read in training,
so behind it every channel has mean β and standard deviation |γ|, exactly. How channels correlate
follows from the filters in front of it, from a prior for natural images up to there, operator by
operator; every channel behind a BatchNorm or a sum is taken as Gaussian. The rules are listed in
``operators``, the model of a map in ``spatial``, that of activations in ``gaussian``.

Where an operator has no rule its outputs are unknown; the next BatchNorm restores what it stores.
Zero padding, and that images differ from each other more than pixels do, are not modelled.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import chain
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.modules.conv import _ConvNd

from edgeprune.artifacts.recorded import TensorView
from edgeprune.graph.recording import operators_of
from edgeprune.graph.rerun import rerun
from edgeprune.graph.running import module_of
from edgeprune.moments.calls import Call
from edgeprune.moments.feature import FeatureMoments, Moments
from edgeprune.moments.rules import LAYER_INPUTS, rule_of
from edgeprune.natural_images import MEAN, STD, colour_correlation, normalisation

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping

    from edgeprune.artifacts import InputSpec, SourceModel
    from edgeprune.artifacts.recorded import OperatorTrace, Value

__all__ = ["Moments", "Propagation", "natural_images", "propagate"]

PIXEL_DECAY = 0.9  # τ of photographs


@dataclass(frozen=True, slots=True)
class Propagation:
    """What the layers of a network read.

    Attributes:
        reads: Moments of the channels that each convolution, linear and BatchNorm layer reads, by
            dotted name, on its first call. A convolution in front of a BatchNorm has the τ that
            fits its stored variances best; a linear layer behind a flatten has one entry for each
            channel that was flattened, not for each of its inputs.
        guessed: Layers that are not in ``reads``: an operator without a rule came before them,
            without a BatchNorm since, or the BatchNorm itself was the next. What such a BatchNorm
            makes is propagated with its own means and variances and without correlations.
    """

    reads: dict[str, Moments]
    guessed: tuple[str, ...]

    def of_layers(self, layers: Collection[str]) -> dict[str, Moments | None]:
        """What some layers read, those that are known in the order of execution.

        Args:
            layers: Dotted names.

        Returns:
            Moments by name; None where they are unknown or the layer never runs.
        """
        asked = dict.fromkeys(layers)
        known = {layer: moments for layer, moments in self.reads.items() if layer in asked}
        return known | {layer: None for layer in asked if layer not in known}


def propagate(source: SourceModel) -> Propagation:
    """Follow moments from the network's input to every layer.

    A traced network's are propagated once and kept as long as its record is.

    Args:
        source: The network; not changed.

    Returns:
        The moments that its layers read.
    """
    record = operators_of(source)
    if record not in _PROPAGATED:
        reads = dict(_reads_by_layer(source, record))
        _PROPAGATED[record] = Propagation(
            {layer: moments for layer, moments in reads.items() if moments},
            tuple(layer for layer, moments in reads.items() if moments is None),
        )
    return _PROPAGATED[record]


_PROPAGATED: WeakKeyDictionary[OperatorTrace, Propagation] = WeakKeyDictionary()


@torch.no_grad()
def _reads_by_layer(
    source: SourceModel, record: OperatorTrace
) -> Iterator[tuple[str, Moments | None]]:
    """Every layer that runs, on its first call, and the moments that it reads."""
    known = _known_at_first(source, record)
    stored = _stored_variances(record, known)
    last_read = {
        view.value: index for index, each in enumerate(record.operations) for view in each.reads
    }
    seen_of: dict[Value, set[TensorView]] = {}
    for view in known:
        seen_of.setdefault(view.value, set()).add(view)
    passed = set()
    for index, operation in enumerate(record.operations):
        made = [view.value for view in operation.writes if view.value in last_read]
        call = Call(operation, known, stored.get(made[0]) if made else None)
        if layer_input := LAYER_INPUTS.get(operation.name):
            call = replace(call, read=layer_input(call))
            if operation.layer not in passed and _is_layer(source.module, operation.layer):
                passed.add(operation.layer)
                yield operation.layer, call.read
        for view, result in _results(call).items() if made else ():
            known[view] = result
            seen_of.setdefault(view.value, set()).add(view)
        done = {view.value for view in operation.reads if last_read[view.value] == index}
        for view in (view for value in done for view in seen_of.pop(value, ())):
            del known[view]


def _known_at_first(
    source: SourceModel, record: OperatorTrace
) -> dict[TensorView, FeatureMoments | Tensor]:
    """Parameters and buffers by value, inputs by prior."""
    module = source.module
    tensors = dict(chain(module.named_parameters(), module.named_buffers()))
    known: dict[TensorView, FeatureMoments | Tensor] = {}
    for value, name in record.tensors.items():
        known[TensorView(value, tuple(tensors[name].shape))] = tensors[name].detach()
    device = next(module.parameters(), torch.empty(0)).device
    for value, shape in zip(record.inputs, source.input.shapes, strict=True):
        if len(shape) > 1:
            prior = natural_images(shape[1], source.input)
            on_device = Moments(prior.mean.to(device), prior.cov.to(device), prior.decay)
            known[TensorView(value, (1, *shape[1:]))] = FeatureMoments(on_device)
    return known


def natural_images(channels: int, spec: InputSpec) -> Moments:
    """Moments of natural images, in the units that the network takes.

    Args:
        channels: Colours; three correlate as red, green and blue do, others all alike.
        spec: Holds mean and std that images are normalised with; their averages count where
            there is not one for each channel.

    Returns:
        The prior.
    """
    mean, std = normalisation(spec, channels)
    colours = colour_correlation(channels) * STD**2
    pixels = Moments(MEAN - mean, colours, PIXEL_DECAY)
    return pixels.scaled(1 / std)


def _stored_variances(
    record: OperatorTrace, known: Mapping[TensorView, FeatureMoments | Tensor]
) -> dict[Value, Tensor]:
    """Running variance of the BatchNorm in eval mode that reads a value, by value."""
    stored = {}
    for operation in record.operations:
        if operation.name == "native_batch_norm" and not operation.arguments[5]:
            variance = known.get(operation.reads[-1])
            if isinstance(variance, Tensor):
                stored[operation.reads[0].value] = variance.double()
    return stored


def _is_layer(module: nn.Module, name: str) -> bool:
    """Whether the innermost module that runs is itself a layer, not a forward with bare weights."""
    return isinstance(module_of(module, name), LAYERS)


def _results(call: Call) -> dict[TensorView, FeatureMoments | Tensor]:
    """What is known of an operator's outputs."""
    operation, operands = call.operation, call.operands()
    if operands and all(isinstance(each, Tensor) for each in operands):
        return _constants(call)
    rule = rule_of(operation)
    made = rule(call) if rule else None
    features = made if isinstance(made, tuple) else (made,)
    return {
        seen: feature
        for seen, feature in zip(operation.writes, features, strict=False)  # indices of a max-pool
        if feature is not None
    }


def _constants(call: Call) -> dict[TensorView, FeatureMoments | Tensor]:
    """An operator on parameters alone, such as the transpose of a linear layer's weight."""
    values = {seen: call.known[seen] for seen in call.operation.reads}

    def value_of(seen: TensorView) -> Tensor:
        value = values[seen]
        assert isinstance(value, Tensor)
        return value

    result = rerun(call.operation, value_of)
    parts = [result] if isinstance(result, Tensor) else result or []
    return dict(zip(call.operation.writes, parts, strict=False))


LAYERS = (_ConvNd, nn.Linear, _BatchNorm)
