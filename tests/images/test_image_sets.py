"""Sets of images in files: the very same images come back, or an error that says why not."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn

from edgeprune.artifacts import ImageKind, InputSpec, SourceModel
from edgeprune.errors import UsageError
from edgeprune.images.image_sets import FILE, ImageSet, contact_sheet, load, read, save

if TYPE_CHECKING:
    from pathlib import Path

SPEC = InputSpec(((1, 3, 8, 6), (1, 4)))
MODEL = SourceModel(nn.Identity(), SPEC, "network", "ab" * 32)
ABOUT = ImageSet(
    "(procedural, dead leaves)",
    ImageKind.PROCEDURAL,
    7,
    MODEL.sha256,
    SPEC.mean,
    SPEC.std,
    {"inversion": "Inversion(steps=3)"},
)


def inputs(count: int = 5) -> tuple[torch.Tensor, ...]:
    draw = torch.Generator().manual_seed(0)
    return tuple(torch.randn(count, *shape[1:], generator=draw) for shape in SPEC.shapes)


def test_the_same_images_come_back(tmp_path: Path) -> None:
    file = tmp_path / "below" / FILE
    save(inputs(), ABOUT, file)
    found, about = read(file)
    assert all(torch.equal(*pair) for pair in zip(found, inputs(), strict=True))
    assert about == ABOUT
    given = load(file, SPEC)
    assert (given.origin, given.kind) == ("(procedural, dead leaves)", ImageKind.PROCEDURAL)
    assert torch.equal(given(MODEL, 2, 0)[0], inputs()[0][:2])
    assert [each.name for each in file.parent.iterdir()] == [FILE]


def test_a_set_replaces_the_one_before(tmp_path: Path) -> None:
    for seed in (1, 2):
        save(inputs(), replace(ABOUT, seed=seed), tmp_path / FILE)
    assert read(tmp_path / FILE)[1].seed == 2


def test_views_of_larger_tensors_are_saved_alone(tmp_path: Path) -> None:
    whole = torch.randn(4, 8, 6, 3)
    save((whole.permute(0, 3, 1, 2), torch.zeros(4, 4)), ABOUT, tmp_path / FILE)
    assert torch.equal(read(tmp_path / FILE)[0][0], whole.permute(0, 3, 1, 2))


@pytest.mark.parametrize(
    ("flags", "kind"),
    [
        ({"drawn": True, "imagined": True}, ImageKind.SYNTHESIZED),
        ({"drawn": True, "imagined": False}, ImageKind.PROCEDURAL),
        ({"drawn": True}, ImageKind.PROCEDURAL),
        ({"drawn": False, "imagined": False}, ImageKind.REAL),
    ],
    ids=["synthesized", "procedural", "before-synthesis", "real"],
)
def test_sets_from_before_there_were_kinds_are_read(
    flags: dict[str, bool], kind: ImageKind, tmp_path: Path
) -> None:
    about = {
        "origin": "imagined by the original in 100 steps",
        "seed": 7,
        "model_sha256": MODEL.sha256,
        "mean": [0.485, 0.456, 0.406],
        "std": [0.229, 0.224, 0.225],
        "settings": {"source": "Inversion()"},
    }
    header = {"format": "edgeprune images 1", "about": json.dumps(about | flags)}
    tensors = {f"input{place}": each for place, each in enumerate(inputs())}
    save_file(tensors, tmp_path / FILE, metadata=header)
    found, facts = read(tmp_path / FILE)
    assert all(torch.equal(*pair) for pair in zip(found, inputs(), strict=True))
    assert (facts.origin, facts.kind, facts.seed) == (about["origin"], kind, 7)
    assert load(tmp_path / FILE, SPEC).kind is kind


def test_a_set_of_no_known_kind_is_refused(tmp_path: Path) -> None:
    about = {"origin": "?", "seed": 7, "model_sha256": "", "mean": [], "std": []}
    header = {"format": "edgeprune images 1", "about": json.dumps(about)}
    save_file({"input0": torch.zeros(1, 3, 8, 6)}, tmp_path / FILE, metadata=header)
    with pytest.raises(UsageError, match="no set of images"):
        read(tmp_path / FILE)


@pytest.mark.parametrize("content", [b"", b"no archive", None], ids=["empty", "text", "weights"])
def test_other_files_are_refused(content: bytes | None, tmp_path: Path) -> None:
    if content is None:
        save_file({"weight": torch.zeros(3)}, tmp_path / FILE)
    else:
        (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UsageError, match="no set of images"):
        load(tmp_path / FILE, SPEC)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"absent\.safetensors"):
        load(tmp_path / "absent.safetensors", SPEC)


def test_images_for_another_input_are_refused(tmp_path: Path) -> None:
    save(inputs(), ABOUT, tmp_path / FILE)
    with pytest.raises(UsageError, match=r"holds images of 3x8x6, 4, the network takes 3x8x8$"):
        load(tmp_path / FILE, InputSpec(((1, 3, 8, 8),)))


def test_images_normalised_otherwise_are_refused(tmp_path: Path) -> None:
    save(inputs(), ABOUT, tmp_path / FILE)
    with pytest.raises(UsageError, match="normalised with mean"):
        load(tmp_path / FILE, replace(SPEC, mean=(0.5, 0.5, 0.5)))


@pytest.mark.parametrize("count", [1, 5, 64, 100])
@pytest.mark.parametrize("channels", [1, 2, 3, 5])
def test_a_sheet_shows_up_to_64_images(channels: int, count: int, tmp_path: Path) -> None:
    spec = InputSpec(((1, channels, 8, 6),), (0.5,) * channels, (0.25,) * channels)
    contact_sheet(torch.randn(count, channels, 8, 6), spec, tmp_path / "sheet.png")
    shown = min(count, 64)
    across = {1: 1, 5: 2, 64: 8}[shown]
    wide = 6 if channels == 3 else 6 * channels
    # torchvision frames every image, but not a single one
    frame, border = (2, 2) if shown > 1 else (0, 0)
    size = (across * (wide + frame) + border, -(-shown // across) * (8 + frame) + border)
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.size == size


def test_a_sheet_shows_pixels_as_they_were(tmp_path: Path) -> None:
    pixels = torch.rand(1, 3, 8, 6, generator=torch.Generator().manual_seed(1))
    mean, std = (torch.tensor(each)[:, None, None] for each in (SPEC.mean, SPEC.std))
    contact_sheet((pixels - mean) / std, SPEC, tmp_path / "sheet.png")
    with Image.open(tmp_path / "sheet.png") as sheet:
        shown = np.asarray(sheet, dtype=float) / 255
    np.testing.assert_allclose(shown, pixels[0].permute(1, 2, 0), atol=0.003)
