"""Faults of the system, injected one by one: the n-th call of a kind fails, or kills the process.

As SQLite does it (sqlite.org/testing.html): the same run again and again, the fault one call later
each time, until a run ends without meeting it. Calls are seen by Python's audit hook, so those of
libraries count too; a disk that takes no more is the kernel's own limit on file sizes, which native
code meets as well.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeprune import whole_folder
from edgeprune.pipeline.stage_log import StageLog

if TYPE_CHECKING:
    from collections.abc import Iterator

STAGE = "stage"
"""A stage begins, or is left out."""
CALLS = ("open", "mkdir", "rename", "fsync")
"""Calls that change a folder; a file counts when it is opened for writing."""
FULL = "write"
"""From the n-th file on that is opened for writing, the disk takes no byte more."""

WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT
EVENTS = {"os.mkdir": ("mkdir", 0), "os.rename": ("rename", 1)}
"""Audit events, with the place of the path that the call changes."""


@dataclass
class Injector:
    """Counts the calls of one kind on paths below a folder, and lets one of them fail.

    Attributes:
        folder: Only paths in it count.
        kinds: Some of ``CALLS``, ``FULL`` and ``STAGE``.
        number: The call that fails, from 1.
        error: The error's number; None: the process is killed.
        log: A file outside of the folder that is told what was met before the process is killed.
        met: What failed; "" where nothing did.
        stage: The stage of the run that was under way.
    """

    folder: Path
    kinds: tuple[str, ...]
    number: int
    error: int | None = errno.ENOSPC
    log: Path | None = None
    met: str = ""
    stage: str = "before the stages"
    count: int = field(default=0, repr=False)

    def call(self, kind: str, path: object) -> None:
        """Note a call before it is made.

        Raises:
            OSError: It is the one that fails.
        """
        if self.met or not self._counts(kind, path):
            return
        self.count += 1
        if self.count < self.number:
            return
        self.met = f"{kind} {path}"
        if self.error is None:
            if self.log:
                self.log.write_text(f"{self.stage}\n{self.met}")
            os.kill(os.getpid(), signal.SIGKILL)
        elif FULL in self.kinds:
            _limit_files(0)
        else:
            raise OSError(self.error, os.strerror(self.error))

    def enter(self, stage: str) -> None:
        """Note a stage that begins."""
        if not self.met:
            self.stage = stage
        self.call(STAGE, self.folder)

    def _counts(self, kind: str, path: object) -> bool:
        if kind == "open" and FULL in self.kinds:
            kind = FULL
        if kind not in self.kinds or not isinstance(path, (str, bytes, os.PathLike)):
            return False
        return Path(os.path.abspath(os.fsdecode(path))).is_relative_to(self.folder)  # noqa: PTH100


@contextlib.contextmanager
def injected(injector: Injector) -> Iterator[Injector]:
    """Let a fault happen in the block; every call works again behind it."""
    global _active
    fsync, exchange, limits = os.fsync, whole_folder.exchange, _limits()
    stage, skip = StageLog.stage, StageLog.skip

    def synced(descriptor: int) -> None:
        injector.call("fsync", Path(f"/proc/self/fd/{descriptor}").readlink())
        fsync(descriptor)

    def exchanged(one: Path, other: Path) -> bool:
        injector.call("rename", other)
        return exchange(one, other)

    def staged(log: StageLog, name: str) -> Any:
        injector.enter(name)
        return stage(log, name)

    def skipped(log: StageLog, name: str) -> None:
        injector.enter("writing")
        skip(log, name)

    _listen()
    _active = injector
    os.fsync, whole_folder.exchange = synced, exchanged
    StageLog.stage, StageLog.skip = staged, skipped
    try:
        yield injector
    finally:
        os.fsync, whole_folder.exchange, _active = fsync, exchange, None
        StageLog.stage, StageLog.skip = stage, skip
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


_active: Injector | None = None
_listening = False


def _listen() -> None:
    """Have Python call us; a hook stays for ever, so there is one."""
    global _listening
    if not _listening:
        sys.addaudithook(_heard)
        _listening = True


def _heard(event: str, given: tuple[Any, ...]) -> None:
    if _active is None:
        return
    if event == "open" and isinstance(given[2], int) and given[2] & WRITING:
        _active.call("open", given[0])
    elif event in EVENTS:
        kind, place = EVENTS[event]
        _active.call(kind, given[place])


def _limits() -> tuple[int, int]:
    return resource.getrlimit(resource.RLIMIT_FSIZE)


def _limit_files(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, _limits()[1]))
