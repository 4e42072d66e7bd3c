"""How images are normalised, told by BatchNorm statistics that other images left there."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from invocation import edgeprune
from torch import Tensor, nn

import edgeprune as ep
from edgeprune.artifacts import IMAGENET_MEAN, IMAGENET_STD, InputSpec, SourceModel
from edgeprune.images.procedural import PinkNoise
from edgeprune.loading.input_normalisation import clear, fits

SHAPE = (1, 3, 48, 48)
TRAINED_WITH = {
    "ImageNet's": (IMAGENET_MEAN, IMAGENET_STD),
    "0 to 1": ((0.0,) * 3, (1.0,) * 3),
    "-1 to 1": ((0.5,) * 3, (0.5,) * 3),
    "0 to 255": ((0.0,) * 3, (1 / 255,) * 3),
    "0 to 255 less ImageNet's mean": (IMAGENET_MEAN, (1 / 255,) * 3),
}


def network(images: Tensor, *behind: nn.Module) -> nn.Module:
    """A network that has seen these images and no others; half of its filters see edges."""
    torch.manual_seed(0)
    first = nn.Conv2d(images.shape[1], 32, 3, padding=1, bias=False)
    with torch.no_grad():
        first.weight[:16] -= first.weight[:16].mean((1, 2, 3), keepdim=True)
    built = nn.Sequential(first, nn.BatchNorm2d(32, momentum=None), nn.ReLU(), *behind)
    with torch.no_grad():
        built.train()(images)
    return built.eval()


def photographs(mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """Noise with the spectrum of photographs, made by another model of images than is tried."""
    spec = InputSpec((SHAPE,), mean, std)
    (images,) = PinkNoise()(SourceModel(nn.Identity(), spec, "", ""), 64, 1)
    return images


@pytest.mark.parametrize("words", TRAINED_WITH)
def test_the_normalisation_of_training_is_found(words: str) -> None:
    mean, std = TRAINED_WITH[words]
    taken = ep.wrap(network(photographs(mean, std)), SHAPE)
    assert (taken.input.mean, taken.input.std) == (mean, std)
    assert words in taken.notes[0]


def test_it_is_found_where_the_shape_must_be_the_given_one() -> None:
    images = photographs(*TRAINED_WITH["0 to 1"])
    taken = ep.wrap(network(images, nn.Flatten(), nn.Linear(32 * 48 * 48, 4)), SHAPE)
    assert taken.input.mean == (0.0,) * 3


def test_what_is_no_photograph_fits_none_and_that_is_said() -> None:
    spectra = torch.randn(64, 1, 49, 10).cumsum(3) * 30 - 60
    seen = network(spectra)
    taken = ep.wrap(seen, (1, 1, 49, 10))
    assert clear(fits(seen, taken.input)) is None
    assert "fits no usual normalisation" in taken.notes[0]
    assert taken.input.mean == pytest.approx((0.449,))


def test_a_network_that_tells_nothing_says_so() -> None:
    taken = ep.wrap(nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU()), SHAPE)
    assert "nothing in the network tells: pass --mean and --std" in taken.notes[0]
    assert taken.input.mean == IMAGENET_MEAN


def test_what_the_user_gives_is_kept_and_doubted_only_where_it_does_not_fit() -> None:
    seen = network(photographs(*TRAINED_WITH["0 to 1"]))
    right = ep.wrap(seen, SHAPE, mean=(0.0,) * 3, std=(1.0,) * 3)
    assert right.notes == ()
    wrong = ep.wrap(seen, SHAPE, mean=IMAGENET_MEAN, std=IMAGENET_STD)
    assert wrong.input.mean == IMAGENET_MEAN
    assert "--mean and --std may be wrong" in wrong.notes[0]
    assert "pixels from 0 to 1" in wrong.notes[0]


def test_what_the_network_says_of_itself_counts() -> None:
    seen = network(photographs(*TRAINED_WITH["0 to 1"]))
    seen.default_cfg = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    taken = ep.wrap(seen, SHAPE)
    assert (taken.input.mean, taken.notes) == ((0.5,) * 3, ())


@pytest.mark.parametrize(
    "spec",
    [
        InputSpec(((1, 3, 8, 8), (1, 3, 8, 8))),
        InputSpec(((1, 3, 8, 8),), dtypes=("uint8",)),
        InputSpec(((1, 16),)),
    ],
)
def test_inputs_that_are_no_single_image_have_none(spec: InputSpec) -> None:
    from edgeprune.loading.input_normalisation import with_normalisation

    found, notes = with_normalisation(nn.Identity(), spec, given=False, known=False)
    assert (found, notes) == (replace(spec), ())


def test_the_network_is_left_as_it_was() -> None:
    seen = network(photographs(*TRAINED_WITH["0 to 1"]))
    before = {name: each.clone() for name, each in seen.state_dict().items()}
    fits(seen, InputSpec((SHAPE,)))
    assert all(torch.equal(each, before[name]) for name, each in seen.state_dict().items())
    assert not any(module._forward_pre_hooks for module in seen.modules())


def test_the_command_says_what_it_took(tmp_path) -> None:  # type: ignore[no-untyped-def]
    torch.save(network(photographs(*TRAINED_WITH["0 to 255"])), tmp_path / "net.pt")
    ran = edgeprune("inspect", tmp_path / "net.pt", "--input", "1x3x48x48")
    assert ran.code == 0
    assert "images are taken to be pixels from 0 to 255" in ran.err
