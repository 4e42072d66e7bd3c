"""Image quality: no shift on images that a network knows, a large one on noise."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
import zoo
from synthesized import headless, original, read_by_norms, seen_by
from torch import Tensor, nn
from traced_zoo import source_of, unchanged

from edgeprune.artifacts import ImageQuality
from edgeprune.errors import ModelUnsupported
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.inversion import Inversion

NAMES = ["chain", "residual", "concat", "two-outputs"]


def shift_by_hand(module: nn.Module, images: Tensor) -> float:
    medians = []
    for values, norm in read_by_norms(module, images):
        mean, var = norm.running_mean.double().numpy(), norm.running_var.double().numpy() + norm.eps
        off = np.abs(values.mean(1) - mean) / np.sqrt(var)
        off += np.abs(np.log(np.sqrt((values.var(1) + norm.eps) / var)))
        medians.append(np.sort(off)[(len(off) - 1) // 2])
    return float(np.mean(medians))


@pytest.mark.parametrize("count", [5, 64, 150])
@pytest.mark.parametrize("name", NAMES)
def test_the_shift_is_its_formula(name: str, count: int) -> None:
    model, _ = original(name)
    images = DeadLeaves()(model, count, 0)
    with unchanged(model.module):
        found = quality(model, images)
    assert found.images == count
    assert found.statistics_shift == pytest.approx(shift_by_hand(model.module, *images), rel=1e-3)


@pytest.mark.parametrize("name", NAMES)
def test_images_that_the_network_knows_shift_nothing(name: str) -> None:
    model, images = original(name)
    found = quality(model, (images,))
    assert found.statistics_shift < 1e-3
    assert found.noise_shift > 0.1
    assert found.passed


def test_noise_is_no_better_than_noise() -> None:
    model, _ = original("residual")
    pixels = 0.45 + 0.25 * torch.randn(64, 3, 16, 16, generator=torch.Generator().manual_seed(9))
    mean, std = (torch.tensor(of)[:, None, None] for of in (model.input.mean, model.input.std))
    found = quality(model, ((pixels - mean) / std,))
    assert found.statistics_shift == pytest.approx(found.noise_shift, rel=0.1)
    assert not found.passed


def test_synthesized_images_are_nearer_than_their_start() -> None:
    model, _ = original("residual")
    procedural, synthesized = (
        quality(model, source(model, 32, 0)).statistics_shift
        for source in (DeadLeaves(), Inversion(steps=30, learning_rate=0.03))
    )
    assert synthesized < 0.5 * procedural


def test_classes_are_those_that_the_network_sees() -> None:
    model, images = original("chain")
    found = quality(model, (images,))
    with torch.no_grad():
        logits = model.module(images).double().numpy()
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    assert found.confidence == pytest.approx(probabilities.max(1).mean(), rel=1e-5)
    assert found.classes == len(np.unique(logits.argmax(1)))


def test_without_classes_there_is_no_confidence() -> None:
    model, images = seen_by(headless())
    found = quality(model, (images,))
    assert found.confidence is None
    assert found.classes is None


def test_networks_without_statistics_are_refused() -> None:
    model = source_of(zoo.build("no-norm"))
    with pytest.raises(ModelUnsupported, match="no BatchNorm"):
        quality(model, DeadLeaves()(model, 4, 0))


def test_the_verdict_needs_no_torch() -> None:
    use = "import sys, edgeprune.artifacts as artifacts; artifacts.ImageQuality(1, 0.1, 1.0)"
    code = f"{use}; print('torch' in sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert ran.stdout.strip() == "False"
    assert ImageQuality(1, 0.4, 1.0).passed
    assert not ImageQuality(1, 0.6, 1.0).passed
