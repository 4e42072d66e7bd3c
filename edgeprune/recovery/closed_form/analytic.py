"""Analytic: least squares from BatchNorm moments, without a single image.

For a layer with weight V that reads channels of mean m and covariance C (propagated in closed form,
``moments/propagation.py``), of which L are lost and K stay, the lost ones are best written as

    a_L ≈ m_L + S (a_K − m_K)        S = C_LK (C_KK + λ̄ I)⁻¹,   λ̄ = λ · mean diag C_KK

so that V'_K = V_K + V_L S. What is left of the mean, δ = V_L (m_L − S m_K), goes into the BatchNorm
behind the layer or into its bias. What is left of the variance cannot be rebuilt, but its loss can
be undone: the BatchNorm's variance is multiplied by

    Var(V' a_K) / Var(V a),          within [0.05, 1.2].

S is the same for all taps: with a separable covariance C ⊗ R that is already the joint optimum. The
closed forms of LBYL (arXiv:2502.08474) and Neuron Merging are the special case of a network without
activations that reads white noise, less the mean and the variance.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass, replace
from math import prod
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune.artifacts import Note, RecoveryStep
from edgeprune.graph.batch_norms import batch_norms, called_once, norm_after
from edgeprune.graph.layers import weight_views
from edgeprune.moments.lost_channels import coefficients
from edgeprune.moments.propagation import propagate
from edgeprune.moments.spatial import tap_correlation, tap_covariance
from edgeprune.recovery.closed_form.group_weights import group_weights
from edgeprune.recovery.closed_form.redistribution import compensated
from edgeprune.recovery.context import RecoveryContext
from edgeprune.recovery.method import RecoveryMethod

if TYPE_CHECKING:
    from edgeprune.artifacts import Progress, PrunedModel, TracedModel
    from edgeprune.moments.propagation import Moments

LEAST, MOST = 0.05, 1.2
"""Bounds of the factor on a variance: removing channels hardly ever adds to it."""


@dataclass(frozen=True, slots=True)
class Analytic(RecoveryMethod):
    """Write each lost channel as the best combination of those that stay.

    Attributes:
        ridge: λ, added to the covariance as a share of its mean variance. Larger: smaller
            coefficients.
    """

    ridge: float = 1e-3

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says."""
        return rebuilt("analytic", self.ridge, traced, pruned, context.progress)


@dataclass(frozen=True, slots=True)
class Statistics(RecoveryMethod):
    """Repair mean and variance only, and let no channel carry another: the control of Analytic."""

    def __call__(
        self,
        traced: TracedModel,
        pruned: PrunedModel,
        context: RecoveryContext = RecoveryContext(),  # noqa: B008 - frozen
    ) -> PrunedModel:
        """Recover a pruned network, as :class:`edgeprune.recovery.method.RecoveryMethod` says."""
        return rebuilt("statistics", float("inf"), traced, pruned, context.progress)


@torch.no_grad()
def rebuilt(
    method: str,
    ridge: float,
    traced: TracedModel,
    pruned: PrunedModel,
    progress: Progress | None = None,
) -> PrunedModel:
    """Compensate every layer that lost inputs, from the original's weights and statistics.

    Args:
        method: Name of the step.
        ridge: λ; infinite: S = 0.
        traced: The original with its groups.
        pruned: The result of surgery; copied, not changed.
        progress: Callback for the share done, called after each layer.

    Returns:
        The recovered network.
    """
    start = time.perf_counter()
    original, module = traced.source.module, copy.deepcopy(pruned.module)
    norms = _own_norms(traced)
    lost = traced.removed(pruned.plan)
    consumers = [layer for layer, side in lost if side == "in"]
    found = propagate(traced.source).of_layers(consumers)
    left_out = []
    for place, (layer, moments) in enumerate(found.items()):
        if moments is None:
            left_out.append(layer)
        else:
            was, now = original.get_submodule(layer), module.get_submodule(layer)
            rows, columns = lost.get((layer, "out"), set()), lost[layer, "in"]
            change = _reweigh(was, now, rows, columns, moments, ridge)
            if layer in norms:
                norm = norms[layer]
                _finalize(original.get_submodule(norm), module.get_submodule(norm), rows, change)
            elif isinstance(now.bias, Tensor):
                now.bias.data.copy_(_staying(was.get_parameter("bias"), rows) + change.mean)
        if progress is not None:
            progress((place + 1) / len(consumers), layer)
    done = len(consumers) - len(left_out)
    notes = [compensated(done, left_out, because="what they read is unknown")]
    if not batch_norms(original):
        notes.append(Note("no-batch-norm"))
    step = RecoveryStep(method, time.perf_counter() - start, 0, tuple(notes))
    return replace(pruned, module=module, recovered_by=(*pruned.recovered_by, step))


