"""A limit on the memory that a block may take besides what the process has, on systems with one.

A file of a few kilobytes can describe a network whose feature maps take gigabytes. What asks for
more than the limit fails there, as if the machine had no more, before a byte of it is touched.
"""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STATM = Path("/proc/self/statm")


@contextmanager
def memory_limit(size: int) -> Iterator[None]:
    """Let the block fail where it would take more than ``size`` bytes; no limit where none exists.

    Args:
        size: Bytes of address space besides those that the process has now.
    """
    try:
        import resource  # not on Windows

        pages = int(STATM.read_text(encoding="ascii").split()[0])
    except (ImportError, OSError):
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    wanted = pages * resource.getpagesize() + size
    lower = [limit for limit in (soft, hard) if limit != resource.RLIM_INFINITY]
    resource.setrlimit(resource.RLIMIT_AS, (min([wanted, *lower]), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
