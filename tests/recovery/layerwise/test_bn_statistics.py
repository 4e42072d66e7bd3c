"""BatchNorm: statistics move by what pruning changed, at the level that the images ask for."""

import copy

import numpy as np
import pytest
import torch
import zoo
from torch import nn
from traced_zoo import outputs

from edgeprune.graph.batch_norms import batch_norms
from edgeprune.recovery.layerwise.bn_statistics import (
    DEAD,
    LEAST,
    MOST,
    TransferredStatistics,
    statistics,
)
from edgeprune.recovery.layerwise.side_by_side import side_by_side
from edgeprune.training import normalise_by_batch

KEPT = torch.tensor([0, 2, 3])


def noise(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def norms(seed=0):
    """A BatchNorm of five channels, and one of the three of them that stay."""
    draw = torch.Generator().manual_seed(seed)
    whole, part = nn.Sequential(nn.BatchNorm2d(5)), nn.Sequential(nn.BatchNorm2d(3))
    with torch.no_grad():
        whole[0].running_mean.copy_(torch.randn(5, generator=draw))
        whole[0].running_var.copy_(torch.rand(5, generator=draw) + 0.5)
        part[0].running_mean.copy_(whole[0].running_mean[KEPT] + 0.1)
        part[0].running_var.copy_(whole[0].running_var[KEPT] * 0.9)
    return whole.eval(), part.eval()


def moments(features):
    """Mean and variance of each channel, by NumPy."""
    values = np.moveaxis(features.double().numpy(), 1, 0).reshape(features.shape[1], -1)
    return values.mean(1), values.var(1)


@pytest.mark.parametrize("shape", [(4, 5), (4, 5, 7), (4, 5, 3, 2), (2, 5, 3, 2, 2)])
def test_statistics_are_those_of_each_channel(shape):
    features = 3 * noise(*shape) + 1
    for found, expected in zip(statistics(features), moments(features), strict=True):
        np.testing.assert_allclose(found, expected)


@pytest.mark.parametrize("by_batch", [True, False])
def test_statistics_are_transferred_by_the_formula(by_batch):
    whole, part = norms()
    original = 1.5 * noise(6, 5, 4, 4) + 0.3
    actual = 0.8 * original[:, KEPT] + 0.2 + 0.3 * noise(6, 3, 4, 4, seed=1)
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=by_batch)
    assert list(transferred.names) == ["0"]
    transferred.transfer("0", original, actual)
    transferred.finalize()
    (m_o, v_o), (m_p, v_p) = moments(original[:, KEPT]), moments(actual)
    mu, nu = (each.double().numpy()[KEPT] for each in (whole[0].running_mean, whole[0].running_var))
    scale = np.sqrt(nu / v_o) if by_batch else 1.0
    np.testing.assert_allclose(part[0].running_mean, mu + (m_p - m_o) * scale, rtol=1e-5)
    np.testing.assert_allclose(part[0].running_var, nu * v_p / v_o, rtol=1e-5)


@pytest.mark.parametrize(("factor", "bound"), [(1e-3, LEAST), (10.0, MOST)])
def test_a_change_beyond_all_reason_is_cut(factor, bound):
    whole, part = norms()
    original = noise(6, 5, 4, 4)
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=False)
    transferred.transfer("0", original, factor * original[:, KEPT])
    transferred.finalize()
    torch.testing.assert_close(part[0].running_var, bound * whole[0].running_var[KEPT])


@pytest.mark.parametrize("by_batch", [True, False])
@pytest.mark.parametrize("size", [0.0, 1e-5])
def test_a_channel_that_is_dead_on_the_images_keeps_its_statistics(by_batch, size):
    whole, part = norms()
    before = copy.deepcopy(part[0].state_dict())
    original = noise(6, 5, 4, 4)
    original[:, 2] = size * original[:, 2] + 3
    assert size**2 < DEAD * float(whole[0].running_var[2])
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=by_batch)
    transferred.transfer("0", original, noise(6, 3, 4, 4, seed=1))
    transferred.finalize()
    for name in ("running_mean", "running_var"):
        changed = getattr(part[0], name) != before[name]
        assert changed.tolist() == [True, False, True]


