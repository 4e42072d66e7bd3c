"""What one stage hands to the next, in the order of the pipeline.

    SourceModel → TracedModel → PruningPlan → PrunedModel → ExportedModel → Measurement

All are frozen. Layers are dotted names, never module objects or positions: names survive a
deepcopy, a file and a colleague. Channel indices are absolute, into the original network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from torch import nn

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

Progress: TypeAlias = "Callable[[float, str], None]"
"""How long work reports itself: the share done, 0 to 1, and what is being done, in a few words."""

# --- load → ------------------------------------------------------------------------------------


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
    """

    module: nn.Module
    input: InputSpec
    name: str
    sha256: str


# --- trace → -----------------------------------------------------------------------------------

Channels: TypeAlias = tuple[tuple[int, ...], ...]
"""For each channel of a group, the layer's own indices: none, one, or several after a flatten."""

Role: TypeAlias = Literal["producer", "norm", "depthwise", "parameter", "consumer"]

Side: TypeAlias = Literal["in", "out"]


@dataclass(frozen=True, slots=True)
class Filters:
    """The channels are the output rows of a convolution or linear layer."""

    layer: str


@dataclass(frozen=True, slots=True)
class Normed:
    """The channels of ``of`` pass a BatchNorm."""

    layer: str
    of: Signal


@dataclass(frozen=True, slots=True)
class Filtered:
    """Each channel of ``of`` passes its own depthwise filter."""

    layer: str
    of: Signal


@dataclass(frozen=True, slots=True)
class Gained:
    """The channels of ``of`` are multiplied by a parameter, as layer scale does."""

    parameter: str
    of: Signal


@dataclass(frozen=True, slots=True)
class Total:
    """The sum of several signals: a residual stream."""

    terms: tuple[Signal, ...]


Signal: TypeAlias = Filters | Normed | Filtered | Gained | Total
"""How the channels that a layer reads came about, activation functions and pooling left out."""


@dataclass(frozen=True, slots=True)
class Member:
    """One dimension of one layer that shrinks together with a channel group.

    Attributes:
        layer: Dotted name of a module, or of a parameter that no known layer owns.
        role: ``producer`` and ``consumer`` are the output and input side of a convolution or
            linear layer; ``norm``, ``depthwise`` and ``parameter`` are passed on the way.
        channels: The layer's own indices for each channel of the group.
        reads: For a consumer, how its channels came about; None where that is not linear.
    """

    layer: str
    role: Role
    channels: Channels
    reads: Signal | None = None

    @property
    def side(self) -> Side:
        """The side of the layer that shrinks: ``in`` for consumers, ``out`` for all others."""
        return "in" if self.role == "consumer" else "out"


@dataclass(frozen=True, slots=True)
class ChannelGroup:
    """Channels that can only be removed together, across all layers that share them.

    Attributes:
        name: Dotted name of the layer whose output channels count the group.
        width: Number of channels.
        members: Every layer that shrinks with the group.
        blocks: Grouped convolutions and GroupNorm split the channels into so many equal blocks;
            the same positions must go from each.
        locked_because: Why no channel of it may be removed; None when they may.
    """

    name: str
    width: int
    members: tuple[Member, ...]
    blocks: int = 1
    locked_because: str | None = None

    def having(self, *roles: Role) -> tuple[Member, ...]:
        """The members that play one of ``roles``."""
        return tuple(member for member in self.members if member.role in roles)

    def locked(self, reason: str) -> ChannelGroup:
        """The same group, locked for ``reason``."""
        return replace(self, locked_because=reason)


