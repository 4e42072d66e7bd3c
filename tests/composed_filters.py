"""The filters that a consumer reads, really composed: the oracle of the closed forms."""

import torch
from torch import nn
from traced_zoo import source_of

from edgeprune.artifacts import BatchNormed, Depthwise, Filters, Scaled, Sum
from edgeprune.recovery.closed_form.composed_filters import FilterComposer
from edgeprune.tracing import trace


def filters_of(model, group, consumer):
    found = next(g for g in model.groups if g.name == group)
    reads = next(m.reads for m in found.having("consumer") if m.layer == consumer)
    return found, reads, FilterComposer(model.source.module, found).compose(reads)


def filters_read(network, inputs=3):
    """What layer 3 of a network for (1, inputs, 8, 8) reads of layer 0."""
    return filters_of(trace(source_of(network, (1, inputs, 8, 8))), "0", "3")[2]


def split(channels, stay, seed):
    """Indices of the channels that stay, drawn at random, and of the others; ascending."""
    order = torch.randperm(channels, generator=torch.Generator().manual_seed(seed))
    return order[:stay].sort().values, order[stay:].sort().values


def composed(module, group, signal):
    """Filters (C, D), constants (C,) and raw filters, each channel on its own, in float64.

    A sum's filters stand side by side, since they read different things; a depthwise filter
    multiplies every tap of the filter before it.
    """
    if isinstance(signal, Sum):
        parts = [composed(module, group, term) for term in signal.terms]
        filters, constants, raws = zip(*parts, strict=True)
        return torch.cat(filters, 1), sum(constants), torch.cat(raws, 1)
    if isinstance(signal, Filters):
        return convolved(module.get_submodule(signal.layer), own(group, signal.layer, "producer"))
    before = composed(module, group, signal.of)
    if isinstance(signal, Scaled):
        order = own(group, signal.parameter, "parameter")
        gain = module.get_parameter(signal.parameter).detach().double().flatten()[order]
        return before[0] * gain[:, None], before[1] * gain, before[2]
    layer = module.get_submodule(signal.layer)
    if isinstance(signal, BatchNormed):
        return normed(layer, own(group, signal.layer, "norm"), before)
    assert isinstance(signal, Depthwise)
    return filtered(layer, own(group, signal.layer, "depthwise"), before)


def own(group, layer, role):
    """The layer's index of every channel of the group."""
    member = next(member for member in group.having(role) if member.layer == layer)
    return [index for (index,) in member.channels]


def convolved(layer, order):
    weight = layer.weight.detach().double()
    if isinstance(layer, nn.ConvTranspose2d):
        weight = weight.transpose(0, 1)
    groups = getattr(layer, "groups", 1)
    each_out, each_in = len(weight) // groups, weight.shape[1]
    rows = []
    for index in order:
        full = torch.zeros(groups * each_in, *weight.shape[2:]).double()
        start = index // each_out * each_in
        full[start : start + each_in] = weight[index]
        rows.append(full.flatten())
    return torch.stack(rows), values(layer.bias, order, 0.0), torch.stack(rows)


def normed(layer, order, before):
    filters, constants, raw = before
    std = (layer.running_var.double() + layer.eps).sqrt()[order]
    gain = values(layer.weight, order, 1.0) / std
    constants = gain * (constants - layer.running_mean.double()[order])
    return filters * gain[:, None], constants + values(layer.bias, order, 0.0), raw


def filtered(layer, order, before):
    filters, constants, raw = before
    taps = layer.weight.detach().double().flatten(1)[order]
    rows = [torch.outer(one, other).flatten() for one, other in zip(filters, taps, strict=True)]
    raws = [torch.outer(one, other).flatten() for one, other in zip(raw, taps, strict=True)]
    constants = constants * taps.sum(1) + values(layer.bias, order, 0.0)
    return torch.stack(rows), constants, torch.stack(raws)


def values(parameter, order, otherwise):
    """A parameter's values in the order of the group's channels."""
    if parameter is None:
        return torch.full((len(order),), otherwise).double()
    return parameter.detach().double()[order]
