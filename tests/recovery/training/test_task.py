"""DistillationTask: images are augmented, recorders are removed, nothing given changes."""

import copy

import numpy as np
import pytest
import torch
import zoo
from hypothesis import given, settings
from hypothesis import strategies as st
from students import ENDS, feature_error, halved, is_bare, tiny
from torch import nn
from traced_zoo import unchanged

from edgeprune.recovery.block_ends import BlockEnd, block_ends
from edgeprune.recovery.training.supervise import feature_loss
from edgeprune.recovery.training.task import (
    SHIFT,
    ComparedLayers,
    DistillationTask,
    FeatureRecorder,
    ImagePool,
    varied,
)
from edgeprune.training import Schedule, fit, generator, join

IMAGES = torch.randn(40, 1, 8, 8, generator=torch.Generator().manual_seed(1))


@given(st.integers(1, 5), st.integers(1, 3), st.integers(1, 40), st.integers(1, 40),
       st.integers(0, 99))  # fmt: skip
@settings(max_examples=50, deadline=None)
def test_every_image_is_the_image_flipped_or_not_and_moved(count, channels, height, width, step):
    images = torch.rand(count, channels, height, width)
    found = varied(images, generator(0, step))
    assert found.shape == images.shape
    reach = [int(size * SHIFT) for size in (height, width)]
    padding = ((0, 0), (0, 0), (reach[0],) * 2, (reach[1],) * 2)
    either = [np.pad(x.numpy(), padding, mode="reflect") for x in (images, images.flip(3))]
    shifts = []
    for down in range(2 * reach[0] + 1):
        for right in range(2 * reach[1] + 1):
            cut = [x[:, :, down : down + height, right : right + width] for x in either]
            fits = [np.equal(x, found.numpy()).all((1, 2, 3)) for x in cut]
            shifts.append((fits[0] | fits[1]).all())
    assert any(shifts)  # the same shift for all of a batch


def test_about_half_are_flipped_and_shifts_go_everywhere():
    ramp = torch.arange(32.0).expand(64, 1, 32, 32).contiguous()
    flipped, places = 0, set()
    for step in range(40):
        found = varied(ramp, generator(3, step))
        falling = found[:, 0, 16, 10] > found[:, 0, 16, 11]
        flipped += int(falling.sum())
        places.update((found[~falling][:1, 0, 16, 16] - 16).tolist())
    assert flipped / (40 * 64) == pytest.approx(0.5, abs=0.04)
    assert places == {-2.0, -1.0, 0.0, 1.0, 2.0}


def test_what_is_no_image_stays_and_the_step_decides():
    vectors = torch.randn(5, 7)
    assert varied(vectors, generator(0, 0)) is vectors
    first, again, other = (varied(IMAGES, generator(0, step)) for step in (4, 4, 5))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)


@pytest.mark.parametrize("layer", ["conv", "linear"])
def test_a_recorder_keeps_the_kept_channels_until_it_is_removed(layer):
    network = zoo.build("chain") if layer == "conv" else nn.Sequential(nn.Linear(6, 8), nn.ReLU())
    name, axis = ("1.0", 1) if layer == "conv" else ("0", -1)
    given = torch.randn(4, 3, 16, 16) if layer == "conv" else torch.randn(4, 9, 6)
    kept = torch.tensor([0, 3, 5])
    recorder = FeatureRecorder(network, [BlockEnd(name, kept)], only_kept=True)
    everything = FeatureRecorder(network, [BlockEnd(name, kept)], only_kept=False)
    found, whole = recorder([given]), everything([given])
    assert torch.equal(found.features[0], whole.features[0].index_select(axis, kept))
    assert torch.equal(found.outputs[0], network(given))
    everything.take()  # what ran since
    for each in (recorder, everything):
        each.remove()
    assert not any(part._forward_hooks for part in network.modules())


def test_all_tensors_among_the_outputs_are_compared():
    class Many(nn.Module):
        def forward(self, x):
            return {"a": (x, x + 1), "b": [x * 2, "name", None]}

    assert len(FeatureRecorder(Many(), [], only_kept=True)([torch.ones(2)]).outputs) == 3


def task_of(model, pruned, loss_of=None, inputs=(IMAGES,), validation=(IMAGES,)):
    compared = ComparedLayers(["1", "4", "7", "10"], block_ends(model, pruned, normed=True))
    loss_of = loss_of or (lambda wanted, found: feature_loss(wanted.features, found.features))
    student = copy.deepcopy(pruned.module)
    pool = ImagePool(inputs, validation, batch=8, seed=0)
    return DistillationTask(model.source.module, student, compared, loss_of, pool, join())


def test_features_are_those_of_the_paper_by_the_statistics_of_the_batch():
    model = tiny()
    pruned = halved(model)
    assert [end.layer for end in block_ends(model, pruned, normed=True)] == list(ENDS)
    task = task_of(model, pruned)
    with torch.no_grad():
        assert task.error() == pytest.approx(feature_error(model, pruned, IMAGES), rel=1e-4)


@torch.no_grad()
def test_louder_images_have_the_same_features():
    """Statistics are the batch's: the level of an input does not show behind BatchNorm."""
    model = tiny()
    pruned = halved(model)
    soft, loud = (task_of(model, pruned, validation=(k * IMAGES,)).error() for k in (1.0, 30.0))
    assert soft == pytest.approx(loud, rel=1e-3)


def test_training_changes_the_student_alone_and_leaves_no_trace():
    model = tiny()
    pruned = halved(model)
    pruned.module[3].weight.requires_grad_(requires_grad=False)
    flags = {name: p.requires_grad for name, p in pruned.module.named_parameters()}
    buffers = {name: value.clone() for name, value in pruned.module.named_buffers()}
    with unchanged(model.source.module), unchanged(pruned.module):
        task = task_of(model, pruned)
        fit(task, Schedule(steps=5, learning_rate=1e-2), seed=0)
        student = task.finish()
    assert not torch.equal(student[0].weight, pruned.module[0].weight)
    assert is_bare(student)
    assert is_bare(model.source.module)
    assert {name: p.requires_grad for name, p in student.named_parameters()} == flags
    for name, value in student.named_buffers():
        assert torch.equal(value, buffers[name])
    assert all(p.is_contiguous() for p in student.parameters())


def test_images_of_one_sample_are_varied_alike():
    seen = []

    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(1))

        def forward(self, left, right):
            seen.append((left, right))
            return self.weight * left

    task = DistillationTask(
        Pair(), Pair(), ComparedLayers([], []), lambda *_: torch.zeros(()),
        ImagePool((IMAGES, 2 * IMAGES), (IMAGES, IMAGES), batch=8, seed=0), join(),
    )  # fmt: skip
    for step in range(3):
        task.loss(task.module, step)
    assert len(seen) == 6
    assert all(torch.equal(2 * left, right) for left, right in seen)
