"""Tensors and texts in one .safetensors file: the same bytes every time, with a digest of its own.

The library writes the texts of a header in random order; they are put in order here. The digest is
SHA-256 over the whole file, itself taken as zeros, so that a reader sees any bit that has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from typing import IO, TYPE_CHECKING

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from edgeprune.checksum import BLANK
from edgeprune.errors import ModelRefused
from edgeprune.whole_file import writing

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from torch import Tensor

DIGEST = "sha256"
"""The text of the header that holds the digest; files from before there was one lack it."""

MARK = "checked-by"
"""Says that there is a digest, so that one whose name was damaged is missed."""

PART = 1 << 20

MOST_TENSORS = 50_000
"""Tensors in one file: a network of ten thousand layers fits; a header alone can name millions."""


def write(tensors: Mapping[str, Tensor], texts: Mapping[str, str], path: Path) -> None:
    """Write a file, whole or not at all.

    Args:
        tensors: Contiguous tensors on the CPU, none a view of another.
        texts: Texts for the header, by name.
        path: File to write; its folder exists.

    Raises:
        OSError: The disk is full, or the file cannot be written.
    """
    with writing(path) as draft:
        try:
            save_file(dict(tensors), draft, {**texts, MARK: DIGEST, DIGEST: BLANK})
        except SafetensorError as error:
            raise _as_os_error(error, path) from error
        with draft.open("rb+") as file:
            _put_header(file, BLANK)
            _put_header(file, _digest(file))


def texts_of(path: Path) -> dict[str, str]:
    """The texts in a file's header, the digest not checked.

    Raises:
        ModelRefused: The file cannot be read, is no .safetensors file, or names too many tensors.
    """
    try:
        with safe_open(path, framework="pt") as file:
            count, texts = len(file.keys()), dict(file.metadata() or {})
    except (SafetensorError, OSError) as error:
        raise ModelRefused(f"'{path}' is not a readable .safetensors file: {error}") from error
    if count > MOST_TENSORS:
        raise ModelRefused(f"'{path}' names {count:,} tensors; {MOST_TENSORS:,} are read at most")
    return texts


def read(path: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the texts in a file.

    Raises:
        ModelRefused: The file cannot be read, or does not fit its digest.
    """
    texts = texts_of(path)
    if not texts.keys().isdisjoint((MARK, DIGEST)) and not _fits(path, texts):
        raise ModelRefused(f"'{path}' is damaged: its checksum does not fit its content")
    with safe_open(path, framework="pt") as opened:
        # Copied: kernels may round otherwise where weights lie in memory as they do in the file.
        return {key: opened.get_tensor(key).clone() for key in opened.keys()}, texts  # noqa: SIM118


def _as_os_error(error: SafetensorError, path: Path) -> Exception:
    """The system's error, which the library hands on as text: "(os error 28)"."""
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), os.strerror(int(found[1])), str(path)) if found else error


def _fits(path: Path, texts: Mapping[str, str]) -> bool:
    if texts.get(MARK) != DIGEST or DIGEST not in texts:
        return False
    with path.open("rb") as file:
        return _digest(file) == texts[DIGEST]


def _put_header(file: IO[bytes], digest: str) -> None:
    """Rewrite the header, as long as it was, with its texts in order and this digest."""
    length, header = _header(file)
    texts = header["__metadata__"]
    header["__metadata__"] = dict(sorted({**texts, DIGEST: digest}.items()))
    written = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    file.seek(8)
    file.write(written.ljust(length))


def _digest(file: IO[bytes]) -> str:
    """SHA-256 of a file with its digest taken as zeros."""
    length, header = _header(file)
    found = header["__metadata__"][DIGEST]
    file.seek(0)
    start = file.read(8 + length).replace(f'"{DIGEST}":"{found}"'.encode(), _blank(), 1)
    total = hashlib.sha256(start)
    while part := file.read(PART):
        total.update(part)
    return total.hexdigest()


def _blank() -> bytes:
    return f'"{DIGEST}":"{BLANK}"'.encode()


def _header(file: IO[bytes]) -> tuple[int, dict[str, dict[str, str]]]:
    """The header's length in bytes, and the header."""
    file.seek(0)
    length = int.from_bytes(file.read(8), "little")
    header: dict[str, dict[str, str]] = json.loads(file.read(length))
    return length, header
