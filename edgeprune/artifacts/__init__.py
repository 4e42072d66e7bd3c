"""What one stage hands to the next, in the order of the pipeline.

    SourceModel → TracedModel → PruningPlan → PrunedModel → ExportedModel → QuantizedModel →
    Measurement

All are frozen. Layers are dotted names, never module objects or positions: names survive a
deepcopy, a file and a colleague. Channel indices are absolute, into the original network.
"""

from __future__ import annotations

from edgeprune.artifacts.alternative import Alternative
from edgeprune.artifacts.counted import CountComparison, InstructionCounts
from edgeprune.artifacts.exported import ExportedModel, Parity
from edgeprune.artifacts.image_quality import ImageKind, ImageQuality
from edgeprune.artifacts.measured import (
    LatencyComparison,
    Measurement,
    OperatorTimes,
    RatioInterval,
    Session,
)
from edgeprune.artifacts.notes import Note
from edgeprune.artifacts.progress import Halves, Progress, no_progress, part_of
from edgeprune.artifacts.pruned import (
    KeptChannels,
    OutputsKept,
    PrunedModel,
    PruningPlan,
    RecoveryStep,
    SurgeryProof,
)
from edgeprune.artifacts.quantized import (
    ActivationType,
    Fidelity,
    KernelProof,
    Precision,
    PrecisionChoice,
    QuantizedModel,
    Range,
)
from edgeprune.artifacts.runtime_run import RuntimeParity, RuntimeRun
from edgeprune.artifacts.sensitivity import Sensitivity, SensitivityCurve
from edgeprune.artifacts.source import FLOAT, IMAGENET_MEAN, IMAGENET_STD, InputSpec, SourceModel
from edgeprune.artifacts.traced import (
    BatchNormed,
    ChannelGroup,
    Channels,
    Depthwise,
    Filters,
    LinearPath,
    Member,
    Role,
    Scaled,
    Side,
    Sum,
    TracedModel,
)

__all__ = [
    "FLOAT",
    "IMAGENET_MEAN",
    "IMAGENET_STD",
    "ActivationType",
    "Alternative",
    "BatchNormed",
    "ChannelGroup",
    "Channels",
    "CountComparison",
    "Depthwise",
    "ExportedModel",
    "Fidelity",
    "Filters",
    "Halves",
    "ImageKind",
    "ImageQuality",
    "InputSpec",
    "InstructionCounts",
    "KeptChannels",
    "KernelProof",
    "LatencyComparison",
    "LinearPath",
    "Measurement",
    "Member",
    "Note",
    "OperatorTimes",
    "OutputsKept",
    "Parity",
    "Precision",
    "PrecisionChoice",
    "Progress",
    "PrunedModel",
    "PruningPlan",
    "QuantizedModel",
    "Range",
    "RatioInterval",
    "RecoveryStep",
    "Role",
    "RuntimeParity",
    "RuntimeRun",
    "Scaled",
    "Sensitivity",
    "SensitivityCurve",
    "Session",
    "Side",
    "SourceModel",
    "Sum",
    "SurgeryProof",
    "TracedModel",
    "no_progress",
    "part_of",
]  # fmt: skip
