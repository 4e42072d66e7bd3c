"""What a layer reads, as if its channels were made by one set of filters.

Between the layers that make a group's channels and a layer that reads them lie BatchNorm,
depthwise filters, sums and gains. With activation functions left out, channel i is then

    n_i = ũ_i ⋆ x + c_i

for a composed filter ũ_i and a constant c_i. The closed forms need only inner products of these
filters, and those compose without ever forming a filter: BatchNorm scales them (g_i g_j), a sum
adds them, a depthwise filter multiplies them entry by entry: exact behind a 1×1 convolution, where
depthwise filters stand; behind a wider one overlapping taps count as distinct.

With g_i = γ_i/σ_i, σ_i = √(var_i + ε), the folded filter of a convolution and its BatchNorm is
g_i u_i and its constant β_i + g_i (bias_i − μ_i).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.artifacts import (
    BatchNormed,
    ChannelGroup,
    Depthwise,
    Filters,
    LinearPath,
    Role,
    Sum,
)
from edgeprune.graph.layers import filter_rows, group_count, own_indices

if TYPE_CHECKING:
    from edgeprune.moments.propagation import Moments


@dataclass(frozen=True, slots=True)
class Unfolded:
    """A convolution and the one BatchNorm behind it, taken apart. All tensors are float64.

    Attributes:
        gram: Inner products of the convolution's own filters u, (C, C).
        mean: BatchNorm's running mean μ, less the convolution's bias, (C,).
        var: Its running variance, without ε, (C,).
        scale: Its γ, (C,).
        shift: Its β, (C,).
    """

    gram: Tensor
    mean: Tensor
    var: Tensor
    scale: Tensor
    shift: Tensor

    def of(self, channels: Tensor) -> Unfolded:
        """The same layers, of some channels only."""
        values = (self.mean, self.var, self.scale, self.shift)
        return Unfolded(self.gram[channels][:, channels], *(value[channels] for value in values))


@dataclass(frozen=True, slots=True)
class ComposedFilters:
    """The channels that a layer reads. All tensors are float64.

    Attributes:
        gram: Inner products of the composed filters, (C, C).
        constant: What each channel carries without input, (C,).
        raw: Squared norms of the filters before BatchNorm and gains, (C,).
        normed: Whether a BatchNorm lies on the way.
        unfolded: What the channels are made of where that is one convolution and one BatchNorm,
            the only case that the papers know; None elsewhere.
        moments: Mean and covariance of the channels behind their activations, as the layer reads
            them; None where they are unknown or nobody asked.
        consumer_norm: Squared norm of the layer's weights on each channel, (C,); None where nobody
            asked.
    """

    gram: Tensor
    constant: Tensor
    raw: Tensor
    normed: bool
    unfolded: Unfolded | None = None
    moments: Moments | None = None
    consumer_norm: Tensor | None = None

    @property
    def gain(self) -> Tensor:
        """g² of each channel: what BatchNorm makes of a unit filter, (C,)."""
        return self.gram.diagonal() / self.raw.clamp_min(torch.finfo(self.raw.dtype).tiny)

    def of(self, channels: Tensor) -> ComposedFilters:
        """The same composed filters, of some channels only."""
        return ComposedFilters(
            self.gram[channels][:, channels],
            self.constant[channels],
            self.raw[channels],
            self.normed,
            self.unfolded and self.unfolded.of(channels),
            self.moments and self.moments.of(channels),
            None if self.consumer_norm is None else self.consumer_norm[channels],
        )


class FilterComposer:
    """Composes the filters inside one channel group.

    Args:
        module: The original network.
        group: The group whose channels are read.
    """

    def __init__(self, module: nn.Module, group: ChannelGroup) -> None:
        self._module = module
        self._group = group
        self._members = {(each.layer, each.role): each for each in reversed(group.members)}
        self._known: dict[int, ComposedFilters] = {}

    def compose(self, path: LinearPath) -> ComposedFilters:
        """Compose the filters along ``path``; each part only once, however often it is read."""
        stack = [path]  # our own: Python's ends within a few hundred layers
        while stack:
            unknown = [part for part in _parts(stack[-1]) if id(part) not in self._known]
            if unknown:
                stack += unknown
            else:
                part = stack.pop()
                if id(part) not in self._known:
                    self._known[id(part)] = self._composed(part)
        return self._known[id(path)]

    def _composed(self, path: LinearPath) -> ComposedFilters:
        """Compose a path whose parts are known."""
        if isinstance(path, Filters):
            return self._filters(path.layer)
        parts = [self._known[id(part)] for part in _parts(path)]
        if isinstance(path, Sum):
            return _summed(parts)
        composed = parts[0]
        if isinstance(path, BatchNormed):
            normed = self._normed(composed, path.layer)
            if isinstance(path.of, Filters):
                normed = replace(normed, unfolded=self._unfolded(composed, path.layer))
            return normed
        if isinstance(path, Depthwise):
            return self._filtered(composed, path.layer)
        gain = self._of_channels(
            path.parameter, "parameter", self._module.get_parameter(path.parameter).flatten()
        )
        return _scaled(composed, gain)

    def _filters(self, layer: str) -> ComposedFilters:
        module = self._module.get_submodule(layer)
        rows = self._of_channels(layer, "producer", filter_rows(module))
        gram = rows @ rows.T
        groups = group_count(module)
        if groups > 1:  # filters of different groups read different channels
            part = torch.arange(groups).repeat_interleave(len(filter_rows(module)) // groups)
            belongs = self._of_channels(layer, "producer", part)
            gram = gram * (belongs[:, None] == belongs[None, :])
        return ComposedFilters(
            gram, self._bias(layer, "producer"), gram.diagonal().clone(), normed=False
        )

    def _filtered(self, composed: ComposedFilters, layer: str) -> ComposedFilters:
        rows = self._of_channels(layer, "depthwise", filter_rows(self._module.get_submodule(layer)))
        inner = rows @ rows.T
        constant = composed.constant * rows.sum(1) + self._bias(layer, "depthwise")
        raw = composed.raw * inner.diagonal()
        return ComposedFilters(composed.gram * inner, constant, raw, composed.normed)

    def _normed(self, composed: ComposedFilters, layer: str) -> ComposedFilters:
        norm = self._module.get_submodule(layer)
        mean, var = norm.get_buffer("running_mean"), norm.get_buffer("running_var")
        gain = self._of_channels(layer, "norm", 1 / (var.double() + float(norm.eps)).sqrt())  # type: ignore[arg-type]
        if norm.weight is not None:
            gain = gain * self._of_channels(layer, "norm", norm.get_parameter("weight"))
        shift = composed.constant - self._of_channels(layer, "norm", mean)
        scaled = _scaled(replace(composed, constant=shift), gain)
        return replace(scaled, constant=scaled.constant + self._bias(layer, "norm"), normed=True)

    def _unfolded(self, convolution: ComposedFilters, layer: str) -> Unfolded:
        """The BatchNorm ``layer`` and the convolution it follows."""
        norm = self._module.get_submodule(layer)
        mean = self._of_channels(layer, "norm", norm.get_buffer("running_mean"))
        var = self._of_channels(layer, "norm", norm.get_buffer("running_var"))
        scale = torch.ones_like(mean)
        if norm.weight is not None:
            scale = self._of_channels(layer, "norm", norm.get_parameter("weight"))
        shift = self._bias(layer, "norm")
        return Unfolded(convolution.gram, mean - convolution.constant, var, scale, shift)

    def _bias(self, layer: str, role: Role) -> Tensor:
        bias = self._module.get_submodule(layer).bias
        if not isinstance(bias, Tensor):
            return torch.zeros(self._group.width, dtype=torch.float64)
        return self._of_channels(layer, role, bias)

    def _of_channels(self, layer: str, role: Role, values: Tensor) -> Tensor:
        """A layer's values in the order of the group's channels."""
        indices = own_indices(self._members[layer, role])
        return values.detach().double()[indices.to(values.device)]


def _parts(path: LinearPath) -> tuple[LinearPath, ...]:
    """What a path is made of."""
    if isinstance(path, Sum):
        return path.terms
    return () if isinstance(path, Filters) else (path.of,)


def _scaled(composed: ComposedFilters, gain: Tensor) -> ComposedFilters:
    """Each channel times its own gain, (C,)."""
    gram = composed.gram * gain[:, None] * gain[None, :]
    return replace(composed, gram=gram, constant=composed.constant * gain, unfolded=None)


def _summed(terms: list[ComposedFilters]) -> ComposedFilters:
    """The sum of channels whose filters read different things."""
    return ComposedFilters(
        gram=torch.stack([term.gram for term in terms]).sum(0),
        constant=torch.stack([term.constant for term in terms]).sum(0),
        raw=torch.stack([term.raw for term in terms]).sum(0),
        normed=any(term.normed for term in terms),
    )
