"""BatchNorm by the batch: as PyTorch in training, and nothing that is stored changes."""

import copy
import pickle

import pytest
import torch
from torch import nn

from edgeprune.training import join, normalise_by_batch
from edgeprune.training.synced_norm import _forward

LAYERS = {
    (6, 4): nn.BatchNorm1d(4),
    (3, 4, 5): nn.BatchNorm1d(4, affine=False),
    (3, 4, 5, 2): nn.BatchNorm2d(4, eps=0.1),
    (2, 4, 3, 2, 2): nn.BatchNorm3d(4, track_running_stats=False),
}


def drawn(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed)) * 2 + 5


def held(layer):
    """A layer in a module, evaluating, with statistics and weights of its own."""
    module = nn.Sequential(nn.Identity(), copy.deepcopy(layer)).eval()
    with torch.no_grad():
        for place, tensor in enumerate((*module.parameters(), *module.buffers())):
            if tensor.is_floating_point():
                tensor.copy_(drawn(*tensor.shape, seed=place).abs())
    return module


class Slices:
    """As many processes as slices, of which ours is the first: the mean is computed for all."""

    def __init__(self, layer, slices):
        self.rank, self.count = 0, len(slices)
        axes = [axis for axis in range(slices[0].dim()) if axis != 1]
        self.all = [torch.stack([x.mean(axes), x.var(axes, correction=0)]) for x in slices]

    def mean_of(self, places):
        others = [torch.zeros_like(places) for _ in self.all[1:]]
        for rank, (other, moments) in enumerate(zip(others, self.all[1:], strict=True), 1):
            other[rank] = moments * self.count
        return sum(others, places) / self.count


@pytest.mark.parametrize("shape", LAYERS)
def test_one_process_normalises_as_pytorch_does_in_training(shape):
    module, features = held(LAYERS[shape]), drawn(*shape)
    expected = copy.deepcopy(module).train()(features)
    stored = copy.deepcopy(list(module.buffers()))
    normalise_by_batch(module, ["1"], join())
    torch.testing.assert_close(module(features), expected)
    assert all(torch.equal(a, b) for a, b in zip(module.buffers(), stored, strict=True))


def test_stored_statistics_count_in_evaluation_mode():
    module, features = held(nn.BatchNorm2d(4)), drawn(3, 4, 5, 2)
    expected = module(features)
    normalise_by_batch(module, ["1"], join())
    assert not torch.allclose(module(features), expected)
    assert torch.equal(module.eval()(features), expected)


def test_a_batch_that_is_not_finite_does_not_reach_the_stored_statistics():
    module = held(nn.BatchNorm2d(4))
    stored = module[1].running_mean.clone()
    normalise_by_batch(module, ["1"], join())
    module(torch.full((3, 4, 5, 2), float("inf")))
    assert torch.equal(module[1].running_mean, stored)


def test_layers_are_put_back_as_they_were():
    module, features = held(nn.BatchNorm2d(4)), drawn(3, 4, 5, 2)
    expected, before = module(features), set(module[1].__dict__)
    with normalise_by_batch(module, ["1"], join()):
        assert module[1].training
        assert not module[0].training
    assert not module[1].training
    assert set(module[1].__dict__) == before
    assert torch.equal(module(features), expected)
    pickle.dumps(module)


def test_a_copy_of_the_module_normalises_by_itself():
    module, features = held(nn.BatchNorm2d(4)), drawn(3, 4, 5, 2)
    normalise_by_batch(module, ["1"], join())
    copied = copy.deepcopy(module)
    with torch.no_grad():
        copied[1].bias += 1
    torch.testing.assert_close(copied(features), module(features) + 1)


@pytest.mark.parametrize("shape", LAYERS)
@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("offset", [0, 1e3])
def test_a_slice_is_normalised_by_the_whole_batch(shape, count, offset):
    layer = held(LAYERS[shape]).train()[1]
    slices = [drawn(*shape, seed=seed) * (1 + seed) + seed + offset for seed in range(count)]
    # Far from 0, float32 holds less of the differences; the oracle is given all of them.
    whole = torch.cat(slices).double().requires_grad_()
    expected = copy.deepcopy(layer).double()(whole)[: len(slices[0])]
    found = _forward(layer, Slices(layer, slices), slices[0])
    torch.testing.assert_close(
        found, expected.float(), rtol=1e-4, atol=1e-4 if not offset else 2e-3
    )


@pytest.mark.parametrize(("name", "error"), [("0", TypeError), ("2", AttributeError)])
def test_what_is_no_batchnorm_is_refused_and_nothing_changes(name, error):
    module = held(nn.BatchNorm2d(4))
    with pytest.raises(error):
        normalise_by_batch(module, ["1", name], join())
    assert not module[1].training
    assert "forward" not in module[1].__dict__
