"""A network as though some channels were gone, and the layers that read them repaired.

Whether channels are gone or nobody reads them is the same to all that comes behind. So a candidate
costs no surgery: the weights of the consumers change, and change back. A consumer writes each lost
channel as the best combination of those that stay (``moments/lost_channels.py``), from the moments
of what it reads in closed form: nothing is fitted to the images that errors are measured on.

BatchNorms normalise by the batch, in the original and after a cut. Synthetic images are thus at the
level of real ones in every layer, and the statistics of BatchNorms are those that recovery gives
them in the end. Behind the last BatchNorm nothing does that: images without data vary in fewer
directions than real ones, and a head seems to lose little. So it loses at least what moments say.
"""

from __future__ import annotations

from math import prod
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from edgeprune.graph.batch_norms import batch_norms, called_once, norm_after
from edgeprune.graph.layers import weight_views
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.outputs import tensors_in
from edgeprune.moments.lost_channels import coefficients
from edgeprune.moments.propagation import propagate
from edgeprune.pruning.sensitivity.last_norms import last_norms
from edgeprune.relative_error import relative_error
from edgeprune.training import normalise_by_batch

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence

    from edgeprune.artifacts import TracedModel
    from edgeprune.artifacts.traced import Side
    from edgeprune.moments.propagation import Moments

    Lost = Mapping[tuple[str, Side], Collection[int]]
    """The layers' own indices that are gone, by layer and side."""

RIDGE = 1e-3
"""λ of the repair, as in closed-form recovery."""

WORST = 10.0
"""Largest error of a feature: beyond, none is worse than another."""


class RepairedNetwork:
    """A copy of a network whose consumers can be repaired for any cut, and how far it is off.

    Args:
        traced: The network with its groups; not changed.
        images: Images that errors are measured on, one tensor (N, …) for each input.
    """

    @torch.no_grad()
    def __init__(self, traced: TracedModel, images: Sequence[Tensor]) -> None:
        self._network = light_copy(traced.source.module).eval()
        norms = batch_norms(self._network)
        normalise_by_batch(self._network, norms)
        self._images = images
        consumers = {m.layer for g in traced.prunable for m in g.having("consumer")}
        self._layers = {name: self._network.get_submodule(name) for name in sorted(consumers)}
        self._whole = {name: dict(layer._parameters) for name, layer in self._layers.items()}
        once = called_once(traced.record)
        self._normed = {name for name, norm in norm_after(traced.record).items() if norm in norms}
        self._reads = propagate(traced.source).reads
        self._missed: dict[str, float] = {}
        self._ends = {
            name: self._network.get_submodule(name)
            for name in last_norms(traced.record)
            if name in norms and name in once
        }
        self._wanted = self._run()

    def repair(self, layers: Collection[str], lost: Lost) -> None:
        """Repair consumers for what is lost; where nothing is, they are as in the original."""
        for name in layers:
            layer = self._layers[name]
            layer._parameters.update(self._whole[name])
            self._missed.pop(name, None)
            gone = lost.get((name, "in"), ())
            if gone and layer._parameters.get("weight") is not None:
                change = _repair(layer, set(gone), self._reads.get(name))
                bias = self._whole[name].get("bias")
                if change is None or name in self._normed:
                    continue
                self._missed[name] = change.missed
                if bias is not None:
                    layer._parameters["bias"] = _constant(bias + change.mean.to(bias))

    @torch.no_grad()
    def error(self, lost: Lost) -> float:
        """What the network misses: the mean over its outputs and that over ends, half each.

        Args:
            lost: What consumers were repaired for.
        """
        ends, outputs = self._run()
        wanted_ends, wanted = self._wanted
        errors = [relative_error(w, a) for w, a in zip(wanted, outputs, strict=True)]
        kept = [_kept(each, lost.get((name, "out"), ())) for name, each in wanted_ends.items()]
        actual = [_kept(each, lost.get((name, "out"), ())) for name, each in ends.items()]
        inner = [relative_error(w, a) for w, a in zip(kept, actual, strict=True)]
        parts = [[min(each, WORST) for each in part] for part in (errors, inner) if part]
        means = [sum(part) / len(part) for part in parts]
        if errors:
            means[0] = max(means[0], sum(self._missed.values()) / len(errors))
        return sum(means) / max(len(means), 1)

    def _run(self) -> tuple[dict[str, Tensor], list[Tensor]]:
        """Features at the ends, and outputs that are numbers with a fraction."""
        seen: dict[str, Tensor] = {}
        hooks = [
            layer.register_forward_hook(_recorder(name, seen)) for name, layer in self._ends.items()
        ]
        outputs = tensors_in(self._network(*self._images))
        for hook in hooks:
            hook.remove()
        return seen, [each for each in outputs if each.is_floating_point() and each.dim()]


