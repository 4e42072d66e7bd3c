"""This machine: ``worker`` in a child process, with this interpreter or another."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Literal

from edgeprune.bench.worker_process import Worker

if TYPE_CHECKING:
    from collections.abc import Mapping

WORKER = Path(__file__).parents[1] / "worker"
"""The folder that a device runs."""


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """This machine.

    Attributes:
        python: The interpreter; another one measures with the runtime installed there.
        limit_s: The longest wait for one answer, in seconds; None: the time asked for and some
            more. Larger: slower models (an answer may be three inferences), and a runtime or a
            model that hangs is noticed later.
    """

    name: ClassVar[str] = "local"
    measures: ClassVar[Literal["latency"]] = "latency"
    python: str = sys.executable
    limit_s: float | None = None

    def start(self, request: Mapping[str, object]) -> Worker:
        """Load ``request["model"]`` in a fresh process."""
        return Worker([self.python, str(WORKER)], request, limit_s=self.limit_s)

    def reach(self, request: Mapping[str, object]) -> None:
        """Start the runtime once."""
        self.start(request).close()
