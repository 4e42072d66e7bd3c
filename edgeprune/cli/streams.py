"""Standard streams that are closed or broken, as under cron, in services and at the end of a pipe.

Results go to standard output, and a run ends when nobody takes them. Messages go to standard error:
a run goes on without anybody who reads them.
"""

from __future__ import annotations

import io
import os
import sys
from typing import cast

STANDARD_ERROR = 2


def repair() -> None:
    """Open what is closed, let any character pass, and standard error lose what it cannot write.

    A closed stream's number would go to the next file that is opened, and what a library prints
    into that file.
    """
    missing = []
    while (number := os.open(os.devnull, os.O_RDWR)) <= STANDARD_ERROR:
        os.set_inheritable(number, True)  # programs that this one starts have them too
        missing.append(number)
    os.close(number)
    if sys.stdout is None or 1 in missing:
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    encoding = getattr(sys.stderr, "encoding", None) or "utf-8"
    buffer = io.BufferedWriter(cast("io.FileIO", _Lossy()))
    sys.stderr = io.TextIOWrapper(buffer, encoding, errors="backslashreplace", line_buffering=True)


def flush_results() -> OSError | None:
    """Write what standard output still holds, or drop it: Python would report that at exit.

    Returns:
        The error that it was dropped for.
    """
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except ValueError:  # it was closed
        return None
    except OSError as error:
        discard_results()
        return error
    return None


def discard_results() -> None:
    """Drop what standard output still holds."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (OSError, ValueError, AttributeError):
        return  # standard output is not a file, as under a test


class _Lossy(io.RawIOBase):
    """Standard error, which takes whatever it is given, written or not."""

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return STANDARD_ERROR

    def isatty(self) -> bool:
        return os.isatty(STANDARD_ERROR)

    def write(self, data: bytes | memoryview) -> int:  # type: ignore[override]
        try:
            return os.write(STANDARD_ERROR, data)
        except OSError:
            return len(data)