def _recorder(name: str, seen: dict[str, Tensor]) -> Callable[..., None]:
    def record(_: nn.Module, __: object, output: Tensor) -> None:
        seen[name] = output.clone()

    return record


class Change(NamedTuple):
    """What a repaired layer's outputs lose: of their means, (O,), and as a share of variance."""

    mean: Tensor
    missed: float


def _repair(layer: nn.Module, gone: Collection[int], moments: Moments | None) -> Change | None:
    """Write a layer's weight for what stays.

    Args:
        layer: A consumer with the weight of the original; it is given another.
        gone: Indices of the inputs that are lost.
        moments: Moments of the channels that it reads; None: unknown, and nothing makes up for
            what is lost.

    Returns:
        What its outputs lose; None where it is unknown.
    """
    layer._parameters["weight"] = _constant(layer.get_parameter("weight").clone())
    deltas, missed, whole = [], 0.0, 0.0
    for number, weight in enumerate(weight_views(layer)):
        start, inputs = number * weight.shape[1], weight.shape[1]
        lost = torch.tensor([start + index in gone for index in range(inputs)])
        if moments is None:
            weight[:, lost] = 0
            continue
        pixels = len(weight_views(layer)) * inputs // len(moments.mean)  # more behind a flatten
        own = torch.arange(start // pixels, (start + inputs) // pixels)
        by_channel = weight.reshape(len(weight), len(own), -1).double()
        own_moments, own_lost = moments.of(own), lost[::pixels].to(weight.device)
        left, delta = _repaired(by_channel, own_moments, own_lost)
        weight.copy_(left.reshape(weight.shape))
        deltas.append(delta)
        missed += _power(by_channel - left, own_moments.cov)
        whole += _power(by_channel, own_moments.cov)
    overlap = prod(_stride(layer)) if getattr(layer, "transposed", False) else 1
    if not deltas:
        return None
    return Change(torch.cat(deltas) / overlap, missed / max(whole, torch.finfo().tiny))


def _repaired(weight: Tensor, moments: Moments, lost: Tensor) -> tuple[Tensor, Tensor]:
    """A weight in which the channels that stay carry the lost ones.

    Args:
        weight: V, (O, C, T).
        moments: Moments of the C channels that it reads.
        lost: Whether each of them is gone, (C,).

    Returns:
        V_K + V_L S in the places of the channels that stay and 0 in the others, (O, C, T); and
        what the mean of each output loses, (O,).
    """
    stay, gone = (~lost).nonzero().flatten(), lost.nonzero().flatten()
    mean, mixing = moments.mean, weight.new_zeros(len(gone), len(stay))
    if len(stay) and len(gone):
        mixing = coefficients(moments.cov, stay, gone, RIDGE)
    left = torch.zeros_like(weight)
    left[:, stay] = weight[:, stay] + torch.einsum("olt,lk->okt", weight[:, gone], mixing)
    return left, weight[:, gone].sum(2) @ (mean[gone] - mixing @ mean[stay])


def _power(weight: Tensor, cov: Tensor) -> float:
    """Variance of all outputs of a weight (O, C, T) that reads channels of covariance (C, C)."""
    return float(torch.einsum("oct,cd,odt->", weight, cov, weight))


def _stride(layer: Any) -> tuple[int, ...]:
    stride: tuple[int, ...] = layer.stride
    return stride


def _kept(features: Tensor, gone: Collection[int]) -> Tensor:
    """The channels of (N, C, …) that are not gone."""
    if not gone:
        return features
    lost = set(gone)
    stay = [index for index in range(features.shape[1]) if index not in lost]
    return features[:, stay]


def _constant(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach(), requires_grad=False)
