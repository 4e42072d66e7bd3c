"""How a network's images are normalised, from what its first BatchNorm stored in training.

A BatchNorm keeps mean and variance of what it read. Images with the statistics of photographs give
nearly the same where they are normalised as in training, and others otherwise: taken for another
usual normalisation, contrast is off by a factor of two to 65,000. So each usual one is tried on
procedural images, and that one is taken whose statistics are near, while every other's are far.

Distances are Bhattacharyya's between the two Gaussians of a channel, averaged over channels. Of
nine trained networks for photographs the right normalisation was at most 0.018 away and the next at
least 0.10; a network for spectra was 0.42 away from the nearest
(``benchmarks/input_normalisation.py``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from edgeprune.artifacts import FLOAT, IMAGENET_MEAN, IMAGENET_STD, InputSpec, SourceModel
from edgeprune.images.procedural import DeadLeaves
from edgeprune.natural_images import normalisation, normalised

if TYPE_CHECKING:
    from collections.abc import Iterator

NEAR = 0.05
"""Distance up to which a normalisation fits."""

CLEARLY = 3.0
"""So many times further away must every other normalisation be."""

FEWEST, MOST, PIXELS = 6, 32, 1 << 19
"""Bounds of the number of images, and how many pixels they have together between them."""


@dataclass(frozen=True, slots=True)
class Usual:
    """A normalisation that networks are trained with; ``natural_images`` spreads it to channels."""

    words: str
    mean: tuple[float, ...]
    std: tuple[float, ...]

    def of(self, spec: InputSpec) -> InputSpec:
        """The inputs, normalised so."""
        return replace(spec, mean=self.mean, std=self.std)


USUAL = (
    Usual("normalised by ImageNet's mean and standard deviation", IMAGENET_MEAN, IMAGENET_STD),
    Usual("pixels from 0 to 1", (0.0,), (1.0,)),
    Usual("pixels from -1 to 1", (0.5,), (0.5,)),
    Usual("pixels from 0 to 255", (0.0,), (1 / 255,)),
    Usual("pixels from 0 to 255 less ImageNet's mean", IMAGENET_MEAN, (1 / 255,) * 3),
)


@dataclass(frozen=True, slots=True)
class Fit:
    """How far what a normalisation gives is from what the first BatchNorm stored.

    Attributes:
        usual: The normalisation.
        distance: Bhattacharyya distance, averaged over channels.
    """

    usual: Usual
    distance: float


def with_normalisation(
    network: nn.Module, spec: InputSpec, *, given: bool, known: bool
) -> tuple[InputSpec, tuple[str, ...]]:
    """The inputs with the normalisation that the network was trained with, where that shows.

    Args:
        network: The network in eval mode; not changed.
        spec: Its inputs, as far as they are known.
        given: Whether the user gave mean or std, which is then kept.
        known: Whether the network, or the file that it came from, says how it is normalised.

    Returns:
        The inputs, and what the user should know: what was taken, that nothing fits, or that
        something else fits than what was given.
    """
    if known or not _one_image(spec):
        return spec, ()
    own = Usual("what was given", spec.mean, spec.std)
    found = fits(network, spec, (*USUAL, own) if given else USUAL)
    usual = tuple(each for each in found if each.usual is not own)
    taken = clear(usual)
    if given:
        return spec, tuple(_doubts(found, own, taken))
    if taken is None:
        return spec, (_unknown(usual),)
    spread = normalisation(taken.usual.of(spec), spec.shapes[0][1])
    mean, std = (tuple(each.tolist()) for each in spread)
    note = (
        f"images are taken to be {taken.usual.words}: what the first BatchNorm stored fits that "
        f"(distance {taken.distance:.2g}), and nothing else; --mean and --std change it"
    )
    return replace(spec, mean=mean, std=std), (note,)


def fits(
    network: nn.Module, spec: InputSpec, candidates: tuple[Usual, ...] = USUAL
) -> tuple[Fit, ...]:
    """How well each normalisation fits what the first BatchNorm stored, the nearest first.

    Args:
        network: The network in eval mode; not changed.
        spec: Its inputs, of which the first is an image, (1, C, H, W).
        candidates: The normalisations.

    Returns:
        Nothing where no BatchNorm with statistics runs.
    """
    found = _found(network, spec, candidates)
    return tuple(sorted(found, key=lambda each: each.distance))


def clear(found: tuple[Fit, ...]) -> Fit | None:
    """The fit that is near while all others are far; None where there is none."""
    if not found or found[0].distance > NEAR:
        return None
    best, *others = found
    far = all(each.distance > CLEARLY * best.distance for each in others)
    return best if far else None


def _doubts(found: tuple[Fit, ...], own: Usual, taken: Fit | None) -> Iterator[str]:
    """What speaks against the normalisation that the user gave."""
    distance = next((each.distance for each in found if each.usual is own), 0.0)
    if taken is not None and distance > max(NEAR, CLEARLY * taken.distance):
        yield (
            f"--mean and --std may be wrong: what the first BatchNorm stored fits "
            f"{taken.usual.words} (distance {taken.distance:.2g}), and not them ({distance:.2g})"
        )


def _unknown(found: tuple[Fit, ...]) -> str:
    assumed = f"images are taken to be {USUAL[0].words}"
    if not found:
        return f"{assumed}; nothing in the network tells: pass --mean and --std if they are not"
    return (
        f"{assumed}, but what the first BatchNorm stored fits no usual normalisation (the nearest: "
        f"{found[0].usual.words}, distance {found[0].distance:.2g}): pass --mean and --std"
    )


def _one_image(spec: InputSpec) -> bool:
    (shape, dtype), *others = spec.typed_shapes
    return not others and dtype == FLOAT and len(shape) == 4 and shape[1] in (1, 3)


def _found(network: nn.Module, spec: InputSpec, candidates: tuple[Usual, ...]) -> Iterator[Fit]:
    """Each normalisation with its distance from what the first BatchNorm stored."""
    height, width = spec.shapes[0][2:]
    plain = Usual("", (0.0,), (1.0,)).of(spec)
    count = min(MOST, max(FEWEST, PIXELS // (height * width)))
    device = next((each.device for each in network.parameters()), torch.device("cpu"))
    (pixels,) = DeadLeaves()(SourceModel(network, plain, "", ""), count, seed=0)
    for usual in candidates:
        images = normalised(pixels, usual.of(spec)).to(device)
        if (distance := _distance(network, images)) is not None:
            yield Fit(usual, distance)


def _distance(network: nn.Module, images: Tensor) -> float | None:
    """Bhattacharyya distance at the first BatchNorm that runs; None where none does."""
    read = _first_read(network, images)
    if read is None or read[1].dim() < 3:
        return None
    norm, features = read
    assert norm.running_mean is not None
    assert norm.running_var is not None
    values = features.double().transpose(0, 1).flatten(1)
    mean, variance = values.mean(1), values.var(1) + norm.eps
    stored = norm.running_mean.to(mean), norm.running_var.to(mean) + norm.eps
    apart = (mean - stored[0]).square() / (variance + stored[1]) / 4
    wider = ((variance + stored[1]).square() / (4 * variance * stored[1])).log() / 4
    return float((apart + wider).mean())


def _first_read(network: nn.Module, images: Tensor) -> tuple[_BatchNorm, Tensor] | None:
    """The BatchNorm that runs first, and what it reads; nothing behind it runs."""
    norms = [
        m for m in network.modules() if isinstance(m, _BatchNorm) and m.running_var is not None
    ]

    def stop(norm: _BatchNorm, inputs: tuple[Tensor, ...]) -> None:
        raise _FirstNorm(norm, inputs[0])

    hooks = [norm.register_forward_pre_hook(stop) for norm in norms]
    try:
        if norms:
            with torch.no_grad():
                network(images)
    except _FirstNorm as reached:
        return reached.norm, reached.read
    except Exception:
        return None  # what it does with images of another size is its own matter
    finally:
        for hook in hooks:
            hook.remove()
    return None


class _FirstNorm(Exception):
    """The first BatchNorm has been reached."""

    def __init__(self, norm: _BatchNorm, read: Tensor) -> None:
        super().__init__()
        self.norm, self.read = norm, read
