"""A process that measures ends with the one that asked for it, whatever a model makes it do.

A thread looks after the parent; but a runtime that keeps Python's lock while it computes lets no
thread run. So Linux is asked to end this process with its parent, and a watchdog that needs no lock
ends it when an answer takes longer than anybody waits for it.
"""

from __future__ import annotations

import contextlib
import ctypes
import faulthandler
import os
import signal
import sys
import time
from pathlib import Path

PARENT_DEATH = 1
"""PR_SET_PDEATHSIG of Linux's prctl."""

SLACK_S = 5.0
"""Time to the watchdog beyond that to the parent's own: its message is the better one."""


def end_with_parent() -> None:
    """Have the system end this process when its parent ends, where it can."""
    if sys.platform == "linux":
        with contextlib.suppress(OSError, AttributeError):
            ctypes.CDLL(None).prctl(PARENT_DEATH, signal.SIGKILL)


def watch(parent: int) -> None:
    """End this process once its parent is gone; runs in a thread."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)


def end_after(seconds: float | None) -> None:
    """End this process if it is still at the same request after so long; None: do not."""
    if seconds is None:
        faulthandler.cancel_dump_traceback_later()
    else:
        faulthandler.dump_traceback_later(seconds + SLACK_S, exit=True, file=_NOWHERE)


_NOWHERE = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115 - as long as the process
