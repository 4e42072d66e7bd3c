"""Waiting for what another process does soon, without a clock that an assertion could depend on."""

from __future__ import annotations

import time

ATTEMPTS, PAUSE_S = 400, 0.05


def eventually(condition):
    """Whether the condition comes true while it is tried again and again."""
    for _ in range(ATTEMPTS):
        if condition():
            return True
        time.sleep(PAUSE_S)
    return False