@dataclass(frozen=True, slots=True)
class TracedModel:
    """A network with its channel groups."""

    source: SourceModel
    groups: tuple[ChannelGroup, ...]

    @property
    def prunable(self) -> tuple[ChannelGroup, ...]:
        """The groups that are not locked."""
        return tuple(group for group in self.groups if group.locked_because is None)

    def with_locks(self, reasons: Mapping[str, str]) -> TracedModel:
        """The same network with the groups named in ``reasons`` locked for the reason given."""
        groups = tuple(g.locked(reasons[g.name]) if g.name in reasons else g for g in self.groups)
        return replace(self, groups=groups)

    def removed(self, plan: PruningPlan) -> dict[tuple[str, Side], set[int]]:
        """Which of its own channels each layer loses under ``plan``, on each side."""
        by_name = {group.name: group for group in self.groups}
        lost: dict[tuple[str, Side], set[int]] = {}
        for entry in plan.groups:
            for member in by_name[entry.group].members:
                gone = {index for channel in entry.removed for index in member.channels[channel]}
                lost.setdefault((member.layer, member.side), set()).update(gone)
        return lost


# --- prune → -----------------------------------------------------------------------------------


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
        schema_version: Of the file format.
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
        exempt: Layers whose masked counterpart had to be computed by type (statistics over the
            channels that stay), because zeros would have counted in their statistics.
        rolled_back: Groups that failed and were left whole, with the reason.
    """

    max_rel_diff: float
    tolerance: float
    layers: int
    exempt: tuple[str, ...] = ()
    rolled_back: dict[str, str] | None = None


@dataclass(frozen=True, slots=True)
class RecoveryStep:
    """One recovery method that ran.

    Attributes:
        method: Its name.
        seconds: How long it took.
        images: How many images it used; 0 for the closed forms.
        detail: What it did and what it had to leave, for people.
    """

    method: str
    seconds: float
    images: int
    detail: str


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


# --- export → ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Parity:
    """How far the exported file's outputs are from PyTorch's, over many inputs.

    Attributes:
        max_abs_diff: Largest absolute difference, in the output's own units.
        max_rel_diff: Largest difference relative to the largest magnitude of that output.
        argmax_agreement: Share of positions with the same largest channel, ties aside.
        n: Number of inputs compared.
        batch_sizes: Batch sizes that were run.
    """

    max_abs_diff: float
    max_rel_diff: float
    argmax_agreement: float
    n: int
    batch_sizes: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ExportedModel:
    """An ONNX file and the proof that it computes what the PyTorch module does.

    Attributes:
        path: The file.
        opset: Of the default operator domain.
        bytes: Size of the file.
        sha256: Digest of the file, in hexadecimal.
        parity: Comparison with PyTorch.
        notes: Fallbacks that had to be taken, for people; empty when all went well.
    """

    path: Path
    opset: int
    bytes: int
    sha256: str
    parity: Parity
    notes: tuple[str, ...] = ()


# --- bench → -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Measurement:
    """One model timed in a process of its own.

    Attributes:
        blocks_s: Raw latencies, one tuple for each block of consecutive runs; seconds.
        load_s: Time to create the session; seconds.
        first_s: The first inference after loading; seconds.
        baseline_rss_bytes: Resident memory of the process with the runtime imported and no model.
        idle_rss_bytes: Resident memory that the loaded model adds to the baseline.
        peak_rss_bytes: The most that loading or running the model ever added to the baseline.
    """

    blocks_s: tuple[tuple[float, ...], ...]
    load_s: float
    first_s: float
    baseline_rss_bytes: int
    idle_rss_bytes: int
    peak_rss_bytes: int


@dataclass(frozen=True, slots=True)
class RatioInterval:
    """A ratio, compressed / original, with its bootstrap interval.

    Attributes:
        value: Median of the rounds' ratios.
        low: Lower end of the interval.
        high: Upper end of the interval.
        confidence: Of the interval, as a fraction.
    """

    value: float
    low: float
    high: float
    confidence: float


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two models measured alternately on the same runtime and device.

    Attributes:
        original: Measurement of the first model.
        compressed: Measurement of the second.
        latency: Ratio of their latencies.
        environment: Machine, CPU, cores, threads, governor, runtime and its version, device.
        notes: What a reader must know before believing the figures; empty when nothing.
    """

    original: Measurement
    compressed: Measurement
    latency: RatioInterval
    environment: dict[str, object]
    notes: tuple[str, ...] = ()
