"""bench → RuntimeRun: the same models on one more runtime, or why not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from edgeprune.artifacts.exported import Parity
    from edgeprune.artifacts.measured import Measurement, RatioInterval

TOLERANCE = 1e-2
"""The usual tolerance for outputs, relative to the largest: one that differs by more computes
something else. Float32 that is summed in another order gives 1e-7 to 1e-4."""

QUANTIZED = 0.1
"""The tolerance for 8-bit integers. Runtimes round a product's scale each in its own way, and one
code beside another grows from layer to layer: ONNX Runtime's own fused and unfused kernels differ
by 2e-2 to 3e-2 at the end of 20 layers."""


@dataclass(frozen=True, slots=True)
class RuntimeParity:
    """Outputs of a runtime compared with those of ONNX Runtime, on the same inputs.

    Attributes:
        models: The comparison of each model, original first; None where there was nothing to
            compare with.
        note: Why a model was not compared; empty where all were.
        tolerance: Largest difference that may be rounding, relative to the largest output.
        quantized: Whether each model computes with 8-bit codes, and may differ by more.
    """

    models: tuple[Parity | None, ...] = ()
    note: str = ""
    tolerance: float = TOLERANCE
    quantized: tuple[bool, ...] = ()

    @property
    def complaint(self) -> str:
        """The error in the outputs, in one line; empty when they are within the tolerance."""
        limits = [max(self.tolerance, QUANTIZED * coded) for coded in self.quantized]
        limits += [self.tolerance] * (len(self.models) - len(limits))
        found = [
            (each.max_rel_diff, limit)
            for each, limit in zip(self.models, limits, strict=True)
            if each and not each.max_rel_diff <= limit
        ]
        if not found:
            return ""
        worst, limit = max(found)
        allowed = f"at most {limit:.0e} may be rounding"
        how = f"differ by {worst:.1e} of their largest ({allowed})"
        if not math.isfinite(worst):
            how = "are not finite, or of other shapes"
        return f"its outputs are not those of ONNX Runtime: they {how}; ignore its latency"


@dataclass(frozen=True, slots=True)
class RuntimeRun:
    """The models on one more runtime.

    Attributes:
        runtime: Name of the runtime.
        status: Whether it ran, and computed the same as ONNX Runtime.
        detail: The error, or a warning; one line.
        models: The measurements, original first; empty where it failed.
        latency: Ratio of two models' latencies.
        parity: Its outputs compared with those of ONNX Runtime.
    """

    runtime: str
    status: Literal["ok", "wrong", "failed"]
    detail: str = ""
    models: tuple[Measurement, ...] = ()
    latency: RatioInterval | None = None
    parity: RuntimeParity = RuntimeParity()
