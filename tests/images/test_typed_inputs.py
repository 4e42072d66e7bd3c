"""Bytes and indices among the inputs: they are no images, and keep their type on every way."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from torch import Tensor, nn

from edgeprune.artifacts import ImageKind, InputSpec, SourceModel
from edgeprune.errors import UsageError
from edgeprune.images.image_sets import FILE, ImageSet, load, save
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.generator import Generated
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.loading import wrap
from edgeprune.pipeline.compress import survey
from edgeprune.pruning import Macs, prune_to_budget
from edgeprune.random_inputs import random_inputs
from edgeprune.recovery import recover
from edgeprune.recovery.auto import Auto

if TYPE_CHECKING:
    from pathlib import Path

BYTES, PICTURE = torch.zeros(1, 8, 8, 3, dtype=torch.uint8), torch.zeros(1, 3, 12, 12)
SYNTHESES = [
    Generated(steps=2, width=16, batch=4),
    Inversion(steps=2, batch=4, coarse=0),
    Inversion(steps=2, batch=4, coarse=4, smooth=True),
]


class Frames(nn.Module):
    """Takes bytes, channels last, and an image beside them if it is asked to."""

    def __init__(self, *, pictures: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = zoo.conv_bn(3, 16, stride=2), nn.Conv2d(16, 4, 1)
        self.c = zoo.conv_bn(3, 8, stride=2) if pictures else None

    def forward(self, frame: Tensor, picture: Tensor | None = None) -> tuple[Tensor, ...]:
        if frame.dtype != torch.uint8:
            raise TypeError("give me bytes")
        out = self.b(self.a(frame.permute(0, 3, 1, 2).float() / 255))
        return (out,) if self.c is None else (out, self.c(picture))


@pytest.fixture(scope="module")
def frames() -> SourceModel:
    return wrap(Frames(), BYTES)


@pytest.fixture(scope="module")
def both() -> SourceModel:
    return wrap(Frames(pictures=True), [BYTES, PICTURE])


def test_a_network_of_bytes_is_recovered_on_bytes(frames: SourceModel) -> None:
    traced, costs = survey(frames)
    pruned = prune_to_budget(traced, costs, Macs(0.5))[1]
    done = recover(traced, pruned, [Auto(DeadLeaves(), images=16, steps=2)])
    (step,) = done.recovered_by
    (chosen, *_) = step.notes
    assert {"none", "analytic", "reconstruct"} <= set(chosen.values["errors"])
    assert step.quality is not None
    assert done.module(BYTES)[0].shape == (1, 4, 4, 4)


def test_noise_that_bytes_are_scored_against_is_bytes(frames: SourceModel) -> None:
    scored = quality(frames, random_inputs(frames.input, batch=6, seed=3), seed=3)
    assert scored.statistics_shift == scored.noise_shift > 0


@pytest.mark.parametrize("source", SYNTHESES, ids=["generator", "inversion", "smooth"])
def test_bytes_are_no_images_to_synthesize(
    source: Generated | Inversion, frames: SourceModel, both: SourceModel
) -> None:
    with pytest.raises(UsageError, match="takes 1x8x8x3:uint8: there are no images"):
        source(frames, 4, 0)
    bytes_, pictures = source(both, 6, 0)
    assert (bytes_.dtype, bytes_.shape) == (torch.uint8, (6, 8, 8, 3))
    assert len(bytes_.unique()) > 100
    assert (pictures.dtype, pictures.shape) == (torch.float32, (6, 3, 12, 12))


def test_a_set_keeps_the_types_of_its_inputs(tmp_path: Path) -> None:
    spec = InputSpec(((1, 8, 8, 3), (1, 5), (1, 3, 8, 8)), dtypes=("uint8", "int64", "float32"))
    about = ImageSet("", ImageKind.PROCEDURAL, 0, "", spec.mean, spec.std)
    inputs = DeadLeaves()(SourceModel(nn.Identity(), spec, "n", ""), 3, 0)
    save(inputs, about, tmp_path / FILE)
    found = load(tmp_path / FILE, spec).images
    assert [each.dtype for each in found] == [torch.uint8, torch.int64, torch.float32]
    assert all(torch.equal(*pair) for pair in zip(found, inputs, strict=True))
    floats = replace(spec, dtypes=())
    with pytest.raises(UsageError, match=r"of 8x8x3:uint8, 5:int64, 3x8x8, the .* 8x8x3, 5, 3x8x8"):
        load(tmp_path / FILE, floats)
