"""An emulated ARM processor (Cortex-A76, by qemu-user): real aarch64 kernels, without a board.

How long emulated code takes says nothing about a processor, so nothing is timed here: the
instructions of an inference are counted, which two runs do alike. See ``bench/instructions.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from edgeprune.bench.devices import arm64_root
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.worker_process import Worker
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping

RUNTIME = "onnxruntime"
"""The one runtime that is set up there."""


@dataclass(frozen=True, slots=True)
class QemuArm64Device:
    """An emulated ARM processor.

    Attributes:
        limit_s: The longest wait for one answer, in seconds. Larger: slower models; emulation
            takes a hundred times as long and more.
    """

    name: ClassVar[str] = "qemu-arm64"
    measures: ClassVar[Literal["instructions"]] = "instructions"
    limit_s: float = 3600.0

    def start(self, request: Mapping[str, object]) -> Worker:
        """Load ``request["model"]`` in a fresh emulated process.

        Raises:
            UsageError: When another runtime or number of threads is asked for than it has.
            DeviceFailed: When it is not set up (the message says how), or the model fails.
        """
        return Worker(self._command(request), request, limit_s=self.limit_s)

    def reach(self, request: Mapping[str, object]) -> None:
        """Look for what is emulated, and whether it does what is asked."""
        self._command(request)

    def _command(self, request: Mapping[str, object]) -> list[str]:
        if request.get("runtime", RUNTIME) != RUNTIME:
            raise UsageError(f"{self.name} has {RUNTIME} alone, not {request['runtime']}")
        if request.get("threads", 1) != 1:
            raise UsageError(f"{self.name} counts the instructions of one thread: --threads 1")
        return arm64_root.find().command(str(WORKER))