def _own_norms(traced: TracedModel) -> dict[str, str]:
    """The BatchNorm that takes a layer's mean, by layer; both run once and serve no one else."""
    record = traced.record
    once, stored = called_once(record), batch_norms(traced.source.module)
    return {
        layer: norm
        for layer, norm in norm_after(record).items()
        if layer in once and norm in once and norm in stored
    }


@dataclass(frozen=True, slots=True)
class Change:
    """What compensation changes in a layer's output.

    Attributes:
        mean: δ, by which the mean of each output falls, (O,).
        variance: Share of each output's variance that is left, (O,).
    """

    mean: Tensor
    variance: Tensor


def rebuild(
    weight: Tensor, moments: Moments, lost: Tensor, correlation: Tensor, ridge: float
) -> tuple[Tensor, Change]:
    """Compensate one part of a layer.

    Args:
        weight: V, (O, C, T).
        moments: Moments of the C channels that it reads.
        lost: Whether each of them is gone, (C,).
        correlation: R between the taps, (T, T).
        ridge: λ.

    Returns:
        V', (O, K, T), and the change of the layer's output.
    """
    mean, cov = moments.mean, moments.cov
    stay, gone = (~lost).nonzero().flatten(), lost.nonzero().flatten()
    mixing = coefficients(cov, stay, gone, ridge)
    left = weight[:, stay] + torch.einsum("olt,lk->okt", weight[:, gone], mixing)
    delta = weight[:, gone].sum(2) @ (mean[gone] - mixing @ mean[stay])
    before = (tap_covariance(cov, weight) * correlation).sum((1, 2))
    after = (tap_covariance(cov[stay][:, stay], left) * correlation).sum((1, 2))
    tiny = torch.finfo(cov.dtype).tiny
    share = torch.where(before > tiny, after / before.clamp_min(tiny), 1.0)
    return left, Change(delta, share)


def _reweigh(
    was: nn.Module,
    now: nn.Module,
    rows: set[int],
    columns: set[int],
    moments: Moments,
    ridge: float,
) -> Change:
    """Write the compensated weight of a layer that lost ``rows`` and ``columns`` into ``now``."""
    found = list(group_weights(was, rows, columns))
    inputs = sum(part.weight.shape[1] for part in found)
    pixels = inputs // len(moments.mean)  # more than one behind a flatten
    correlation = tap_correlation(was, pixels, moments.decay)
    changes = []
    for part, view in zip(found, weight_views(now), strict=True):
        outputs, read, taps = part.weight.shape
        own = torch.arange(part.start // pixels, (part.start + read) // pixels)
        lost = torch.tensor([int(channel) * pixels in columns for channel in own])
        weight = part.weight.reshape(outputs, len(own), pixels * taps)
        left, change = rebuild(weight, moments.of(own), lost, correlation, ridge)
        view.copy_(left.reshape(outputs, -1, taps))
        changes.append(change)
    overlap = prod(was.stride) if getattr(was, "transposed", False) else 1  # type: ignore[arg-type]
    return Change(
        torch.cat([change.mean for change in changes]) / overlap,
        torch.cat([change.variance for change in changes]),
    )


def _finalize(was: nn.Module, now: nn.Module, rows: set[int], change: Change) -> None:
    """Let a BatchNorm take the mean and restore the variance of the layer in front of it."""
    mean, variance = was.get_buffer("running_mean"), was.get_buffer("running_var")
    share = change.variance.clamp(LEAST, MOST)
    now.get_buffer("running_mean").copy_(_staying(mean, rows) - change.mean)
    now.get_buffer("running_var").copy_(_staying(variance, rows) * share)


def _staying(values: Tensor, rows: set[int]) -> Tensor:
    """The values (O,) of the outputs that stay."""
    return values[[index for index in range(len(values)) if index not in rows]].double()
