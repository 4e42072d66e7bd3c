"""Files on their way to another machine, called by their content so that none travels twice."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Item:
    """A file, or a directory with all below it.

    Attributes:
        name: Name of the file or directory, in the folder that the remote agent makes for it.
        files: Each file's name in that folder, its path here and its size in bytes.
        digest: SHA-256, in hex, over each file's name, size and content.
    """

    name: str
    files: tuple[tuple[str, Path, int], ...]
    digest: str

    def listing(self) -> dict[str, Any]:
        """Description for the remote agent: digest, and names and sizes of the files."""
        sizes = [[name, size] for name, _, size in self.files]
        return {"digest": self.digest, "files": sizes}

    def content(self) -> Iterator[bytes]:
        """The bytes of all files, one file after the other."""
        for _, path, _ in self.files:
            yield from _chunks(path)


def packed(path: Path) -> Item:
    """A file or a directory as an item.

    Raises:
        UsageError: When something in it cannot be read.
    """
    found = sorted(_files_below(path)) if path.is_dir() else [path]
    digest = hashlib.sha256()
    files = []
    try:
        for each in found:
            name, size = each.relative_to(path.parent).as_posix(), each.stat().st_size
            files.append((name, each, size))
            digest.update(f"{name}\0{size}\0".encode())
            for chunk in _chunks(each):
                digest.update(chunk)
    except OSError as error:
        raise UsageError(f"cannot read {error.filename}: {error.strerror}") from error
    return Item(path.name, tuple(files), digest.hexdigest())


def _files_below(folder: Path) -> Iterator[Path]:
    """All files but those that Python compiled, which differ from run to run and version."""
    for path in folder.rglob("*"):
        if path.is_file() and path.parent.name != "__pycache__":
            yield path


def _chunks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            yield chunk
