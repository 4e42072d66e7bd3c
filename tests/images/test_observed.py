"""Images on their way to a method are scored, and saved if synthesized."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from synthesized import original
from traced_zoo import source_of

from edgeprune.artifacts import ImageKind
from edgeprune.images import image_sets
from edgeprune.images.given import Given
from edgeprune.images.observed import ObservedSource
from edgeprune.images.procedural import DeadLeaves
from edgeprune.images.quality import quality
from edgeprune.images.synthesis.inversion import Inversion

if TYPE_CHECKING:
    from pathlib import Path

    from torch import Tensor

    from edgeprune.images.source import ImageSource

MODEL, IMAGES = original("chain")
QUICK = Inversion(steps=4, batch=8)


def images(source: ImageSource, count: int = 12) -> tuple[Tensor, ...]:
    return source(MODEL, count, 3)


@pytest.mark.parametrize("source", [DeadLeaves(), QUICK, Given((IMAGES,), "of mine")])
def test_an_observed_source_is_the_same_source(source: ImageSource, tmp_path: Path) -> None:
    observed = ObservedSource(source, tmp_path, "reconstruct")
    assert (observed.origin, observed.kind, repr(observed)) == (
        source.origin,
        source.kind,
        repr(source),
    )
    assert torch.equal(*(images(each)[0] for each in (observed, source)))


def test_only_synthesized_sets_are_saved_and_no_set_replaces_another(
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
    observed = ObservedSource(source, None, "auto")
    inputs = images(observed)
    wanted = quality(MODEL, inputs, 3)
    assert observed.quality == replace(wanted, kind=source.kind)


def test_real_images_and_networks_without_statistics_have_no_quality() -> None:
    observed = ObservedSource(Given((IMAGES,)), None, "auto")
    images(observed)
    assert observed.quality is None
    observed = ObservedSource(DeadLeaves(), None, "auto")
    assert observed(source_of(zoo.build("no-norm")), 4, 0)
    assert observed.quality is None
