"""Where a model is measured: a device starts ``worker.py`` there and talks to it.

A device is anything with a ``name`` and ``start(request)``. Another one (a board behind ssh, an
emulator) copies the worker and the model if it must, replaces ``request["model"]`` by the path
over there, and returns a ``Worker`` that speaks through its own command.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Protocol

from edgeprune.bench.conversation import Worker
from edgeprune.choices import Choices

if TYPE_CHECKING:
    from collections.abc import Mapping


class Device(Protocol):
    """A machine that can run ``worker.py``."""

    @property
    def name(self) -> str:
        """How reports call it."""

    def start(self, request: Mapping[str, object]) -> Worker:
        """Load ``request["model"]`` in a fresh process there.

        Raises:
            DeviceFailed: When the device, the runtime or the model does not do its part.
        """


@dataclass(frozen=True, slots=True)
class LocalDevice:
    """This machine.

    Attributes:
        python: The interpreter; another one measures with the runtime installed there.
        limit_s: The longest wait for one answer, in seconds. Larger: slower models (an answer may
            be three inferences), and a runtime that hangs is noticed later.
    """

    name: ClassVar[str] = "local"
    python: str = sys.executable
    limit_s: float = 300.0

    def start(self, request: Mapping[str, object]) -> Worker:
        """Load ``request["model"]`` in a fresh process."""
        script = Path(__file__).with_name("worker.py")
        return Worker([self.python, str(script)], request, limit_s=self.limit_s)


DEVICES: Choices[type[LocalDevice]] = Choices("device", {"local": LocalDevice})
