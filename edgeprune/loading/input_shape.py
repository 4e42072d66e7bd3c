"""Input shapes of a network: from the user, from the network itself, or found by trying.

The first of these counts: the shapes given; ``example_input_array`` (Lightning);
``pretrained_cfg`` or ``default_cfg`` (timm); torchvision's own image size for its classifiers; the
only usual size that passes, for networks that flatten into a linear layer. One forward pass checks
the result.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from edgeprune import units
from edgeprune.artifacts import FLOAT, IMAGENET_MEAN, IMAGENET_STD, InputSpec
from edgeprune.deep_stack import with_room
from edgeprune.errors import EdgepruneError, UsageError, failing_as, first_line
from edgeprune.loading.given_inputs import Shape, check_batch, example_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator

SIZES = (8, 16, 28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 227, 240, 256, 288, 299, 320, 384, 512)
LENGTHS = (4, 8, 16, 32, 64, 100, 128, 187, 200, 250, 256, 500, 512, 1000, 1024, 2048, 4096, 16000)
GRAY_MEAN, GRAY_STD = 0.449, 0.226  # ImageNet's, averaged over its channels
TORCHVISION_SIZES = {"torchvision.models.inception": 299}  # all others: 224
TORCHVISION_SHAPES = {  # as its presets resize
    "torchvision.models.segmentation.": (1, 3, 520, 520),
    "torchvision.models.video.resnet": (1, 3, 16, 112, 112),
    "torchvision.models.video.s3d": (1, 3, 128, 224, 224),
    "torchvision.models.video.": (1, 3, 16, 224, 224),
}
AXES = {nn.Conv1d: "L", nn.Conv2d: "HxW", nn.Conv3d: "DxHxW"}


@with_room
def input_spec(network: nn.Module, given: InputSpec) -> InputSpec:
    """Find the inputs of a network, and check them with a forward pass.

    Args:
        network: Network in eval mode.
        given: What is known: shapes with batch 1, their types, mean and standard deviation. What
            is empty is inferred: shapes from the network, mean and standard deviation from it or
            as ImageNet's.

    Returns:
        Shapes, mean and standard deviation of the inputs.

    Raises:
        UsageError: The shape is needed, or the network does not take it.
    """
    for shape in given.shapes:
        check_batch(shape)
    inferred = not given.shapes
    shapes = given.shapes or _own_shapes(network) or _only_usual_size(network)
    dtypes = given.dtypes if set(given.dtypes) - {FLOAT} else ()
    taken = replace(given, shapes=shapes, dtypes=dtypes)
    if error := _failure(network, taken, inferred=inferred):
        asked = " and ".join(taken.texts)
        hint = "" if taken.dtypes else _other_types(network, taken)
        raise UsageError(f"the network does not take an input of {asked}: {error}{hint}")
    channels = shapes[0][1] if len(shapes[0]) > 2 else 1
    own = configuration(network)
    mean = _per_channel("mean", given.mean or own.get("mean"), IMAGENET_MEAN, GRAY_MEAN, channels)
    std = _per_channel("std", given.std or own.get("std"), IMAGENET_STD, GRAY_STD, channels)
    return replace(taken, mean=mean, std=std)


def _other_types(network: nn.Module, taken: InputSpec) -> str:
    """A hint at a type that the network takes, if float32 is what it does not."""
    for dtype in ("uint8", "int64", "bool"):
        spec = replace(taken, dtypes=(dtype,) * len(taken.shapes))
        if _failure(network, spec) is None:
            return f"; it takes {dtype}: pass " + " ".join(f"--input {text}" for text in spec.texts)
    return ""


def _own_shapes(network: nn.Module) -> tuple[Shape, ...]:
    example = getattr(network, "example_input_array", None)
    if isinstance(example, Tensor) or (
        isinstance(example, tuple | list) and all(isinstance(item, Tensor) for item in example)
    ):
        return example_inputs(example).shapes
    size = configuration(network).get("input_size")
    if isinstance(size, tuple | list) and len(size) == 3:
        return ((1, *(int(length) for length in size)),)
    home = type(network).__module__
    for family, shape in TORCHVISION_SHAPES.items():
        if home.startswith(family):
            return (shape,)
    if home.startswith("torchvision.models.") and home.count(".") == 2:
        first = _first_layer(network)
        side = getattr(network, "image_size", TORCHVISION_SIZES.get(home, 224))
        return ((1, 3 if first is None else _channels(first), int(side), int(side)),)
    return ()


def configuration(network: nn.Module) -> Mapping[str, object]:
    """Configuration of images that timm's networks carry; empty for others."""
    for name in ("pretrained_cfg", "default_cfg"):
        configuration = getattr(network, name, None)
        if isinstance(configuration, Mapping):
            return configuration
    return {}


