"""prune → PruningPlan, recover → PrunedModel: which channels stay, and the smaller network."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from edgeprune.artifacts.findings import as_text

if TYPE_CHECKING:
    from torch import nn

    from edgeprune.artifacts.image_quality import ImageQuality
    from edgeprune.artifacts.notes import Note
    from edgeprune.artifacts.source import InputSpec


@dataclass(frozen=True, slots=True)
class KeptChannels:
    """What remains of one group.

    Attributes:
        group: Name of the group.
        width: Its channels in the original.
        kept: Indices that stay, ascending, into the original's channels.
    """

    group: str
    width: int
    kept: tuple[int, ...]

    @property
    def removed(self) -> tuple[int, ...]:
        """Indices that go, ascending."""
        kept = set(self.kept)
        return tuple(index for index in range(self.width) if index not in kept)


@dataclass(frozen=True, slots=True)
class PruningPlan:
    """Which channels stay in every group that loses some; replayable on the same network.

    Attributes:
        groups: One entry for each group that is pruned.
        model_sha256: Digest of the weights that the plan was made for.
        versions: Packages that made it.
        schema_version: Version of the file format.
    """

    groups: tuple[KeptChannels, ...]
    model_sha256: str
    versions: dict[str, str]
    schema_version: int = 1

    def of(self, groups: tuple[KeptChannels, ...]) -> PruningPlan:
        """The same plan for other ``groups``."""
        return replace(self, groups=groups)


@dataclass(frozen=True, slots=True)
class SurgeryProof:
    """How far the pruned network is from the original with the same channels masked.

    Attributes:
        max_rel_diff: Largest difference of any layer's output, relative to that output's largest
            magnitude.
        tolerance: What ``max_rel_diff`` may be at most.
        layers: How many layers were compared.
        exempt: Layers that take statistics over channels, as normalisations do: in the masked
            original they are those of the channels that stay, in which zeros would have counted.
        dtype: Precision that both networks ran in; float32 where a forward insists on it, and then
            a small error is not told from rounding.
        rolled_back: Groups that failed and were left whole, with the reason.
    """

    max_rel_diff: float
    tolerance: float
    layers: int
    exempt: tuple[str, ...] = ()
    dtype: str = "float64"
    rolled_back: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One recovery method that ran.

    Attributes:
        method: Its name.
        seconds: How long it took.
        images: How many images it used; 0 for the closed forms.
        notes: What it did and what it had to leave.
        curve: Learning curve of a method that trains: steps and the loss then, on images it does
            not train on.
        quality: How the original sees the images, if no camera saw them and it has stored what
            it expects.
    """

    method: str
    seconds: float
    images: int
    notes: tuple[Note, ...] = ()
    curve: tuple[tuple[int, float], ...] = ()
    quality: ImageQuality | None = None

    @property
    def detail(self) -> str:
        """The notes as sentences."""
        return as_text(self.notes)


@dataclass(frozen=True, slots=True)
class PrunedModel:
    """The network with channels physically removed.

    Attributes:
        module: The smaller network.
        input: What it takes: the same as the original.
        plan: Which channels stayed.
        surgery: The proof that removal was correct.
        recovered_by: The recovery methods that ran, in order.
    """

    module: nn.Module
    input: InputSpec
    plan: PruningPlan
    surgery: SurgeryProof
    recovered_by: tuple[RecoveryStep, ...] = ()


@dataclass(frozen=True, slots=True)
class OutputsKept:
    """How much of what the original says the compressed network still says.

    Attributes:
        share: Share of the variation of the outputs from image to image that is kept, 0 to 1.
        n: Number of images, none of them real, and none that recovery used.
    """

    share: float
    n: int
