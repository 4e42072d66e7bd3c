"""Run one command on one hostile input, in a process and folders of its own, and see what it did.

The process is forked from a server that has imported edgeprune and torch, so an input takes a
fraction of a second. Payloads of inputs make a file in the canary folder: code has run if there is
one. What lies in the home folder, the canary folder and the working directory is compared before
and after; what a command may write is ``out`` and ``runs`` in the working directory, and
edgeprune's cache.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import resource
import signal
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

LIMIT_S = 10.0
"""CPU seconds, those of children included, beyond which a command has taken too long."""

LIMIT_BYTES = 1 << 30
"""Peak resident memory of a process beyond which it has taken too much."""

PATIENCE_S = 120.0
"""Wall-clock seconds after which a command is killed: it hangs."""

RESULTS = (("work", "out"), ("work", "runs"))
"""Folders that commands write to: where the command line says so, or by default."""

FONTS = "home/.cache/matplotlib"
"""What matplotlib keeps of the fonts it found is its own, and not of any input."""

PRELOADED = [
    *("edgeprune", "torch", "torchvision", "onnx", "onnxruntime", "scipy.stats", "rich.table"),
    *("edgeprune.cli", "edgeprune.pipeline.compress", "edgeprune.loading", "edgeprune.export"),
    *(
        "edgeprune.cli.compress",
        "edgeprune.cli.bench",
        "edgeprune.cli.check",
        "edgeprune.cli.apply",
    ),
    *("edgeprune.cli.inspect", "edgeprune.cli.export", "edgeprune.cli.recover"),
]


@dataclass(frozen=True, slots=True)
class Case:
    """An input and the command lines that take it, relative to the working directory."""

    name: str
    commands: tuple[tuple[str, ...], ...]


@dataclass(slots=True)
class Seen:
    """What a command did."""

    code: int | None
    cpu_s: float
    peak_bytes: int
    text: str
    ran: list[str] = field(default_factory=list)
    written: list[str] = field(default_factory=list)

    @property
    def faults(self) -> list[str]:
        """What must not be, in words."""
        raw = sorted({c for c in self.text if not c.isprintable()} - {"\n", "\t"})
        found = {
            "hangs": self.code is None,
            "exit 1": self.code == 1,
            f"ended by signal {-(self.code or 0)}": self.code is not None and self.code < 0,
            f"ran code: {self.ran}": bool(self.ran),
            f"wrote {self.written[:3]}": bool(self.written),
            f"took {self.cpu_s:.0f} s of CPU": self.cpu_s > LIMIT_S,
            f"took {self.peak_bytes >> 20} MiB": self.peak_bytes > LIMIT_BYTES,
            f"printed {raw[:3]!r}": bool(raw),
        }
        return [words for words, so in found.items() if so]


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Folders for commands to run in: ``work`` is the working directory."""

    folder: Path

    @property
    def work(self) -> Path:
        """Working directory, where the inputs lie."""
        return self.folder / "work"

    @property
    def canary(self) -> Path:
        """Where payloads make files."""
        return self.folder / "canary"

    def prepared(self) -> Sandbox:
        """The sandbox with its folders made."""
        for name in ("work", "canary", "home", "cache", "tmp"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        return self

    def run(self, arguments: tuple[str, ...]) -> Seen:
        """Run a command; its traces are removed."""
        before = self._files()
        log = self.folder / "log"
        context = multiprocessing.get_context("forkserver")
        context.set_forkserver_preload(PRELOADED)
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=_work, args=(str(self.folder), arguments, theirs))
        process.start()
        theirs.close()
        usage = None
        with contextlib.suppress(EOFError):  # it has crashed
            usage = ours.recv() if ours.poll(PATIENCE_S) else None
        process.join(5)
        code = process.exitcode
        if code is None:
            os.killpg(process.pid or 0, signal.SIGKILL)
            process.join()
        cpu, peak = usage or (0.0, 0)
        seen = Seen(code, cpu, peak, log.read_text(encoding="utf-8", errors="replace"))
        after = self._files()
        changed = {name for name, state in after.items() if before.get(name) != state}
        changed |= before.keys() - after.keys()
        seen.ran = sorted(name for name in changed if name.startswith("canary/"))
        seen.written = sorted(name for name in changed if not name.startswith("canary/"))
        for name in changed & after.keys() - before.keys():
            (self.folder / name).unlink()
        return seen

    def _files(self) -> Mapping[str, tuple[int, int, int]]:
        """Every file that no command may touch, with its size and time."""
        found = {}
        for top in ("work", "canary", "home"):
            for path in (self.folder / top).rglob("*"):
                inside = path.relative_to(self.folder)
                allowed = inside.parts[:2] in RESULTS or str(inside).startswith(FONTS)
                if not path.is_dir() and not allowed:
                    status = path.lstat()
                    found[str(inside)] = (status.st_size, status.st_mtime_ns, status.st_ino)
        return found


def _work(folder: str, arguments: tuple[str, ...], answer: object) -> None:
    """Become the command: its folders, its streams, its group of processes."""
    os.setsid()
    os.environ |= {
        "HOME": f"{folder}/home",
        "EDGEPRUNE_CACHE": f"{folder}/cache",
        "TMPDIR": f"{folder}/tmp",
    }
    os.chdir(f"{folder}/work")
    log = os.open(f"{folder}/log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0), os.dup2(log, 1), os.dup2(log, 2)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    from edgeprune.cli import main

    started = time.process_time()
    try:
        code = main(list(arguments))
    finally:
        sys.stdout.flush()
        others = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = time.process_time() - started + others.ru_utime + others.ru_stime
        peak = max(_peak_kib(), others.ru_maxrss) * 1024
        answer.send((cpu, peak))  # type: ignore[attr-defined]
    os._exit(code)


def _peak_kib() -> int:
    """The most memory that this process has had resident; a fork begins with what it has."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.partition("VmHWM:")[2].split()[0])