def _only_usual_size(network: nn.Module) -> tuple[Shape, ...]:
    first = _first_layer(network)
    passed: list[Shape] = []
    for shape in _usual_shapes(first):
        if _failure(network, InputSpec((shape,))) is None:
            passed.append(shape)
        if len(passed) > 1:
            break
    if len(passed) == 1:
        return (passed[0],)
    example = "1x3xHxW" if first is None else _pattern(first)
    raise UsageError(f"cannot tell what the network takes: pass --input {example}")


def _usual_shapes(first: nn.Module | None) -> Iterator[Shape]:
    if isinstance(first, nn.Linear):
        yield (1, first.in_features)
    elif isinstance(first, nn.Conv1d):
        yield from ((1, first.in_channels, length) for length in LENGTHS)
    elif isinstance(first, nn.Conv2d):
        yield from ((1, first.in_channels, size, size) for size in SIZES)


def _first_layer(network: nn.Module) -> nn.Module | None:
    return next((m for m in network.modules() if isinstance(m, (*AXES, nn.Linear))), None)


def _channels(layer: nn.Module) -> int:
    return int(layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels)  # type: ignore[arg-type]


def _pattern(layer: nn.Module) -> str:
    axes = next((f"x{axes}" for kind, axes in AXES.items() if isinstance(layer, kind)), "")
    what = (
        "the length of your signals" if isinstance(layer, nn.Conv1d) else "the size of your images"
    )
    return f"1x{_channels(layer)}{axes} with {what}" if axes else "1xFEATURES"


def _failure(network: nn.Module, spec: InputSpec, *, inferred: bool = False) -> str | None:
    """First line of the error for inputs of these shapes and types; None if they pass.

    Too much memory is said with the way out: an input that is given may take more than one that
    is ``inferred``.
    """
    some = next(network.parameters(), None)
    device = some.device if some is not None else torch.device("cpu")
    try:
        with torch.no_grad(), failing_as(_DoesNotRun):
            network(
                *(
                    torch.zeros(shape, device=device, dtype=getattr(torch, dtype))
                    for shape, dtype in spec.typed_shapes
                )
            )
    except (_DoesNotRun, EdgepruneError) as error:
        said = first_line(error)
        asked = re.search(r"you tried to allocate (\d+) bytes", said)
        if asked:
            much = f"it would take {units.size(int(asked[1]))} at once, too much for what it is"
            flags = " ".join(f"--input {text}" for text in spec.texts)
            meant = f"if it is meant to take that, pass {flags}: what is given may take more"
            return f"{much}; {meant if inferred else 'pass a smaller --input'}"
        return said
    return None


class _DoesNotRun(Exception):
    """The network's forward failed."""


def _per_channel(
    what: str, given: object, imagenet: tuple[float, ...], gray: float, channels: int
) -> tuple[float, ...]:
    if not isinstance(given, tuple | list):
        return imagenet if channels == len(imagenet) else (gray,) * channels
    values = tuple(float(value) for value in given)
    if len(values) not in (1, channels):
        raise UsageError(f"--{what} has {len(values)} values, but the input {channels} channels")
    return values if len(values) == channels else values * channels
