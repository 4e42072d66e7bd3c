"""Runs on the remote machine behind ssh: receives files, and describes the machine.

This file stands alone: it is sent as text to a ``python3`` that has nothing else. It reads one
line of JSON from standard input, and answers with lines of JSON on standard output:

    ← {"folder": …, "keep": …, "packages": [names], "items": [{"digest", "files": [[name, bytes]]}]}
    → {"missing": [digests], "facts": {…}}
    ← the files of the missing items, one after the other, in that order
    → {"folder": the absolute path; an item lies in the folder of its digest there}

An error is answered with {"error": one line}. An item is complete when its folder exists:
it is written beside it first, and checked against its digest. With ``keep`` the folder is shared
by all runs, and items unused for a week are removed; otherwise everything goes to a new folder in
it, for one process alone.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
import stat
import sys
import tempfile
import time
from pathlib import Path
from typing import IO, Any

CHUNK_BYTES = 1 << 20
UNUSED_S = 7 * 24 * 3600.0


def main() -> None:
    """Answer one order."""
    source, answers = sys.stdin.buffer, sys.stdout
    try:
        order = json.loads(source.readline())
        folder = prepared(order["folder"], keep=order["keep"])
        missing = [item for item in order["items"] if not present(folder / item["digest"])]
        send(answers, {"missing": [item["digest"] for item in missing], "facts": facts(order)})
        for item in missing:
            receive(folder, item, source)
        send(answers, {"folder": str(folder)})
    except (OSError, ValueError, EOFError) as error:
        send(answers, {"error": " ".join(str(error).split())})


def send(answers: IO[str], answer: dict[str, Any]) -> None:
    """Send one line of JSON at once."""
    print(json.dumps(answer), file=answers, flush=True)


def prepared(asked: str, *, keep: bool) -> Path:
    """The folder to use: ours alone, with what nobody used for long removed."""
    caches = asked or os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    shared = Path(caches).expanduser() / "edgeprune-bench"
    shared.mkdir(mode=0o700, parents=True, exist_ok=True)
    found = shared.stat()
    if found.st_uid != os.getuid() or stat.S_IMODE(found.st_mode) & 0o022:
        raise ValueError(f"{shared} can be written by others: choose another folder=")
    for old in shared.iterdir():
        with contextlib.suppress(OSError):  # another run may have removed it
            if time.time() - old.stat().st_mtime > UNUSED_S:
                shutil.rmtree(old)
    folder = shared if keep else Path(tempfile.mkdtemp(prefix="run-", dir=shared))
    return folder.resolve()


def present(item: Path) -> bool:
    """Whether the item is there; it then counts as used now."""
    with contextlib.suppress(OSError):
        os.utime(item)
        return True
    return False


def receive(folder: Path, item: dict[str, Any], source: IO[bytes]) -> None:
    """Write an item's files; the folder of its digest appears when all are right."""
    aside = Path(tempfile.mkdtemp(prefix="part-", dir=folder))
    try:
        digest = hashlib.sha256()
        for name, size in item["files"]:
            digest.update(f"{name}\0{size}\0".encode())
            path = aside / name
            path.parent.mkdir(parents=True, exist_ok=True)
            copy(source, path, size, digest)
        if digest.hexdigest() != item["digest"]:
            raise ValueError("a file arrived damaged")
        with contextlib.suppress(OSError):  # another run was faster: what it wrote is the same
            aside.rename(folder / item["digest"])
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def copy(source: IO[bytes], path: Path, size: int, digest: Any) -> None:
    """Copy the next ``size`` bytes into a new file."""
    with path.open("wb") as file:
        while size:
            chunk = source.read(min(CHUNK_BYTES, size))
            if not chunk:
                raise EOFError("the connection ended in the middle of a file")
            size -= len(chunk)
            digest.update(chunk)
            file.write(chunk)


def facts(order: dict[str, Any]) -> dict[str, Any]:
    """Facts about the machine, with the versions of the packages asked for."""
    governors = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return {
        "machine": platform.machine(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "executable": sys.executable,
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count(),
        "governors": sorted(set(filter(None, map(text_of, governors)))),
        "packages": {name: version(name) for name in order["packages"]},
    }


def text_of(path: Path) -> str:
    """The file's text; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text().strip()
    return ""


def version(package: str) -> str | None:
    """The version of an installed package; None where there is none."""
    import importlib.metadata

    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


if __name__ == "__main__":
    main()
