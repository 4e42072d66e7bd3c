"""bench → RuntimeRun: the same models on one more runtime, or why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgeprune.artifacts.exported import Parity
    from edgeprune.artifacts.measured import Measurement, RatioInterval

WRONG = 1e-2
"""A runtime whose outputs differ by more of their scale computes something else: float32 that is
summed in another order gives 1e-7 to 1e-4."""


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """What a runtime computes against ONNX Runtime, on the same inputs.

    Attributes:
        models: For each model, original first; None where there was nothing to compare with.
        note: Why not; empty where all were compared.
    """

    models: tuple[Parity | None, ...] = ()
    note: str = ""

    @property
    def complaint(self) -> str:
        """What is wrong with the outputs; empty when nothing is."""
        worst = max((each.max_rel_diff for each in self.models if each), default=0.0)
        if worst <= WRONG:
            return ""
        how = f"differ by {worst:.1e} of their largest (at most {WRONG:.0e} may be rounding)"
        if not math.isfinite(worst):
            how = "are not finite, or of other shapes"
        return f"its outputs are not those of ONNX Runtime: they {how}; its latency says nothing"


@dataclass(frozen=True, slots=True)
class RuntimeRun:
    """The models on one more runtime.

    Attributes:
        runtime: Its name.
        status: Whether it ran, and computed the same as ONNX Runtime.
        detail: What went wrong, or must be known besides; one line.
        models: The measurements, original first; empty where it failed.
        latency: Ratio of two models' latencies.
        parity: Against ONNX Runtime.
    """

    runtime: str
    status: Literal["ok", "wrong", "failed"]
    detail: str = ""
    models: tuple[Measurement, ...] = ()
    latency: RatioInterval | None = None
    parity: RuntimeParity = RuntimeParity()
