"""Waiting for what another process does soon, without a clock that an assertion could depend on."""

from __future__ import annotations

import os
import time
from pathlib import Path

ATTEMPTS, PAUSE_S = 1200, 0.05


def eventually(condition):
    """Whether the condition comes true while it is tried again and again."""
    for _ in range(ATTEMPTS):
        if condition():
            return True
        time.sleep(PAUSE_S)
    return False


def ended(pid):
    """Whether a process is gone, or dead and not yet collected by whoever adopted it."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except OSError:
        return Path("/proc/self/stat").exists()  # gone since; other systems have no such folder
