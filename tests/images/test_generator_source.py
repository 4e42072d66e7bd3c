"""Images of a generator: any size, nearer to the statistics, further batches trained less."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import zoo
from synthesized import loss_by_hand, original, seen_by
from torch import nn
from traced_zoo import Calls, source_of, unchanged

from edgeprune.artifacts import ImageKind
from edgeprune.errors import ModelUnsupported, UsageError
from edgeprune.images.synthesis.generator import Generated
from edgeprune.natural_images import pixels_of

QUICK = Generated(steps=8, width=16)


@pytest.mark.parametrize(
    "shape", [(3, 32, 32), (1, 28, 28), (1, 49, 10), (3, 17, 9), (5, 3, 4)], ids=str
)
def test_every_number_of_channels_and_every_size(shape: tuple[int, ...]) -> None:
    model, _ = seen_by(nn.Sequential(zoo.conv_bn(shape[0], 8), zoo.conv_bn(8, 8)), *shape)
    with unchanged(model.module):
        (images,) = QUICK(model, 5, 0)
    assert images.shape == (5, *shape)
    assert images.dtype == torch.float32
    assert not images.requires_grad
    pixels = pixels_of(images, model.input)
    assert pixels.min() >= -1e-5
    assert pixels.max() <= 1 + 1e-5


@pytest.mark.parametrize("name", ["chain", "residual", "transposed", "two-outputs"])
def test_training_brings_the_statistics_nearer(name: str) -> None:
    model, _ = original(name)
    first, last = (
        loss_by_hand(model.module, replace(QUICK, steps=steps)(model, 24, 0)[0])
        for steps in (1, 60)
    )
    assert last < 0.3 * first


def test_a_further_batch_starts_from_the_trained_decoder() -> None:
    model, _ = original("chain")
    loss = []
    for batch in (12, 24):
        # the same twelve images, behind twelve others or together with them
        (images,) = replace(QUICK, batch=batch)(model, 24, 0)
        loss.append(loss_by_hand(model.module, images[12:]))
    assert loss[0] < loss[1]


def test_the_seed_alone_says_which_images() -> None:
    model, _ = original("chain")
    before = torch.random.get_rng_state()
    first, same, other = (QUICK(model, 6, seed)[0] for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(first, same)
    assert not torch.isclose(first, other).flatten(1).all(1).any()
    assert len(first.unique(dim=0)) == 6


def test_what_is_no_image_is_standard_normal_noise() -> None:
    network = Calls(
        lambda net, v, x: net.body(x).mean((2, 3)) + net.other(v),
        body=zoo.conv_bn(3, 6), other=nn.Linear(40, 6),
    )  # fmt: skip
    vectors, images = QUICK(source_of(network, (1, 40), (1, 3, 12, 12)), 50, 2)
    assert images.shape == (50, 3, 12, 12)
    assert vectors.shape == (50, 40)
    assert abs(float(vectors.mean())) < 0.1
    assert float(vectors.std()) == pytest.approx(1, abs=0.1)


def test_networks_without_statistics_or_images_are_refused() -> None:
    with pytest.raises(ModelUnsupported, match="dead-leaves"):
        QUICK(source_of(zoo.build("no-norm")), 4, 0)
    flat = source_of(nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)), (1, 6))
    with pytest.raises(UsageError, match="takes 1x6"):
        QUICK(flat, 4, 0)


def test_reports_can_say_where_images_are_from() -> None:
    assert QUICK.kind is ImageKind.SYNTHESIZED
    assert QUICK.origin == "(synthesized by a generator, 8 steps a batch)"