def test_a_channel_without_stored_variance_does_no_harm():
    whole, part = norms()
    whole[0].running_var.zero_()
    part[0].running_var.zero_()
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=True)
    for original in (noise(6, 5, 4, 4), torch.zeros(6, 5, 4, 4)):
        transferred.transfer("0", original, original[:, KEPT])
        transferred.match_batch_level("0", original)
        assert part[0](original[:, KEPT]).isfinite().all()
    transferred.finalize()
    assert part[0](noise(6, 3, 4, 4)).isfinite().all()


def test_levelling_lasts_only_until_settled():
    whole, part = norms()
    before = copy.deepcopy(part.state_dict())
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=True)
    transferred.match_batch_level("0", 3 * noise(6, 5, 4, 4) + 1)
    assert not torch.equal(part[0].running_mean, before["0.running_mean"])
    transferred.finalize()
    after = part.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


def test_levelling_is_the_map_from_the_batch_to_what_is_stored():
    """It gives for a batch what BatchNorm gives for that batch moved to what is stored."""
    whole, part = norms()
    original = 2 * noise(6, 5, 4, 4) - 0.7
    actual = original[:, KEPT] + 0.4 * noise(6, 3, 4, 4, seed=1)
    (m_o, v_o) = (torch.from_numpy(each)[:, None, None] for each in moments(original[:, KEPT]))
    nu, mu = (getattr(whole[0], n)[KEPT][:, None, None] for n in ("running_var", "running_mean"))
    expected = part[0](((actual - m_o) * (nu / v_o).sqrt() + mu).float())
    transferred = TransferredStatistics(whole, part, {"0": KEPT}, by_batch=True)
    transferred.match_batch_level("0", original)
    torch.testing.assert_close(part[0](actual), expected, rtol=1e-4, atol=1e-4)


def run_paired(name, images, *, by_batch, transfer):
    """An unpruned network beside itself: outputs of both, and the second one afterwards."""
    original, student = zoo.build(name), zoo.build(name)
    kept = {n: torch.arange(layer.num_features) for n, layer in batch_norms(student).items()}
    transferred = TransferredStatistics(original, student, kept, by_batch=by_batch)
    if by_batch:
        normalise_by_batch(original, kept)

    def on_layer(pair):
        if transfer:
            transferred.transfer(pair.layer, pair.original, pair.actual)
        transferred.match_batch_level(pair.layer, pair.original)

    made, found = side_by_side(original, student, (images,), list(kept), on_layer)
    transferred.finalize()
    return made, found, student


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_where_nothing_is_pruned_real_images_change_nothing(name):
    _, _, student = run_paired(name, 5 * noise(6, 3, 16, 16) + 2, by_batch=False, transfer=True)
    before, after = zoo.build(name).state_dict(), student.state_dict()
    assert all(torch.equal(after[key], value) for key, value in before.items())


@pytest.mark.parametrize("transfer", [True, False])
@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_where_nothing_is_pruned_both_run_at_one_level_on_any_images(name, transfer):
    images = 5 * noise(6, 3, 16, 16).cumsum(3) + 2
    made, found, student = run_paired(name, images, by_batch=True, transfer=transfer)
    for one, other in zip(made, found, strict=True):
        torch.testing.assert_close(other, one, rtol=1e-3, atol=1e-3)
    if batch_norms(student):
        network = zoo.build(name)
        plain = outputs(network, images)
        assert any(not torch.allclose(a, b, 1e-2) for a, b in zip(made, plain, strict=True))
        normalise_by_batch(network, batch_norms(network))
        again = outputs(network, images)
        assert all(torch.equal(a, b) for a, b in zip(made, again, strict=True))


def test_norms_without_stored_statistics_are_no_concern():
    network = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False), nn.BatchNorm1d(3))
    assert list(batch_norms(network)) == ["1"]
