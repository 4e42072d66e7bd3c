"""Output losses: against PyTorch's distributions, SciPy and NumPy, and 0 for equal outputs."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import log_softmax, rel_entr, softmax
from torch import distributions

from edgeprune.recovery.training.output_losses import level_loss, output_loss, place_loss

SHAPES = st.lists(st.integers(1, 5), min_size=0, max_size=4).map(lambda rest: (4, *rest))


def noise(shape, seed, scale=1.0):
    return scale * torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("temperature", [1.0, 2.5, 8.0])
def test_logits_are_compared_as_hinton_does(temperature):
    wanted, found = noise((6, 7), 0, 3.0), noise((6, 7), 1, 3.0)
    softened = [distributions.Categorical(logits=each / temperature) for each in (wanted, found)]
    expected = temperature**2 * distributions.kl_divergence(*softened).mean()
    torch.testing.assert_close(output_loss([wanted], [found], temperature), expected)
    p, q = (softmax(each.double().numpy() / temperature, 1) for each in (wanted, found))
    assert float(expected) == pytest.approx(temperature**2 * rel_entr(p, q).sum(1).mean(), 1e-4)


def gradient(wanted, found, temperature):
    found = found.clone().requires_grad_()
    output_loss([wanted], [found], temperature).backward()
    return found.grad


def test_gradients_do_not_shrink_as_the_temperature_rises():
    """Hinton's limit: for T → ∞ the gradient is that of centred logits, (s − t) / (N · K)."""
    wanted, found = noise((5, 8), 2), noise((5, 8), 3)
    gap = found - wanted
    expected = (gap - gap.mean(1, keepdim=True)) / gap.numel()
    torch.testing.assert_close(gradient(wanted, found, 1e3), expected, rtol=2e-2, atol=2e-4)
    one, other = (gradient(wanted, found, each).norm() for each in (30.0, 300.0))
    assert float(one / other) == pytest.approx(1, abs=0.05)


@given(SHAPES, st.integers(0, 99), st.sampled_from([1.0, 4.0]))
@settings(max_examples=60, deadline=None)
def test_any_outputs_are_0_from_themselves_and_more_from_others(shape, seed, temperature):
    wanted, other = noise(shape, seed), noise(shape, seed + 1000)
    assert float(output_loss([wanted], [wanted.clone()], temperature)) == pytest.approx(0, abs=1e-6)
    found = output_loss([wanted], [other], temperature)
    assert found.shape == ()
    assert found.isfinite()
    assert found > -1e-6


@given(st.integers(1, 6), st.integers(2, 6), st.integers(0, 99))
@settings(max_examples=30, deadline=None)
def test_rows_that_sum_to_one_are_distributions(count, classes, seed):
    wanted, found = (noise((count, classes), seed + at, 2.0).softmax(1) for at in (0, 1))
    expected = rel_entr(wanted.double().numpy(), found.double().numpy()).sum(1).mean()
    for temperature in (1.0, 4.0):  # they cannot be softened
        loss = output_loss([wanted], [found], temperature)
        assert float(loss) == pytest.approx(expected, rel=1e-3, abs=1e-6)


def test_a_distribution_with_zeros_has_a_finite_loss_and_gradient():
    wanted = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0]])
    found = torch.tensor([[0.0, 1.0, 0.0], [0.4, 0.6, 0.0]], requires_grad=True)
    loss = output_loss([wanted], [found], 4.0)
    loss.backward()
    assert loss.isfinite()
    assert found.grad.isfinite().all()


@pytest.mark.parametrize(
    ("shape", "axis"), [((6, 3, 5, 4), 1), ((6, 5, 3), 2), ((6, 1), 1), ((50,), None)]
)
def test_levels_are_the_share_of_variance_that_is_missed(shape, axis):
    wanted, found = noise(shape, 4) * 3 + 1, noise(shape, 5)
    channels = [wanted.double().numpy().ravel()], [found.double().numpy().ravel()]
    if axis is not None:
        channels = tuple(
            np.moveaxis(each.double().numpy(), axis, 0).reshape(shape[axis], -1)
            for each in (wanted, found)
        )
    shares = [np.mean((s - t) ** 2) / np.var(t) for t, s in zip(*channels, strict=True)]
    assert float(level_loss(wanted, found)) == pytest.approx(np.mean(shares), rel=5e-3)


def test_the_mean_of_each_channel_misses_all_of_its_variance():
    wanted = noise((8, 3, 6, 6), 6) * torch.tensor([1.0, 5.0, 30.0])[:, None, None]
    says_nothing = wanted.mean((0, 2, 3), keepdim=True).expand_as(wanted)
    assert float(level_loss(wanted, says_nothing)) == pytest.approx(1, abs=0.15)
    assert level_loss(wanted, wanted) == 0


def test_channels_count_alike_whatever_their_scale():
    wanted, found = noise((8, 3, 6, 6), 7), noise((8, 3, 6, 6), 8)
    scale = torch.tensor(10.0)
    torch.testing.assert_close(level_loss(scale * wanted, scale * found), level_loss(wanted, found))
    torch.testing.assert_close(
        place_loss(scale * wanted, scale * found, 2.0), place_loss(wanted, found, 2.0)
    )


def test_places_are_distributions_over_positions():
    wanted, found = noise((3, 2, 4, 5), 9, 2.0), noise((3, 2, 4, 5), 10, 2.0)
    t, s = (each.double().numpy() for each in (wanted, found))
    scale = t.std(axis=(0, 2, 3), keepdims=True)
    p, q = (log_softmax((each / scale / 2.0).reshape(6, 20), 1) for each in (t, s))
    expected = 4.0 * (np.exp(p) * (p - q)).sum(1).mean()
    assert float(place_loss(wanted, found, 2.0)) == pytest.approx(expected, rel=1e-4)


@given(st.integers(1, 3), st.integers(1, 4), st.integers(2, 5), st.floats(-20, 20))
@settings(max_examples=30, deadline=None)
def test_places_do_not_change_where_a_channel_is_lifted(count, channels, side, lift):
    wanted, found = (noise((count, channels, side, side), seed) for seed in (11, 12))
    before = place_loss(wanted, found, 1.0)
    torch.testing.assert_close(place_loss(wanted, found + lift, 1.0), before, rtol=1e-3, atol=1e-4)


def test_outputs_count_alike_and_whole_numbers_do_not():
    pairs = [
        (noise((4, 5), 13), noise((4, 5), 14)),
        (noise((4, 2, 3, 3), 15), noise((4, 2, 3, 3), 16)),
    ]
    each = [output_loss([w], [g], 2.0) for w, g in pairs]
    classes = torch.arange(4), torch.arange(4).flip(0)
    wanted, found = zip(*pairs, classes, strict=True)
    torch.testing.assert_close(output_loss(wanted, found, 2.0), torch.stack(each).mean())
    assert output_loss([classes[0]], [classes[1]], 2.0) == 0
