"""Which of the processes that ``torchrun`` started this is, read off the environment: no torch.

All of them compress the same network and recover it together; the first alone writes and speaks.
"""

from __future__ import annotations

import os


def first() -> bool:
    """Whether this is the process that writes and speaks: the first, or the only one."""
    return not _started_by_torchrun() or os.environ.get("RANK", "0") == "0"


def several() -> bool:
    """Whether there are other processes."""
    return _started_by_torchrun() and os.environ.get("WORLD_SIZE", "1") != "1"


def _started_by_torchrun() -> bool:
    return "TORCHELASTIC_RUN_ID" in os.environ
