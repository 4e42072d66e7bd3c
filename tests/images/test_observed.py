"""Images on their way to a method are judged, kept if imagined, and take no longer than allowed."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from synthesized import original
from torch import Tensor
from traced_zoo import source_of

from edgeprune.artifacts import ImageKind
from edgeprune.images import image_sets
from edgeprune.images.given import Given
from edgeprune.images.observed import ObservedSource
from edgeprune.images.procedural import DeadLeaves, PinkNoise
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.generator import Generated
from edgeprune.images.synthesis.inversion import Inversion
from edgeprune.images.time_limit import TRIED, within_time

if TYPE_CHECKING:
    from pathlib import Path

    from edgeprune.artifacts import Progress, SourceModel
    from edgeprune.images.source import ImageSource

MODEL, IMAGES = original("chain")
QUICK = Inversion(steps=4, batch=8)


def images(source: ImageSource, count: int = 12) -> tuple[Tensor, ...]:
    return source(MODEL, count, 3)


@pytest.mark.parametrize("source", [DeadLeaves(), QUICK, Given((IMAGES,), "of mine")])
def test_a_source_that_is_watched_is_the_same_source(source: ImageSource, tmp_path: Path) -> None:
    kept = ObservedSource(source, tmp_path, "reconstruct")
    assert (kept.origin, kept.kind, repr(kept)) == (source.origin, source.kind, repr(source))
    assert torch.equal(*(images(each)[0] for each in (kept, source)))


def test_only_what_was_imagined_is_kept_and_no_set_takes_the_place_of_another(
    tmp_path: Path,
) -> None:
    for source in (DeadLeaves(), Given((IMAGES,)), Given((IMAGES,), kind=ImageKind.SYNTHESIZED)):
        images(ObservedSource(source, tmp_path, "auto"))
    images(ObservedSource(QUICK, None, "auto"))
    assert list(tmp_path.iterdir()) == []
    sets = [images(ObservedSource(QUICK, tmp_path, name), n)[0] for n, name in enumerate("aabb", 9)]
    files = ["images", "images-a", "images-b", "images-b-2"]
    for file, inputs in zip(files, sets, strict=True):
        found, about = image_sets.read(tmp_path / f"{file}.safetensors")
        assert torch.equal(found[0], inputs)
        assert about.kind is ImageKind.SYNTHESIZED
        assert about.model_sha256 == MODEL.sha256
        assert (tmp_path / f"{file}.png").is_file()
    assert len(list(tmp_path.iterdir())) == 2 * len(files)


@pytest.mark.parametrize("source", [DeadLeaves(), QUICK])
def test_quality_is_that_of_the_images(source: ImageSource) -> None:
    kept = ObservedSource(source, None, "auto")
    inputs = images(kept)
    wanted = quality(MODEL, inputs, 3)
    assert kept.quality == replace(wanted, kind=source.kind)


def test_real_images_and_networks_without_statistics_have_no_quality() -> None:
    kept = ObservedSource(Given((IMAGES,)), None, "auto")
    images(kept)
    assert kept.quality is None
    kept = ObservedSource(DeadLeaves(), None, "auto")
    assert kept(source_of(zoo.build("no-norm")), 4, 0)
    assert kept.quality is None


@pytest.mark.parametrize("source", [Inversion(steps=30, batch=16), Generated(steps=10, batch=16)])
def test_imagining_keeps_to_its_time(source: Inversion | Generated) -> None:
    images(replace(source, steps=1))  # what is imported or compiled the first time is not to count
    began = time.perf_counter()
    (some,) = replace(source, seconds=1.5)(MODEL, 4096, 3)
    assert time.perf_counter() - began < 3
    assert 16 <= len(some) < 4096
    assert some.isfinite().all()
    assert repr(replace(source, seconds=1.5)) == repr(source)


def test_one_batch_is_made_if_there_is_no_time() -> None:
    (some,) = replace(QUICK, seconds=0.0)(MODEL, 64, 3)
    assert len(some) == 8
    (some,) = ObservedSource(DeadLeaves(), None, "auto", 0.0)(MODEL, 500, 3)
    assert len(some) == TRIED


@dataclass(frozen=True)
class Slow:
    """A user's source, which takes a millisecond an image."""

    origin: str = "slow"
    kind: ImageKind = ImageKind.PROCEDURAL

    def __call__(
        self, original: SourceModel, count: int, seed: int, progress: Progress | None = None
    ) -> tuple[Tensor, ...]:
        time.sleep(1e-3 * count)
        return PinkNoise()(original, count, seed)


def test_a_source_that_cannot_hurry_is_asked_for_fewer() -> None:
    began = time.perf_counter()
    (some,) = within_time(Slow(), MODEL, 10_000, 3, 0.5)
    assert time.perf_counter() - began < 1
    assert TRIED < len(some) <= 500
    assert torch.equal(some, Slow()(MODEL, len(some), 3)[0])
    assert len(within_time(Slow(), MODEL, 70, 3, 5.0)[0]) == 70
