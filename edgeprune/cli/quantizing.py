"""The flags of 8-bit integers that commands share, and the settings they stand for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import click

from edgeprune import choice_names
from edgeprune.cli.named import Named
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.export import Quantize
    from edgeprune.export.store_weights import StoreWeights

PRECISION = (
    click.option("--precision", default="fp32", show_default=True,
                 type=click.Choice(("fp32", "fp16", "int8", "int4", "auto")),
                 help="Of the deliverable. int8: 8-bit integers, unless they were measured and are "
                      "not faster; auto: where they are faster and true to the float file. fp16, "
                      "int4: weights alone, for a smaller file that is no faster."),
)  # fmt: skip

EXPORT_PRECISION = (
    click.option("--precision", default="fp32", show_default=True,
                 type=click.Choice(("fp32", "fp16", "int8", "int4")),
                 help="int8: 8-bit integers; fp16, int4: of weights alone, for a smaller file."),
)  # fmt: skip

QUANTIZATION = (
    click.option("--activations", default="auto", show_default=True,
                 type=click.Choice(("auto", "u8", "s8")),
                 help="8-bit codes of activations: u8 for x86, s8 for ARM; auto: by the "
                      "processor of --device, without one by this machine's."),
    click.option("--ranges", default="min-max", show_default=True, metavar="NAME",
                 type=Named("range observer", choice_names.RANGE_OBSERVERS),
                 help=f"How ranges follow from values: {', '.join(choice_names.RANGE_OBSERVERS)}; "
                      "no wider than BatchNorms say that values reach."),
    click.option("--rounding", default="outputs", show_default=True, metavar="NAME",
                 type=Named("weight rounding", choice_names.WEIGHT_ROUNDINGS),
                 help="How weights become codes: outputs: to that of both neighbours which keeps "
                      "the layer's outputs, where that is truer on held-out images; nearest."),
    click.option("--image-free", is_flag=True,
                 help="Take ranges from BatchNorm statistics alone, without any image."),
    click.option("--input-range", multiple=True, metavar="LOW:HIGH",
                 help="Values of the network's input, in its own units; repeat for several inputs. "
                      "[default: pixels', where it plainly takes pixels; else the first layer "
                      "stays float]"),
    click.option("--keep-float", multiple=True, metavar="GLOB",
                 help="Layers or nodes of the ONNX file that stay float in int8; repeat."),
)  # fmt: skip


def quantize(given: Mapping[str, Any]) -> Quantize:
    """How to quantize."""
    from edgeprune.calibration.observers import OBSERVERS
    from edgeprune.export import Quantize
    from edgeprune.export.roundings import ROUNDINGS

    return Quantize(
        activations=given["activations"],
        ranges=OBSERVERS[given["ranges"]](),
        weight_rounding=ROUNDINGS[given["rounding"]](),
        image_free=given["image_free"],
        keep_float=tuple(given["keep_float"]),
        input_range=tuple(map(value_range, given["input_range"])),
    )


def writer(given: Mapping[str, Any]) -> Quantize | StoreWeights:
    """What writes a file of the precision asked for, which is not fp32."""
    from edgeprune.export.store_weights import StoreWeights

    plain = quantize(given)
    if given["precision"] == "int8":
        return plain
    return StoreWeights(given["precision"], weight_rounding=plain.weight_rounding)


def four_bit_target(target: Any) -> Any:
    """The target at an opset that has 4-bit integers."""
    from edgeprune.export import store_weights

    return store_weights.four_bit_target(target)


def value_range(text: str) -> tuple[float, float]:
    """Read a range as one types it: -123:25.

    Raises:
        UsageError: It is no such range.
    """
    low, _, high = text.partition(":")
    try:
        found = float(low), float(high)
    except ValueError:
        found = (math.nan, math.nan)
    if not all(map(math.isfinite, found)) or not found[0] < found[1]:
        raise UsageError(f"--input-range {text}: expected LOW:HIGH, such as -1:1 or -123:25")
    return found
