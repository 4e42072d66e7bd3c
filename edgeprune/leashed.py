"""Commands of others that end with the process that started them, however it ends.

A program that is killed cannot stop its children. Linux can: a process asks to be ended with its
parent, and keeps that wish when it becomes another program. Elsewhere a command runs as it is, and
outlives a killed parent.
"""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SCRIPT = """
import ctypes, os, sys
parent, command = int(sys.argv[1]), sys.argv[2:]
ctypes.CDLL(None).prctl(1, 9)  # PR_SET_PDEATHSIG, SIGKILL
if os.getppid() == parent:  # it has not ended before that
    os.execvp(command[0], command)
"""


def leashed(command: Sequence[str], parent: int) -> list[str]:
    """The command line that runs a command and ends it with its parent.

    Args:
        command: Program and arguments.
        parent: Number of the process that starts it.

    Returns:
        The command as it is where the system cannot do that, or where there is no such program.
    """
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        return list(command)
    return [sys.executable, "-I", "-S", "-c", SCRIPT, str(parent), *command]
