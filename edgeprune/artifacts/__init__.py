"""What one stage hands to the next, in the order of the pipeline.

    SourceModel → TracedModel → PruningPlan → PrunedModel → ExportedModel → Measurement

All are frozen. Layers are dotted names, never module objects or positions: names survive a
deepcopy, a file and a colleague. Channel indices are absolute, into the original network.
"""

from __future__ import annotations

from edgeprune.artifacts.counted import CountComparison, InstructionCounts
from edgeprune.artifacts.exported import ExportedModel, Parity
from edgeprune.artifacts.image_quality import ImageQuality
from edgeprune.artifacts.measured import Comparison, Measurement, RatioInterval, Session
from edgeprune.artifacts.progress import Halves, Progress, part_of, unwatched
from edgeprune.artifacts.pruned import (
    KeptChannels,
    PrunedModel,
    PruningPlan,
    RecoveryStep,
    SurgeryProof,
)
from edgeprune.artifacts.runtime_run import RuntimeParity, RuntimeRun
from edgeprune.artifacts.source import IMAGENET_MEAN, IMAGENET_STD, InputSpec, SourceModel
from edgeprune.artifacts.traced import (
    ChannelGroup,
    Channels,
    Filtered,
    Filters,
    Gained,
    Member,
    Normed,
    Role,
    Side,
    Signal,
    Total,
    TracedModel,
)

__all__ = [
    "IMAGENET_MEAN", "IMAGENET_STD", "ChannelGroup", "Channels", "Comparison", "CountComparison",
    "ExportedModel", "Filtered", "Filters", "Gained", "Halves", "ImageQuality", "InputSpec",
    "InstructionCounts", "KeptChannels", "Measurement", "Member", "Normed", "Parity", "Progress",
    "PrunedModel", "PruningPlan", "RatioInterval", "RecoveryStep", "Role", "RuntimeParity",
    "RuntimeRun", "Session", "Side", "Signal", "SourceModel", "SurgeryProof", "Total",
    "TracedModel", "part_of", "unwatched",
]  # fmt: skip
