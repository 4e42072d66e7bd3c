"""load → SourceModel: the network that came in."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts.recorded import OperatorTrace

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What the network takes.

    Attributes:
        shapes: One shape for each positional input, batch first, batch 1.
        mean: Per-channel mean that images are normalised with, in units of [0, 1] pixels.
        std: Per-channel standard deviation, same units.
    """

    shapes: tuple[tuple[int, ...], ...]
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


@dataclass(frozen=True, slots=True)
class SourceModel:
    """A trained network, in eval mode, float32.

    Attributes:
        module: The network; no stage changes it.
        input: What it takes.
        name: Short name for files and reports.
        sha256: Digest of the weights, in hexadecimal.
        notes: What its user should know of how it was read; empty when nothing was chosen.
        record: Every operator that it runs; None until it is traced.
    """

    module: nn.Module
    input: InputSpec
    name: str
    sha256: str
    notes: tuple[str, ...] = ()
    record: OperatorTrace | None = field(default=None, compare=False, repr=False)
