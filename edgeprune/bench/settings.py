"""Where and how to measure."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeprune.bench.devices import Device, LocalDevice
from edgeprune.bench.runtimes import RUNTIMES
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class BenchSettings:
    """Where and how to measure.

    Attributes:
        runtime: Name of one of ``RUNTIMES``; it must be installed on the device.
        device: An instance of one of ``DEVICES``, or a device of your own.
        threads: Number of threads that one inference may use.
        seconds: Time limit of a measurement, the start of its processes included. Larger: surer, up
            to ``within``. Two sessions are run even if they take longer, but a model that does not
            answer for so long and 15 s more is given up.
        seed: Random seed of the inputs.
        within: Half-width of the latency's 95 % interval, as a fraction, at which a measurement
            ends before its time limit. Smaller: surer, longer.
        arena: Whether ONNX Runtime keeps freed tensors in an arena of its own. Off: less memory at
            rest, slower.
        shapes: Shape of each input whose size a file leaves open, by name; under "" that of the
            only input. The batch is 1 where nothing else is said; nothing else is guessed.
        trust: Whether files may be loaded that can hold code and that edgeprune did not write.

    Raises:
        UsageError: When a value is out of range.
    """

    runtime: str = "onnxruntime"
    device: Device = LocalDevice()  # noqa: RUF009 - frozen
    threads: int = 1
    seconds: float = 30.0
    seed: int = 0
    within: float = 0.01
    arena: bool = True
    trust: bool = False
    shapes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        RUNTIMES[self.runtime]
        if self.threads < 1:
            raise UsageError(f"threads must be 1 or more, not {self.threads}")
        if not (math.isfinite(self.seconds) and self.seconds > 0):
            raise UsageError(f"seconds must be more than 0, not {self.seconds}")
        if self.seed < 0:
            raise UsageError(f"seed must be 0 or more, not {self.seed}")
        if not 0 < self.within < 1:
            raise UsageError(f"within must be between 0 and 1 (1% is 0.01), not {self.within}")
        if not self.arena and self.runtime != "onnxruntime":
            raise UsageError(f"only onnxruntime has an arena to turn off, not {self.runtime}")
