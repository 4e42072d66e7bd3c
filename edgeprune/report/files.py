"""Reads and writes report.json: validated when read, replaced in one step when written."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Any

import msgspec

from edgeprune import checksum
from edgeprune.errors import UsageError
from edgeprune.report.document import FILE_NAME, SCHEMA_VERSION, ReportDocument
from edgeprune.text_file import read_bytes
from edgeprune.whole_file import write_whole

LARGEST = 2**63 - 1
"""The largest whole number that tools agree on."""


def encode(document: ReportDocument) -> bytes:
    """The document as indented JSON, keys in the order of the schema, numbers in rows."""
    compact = msgspec.json.encode(document, enc_hook=_plain, order="deterministic")
    return _NUMBERS.sub(_one_line, msgspec.json.format(compact, indent=2)) + b"\n"


def with_digest(document: ReportDocument) -> bytes:
    """The content of report.json: the document, and as its last key a digest of the whole."""
    digest = f',\n  "{checksum.KEY}": "{checksum.BLANK}"\n}}\n'.encode()
    return checksum.filled_in(encode(document).removesuffix(b"\n}\n") + digest)


def decode(source: bytes | str | os.PathLike[str]) -> ReportDocument:
    """The document in ``source``: the bytes of a report.json, its path, or its run directory.

    Raises:
        UsageError: It cannot be read, is not JSON, or is not a report of this schema.
    """
    name, data = ("report", source) if isinstance(source, bytes) else _read(Path(source))
    try:
        content = msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"{name} is not JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version is None:
        raise UsageError(f"{name} is not an edgeprune report: it has no schema_version")
    if version != SCHEMA_VERSION:
        raise UsageError(
            f"{name} has schema_version {version!r}, this edgeprune reads {SCHEMA_VERSION}; "
            "use the version of edgeprune that wrote it"
        )
    if (number := _beyond(content)) is not None:
        raise UsageError(f"{name} is not an edgeprune report: it holds a number of {number} digits")
    try:
        return msgspec.convert(content, ReportDocument)
    except msgspec.ValidationError as error:
        raise UsageError(f"{name} is not a complete edgeprune report: {error}") from error


def _beyond(content: object) -> int | None:
    """Digits of a whole number that no figure can be; None if there is none."""
    stack = [content]
    while stack:
        value = stack.pop()
        if isinstance(value, int) and abs(value) > LARGEST:
            return len(str(abs(value)))
        if isinstance(value, (dict, list)):
            stack.extend(value.values() if isinstance(value, dict) else value)
    return None


def complaint(source: Path) -> str | None:
    """What to say of a report that was changed after it was written; UsageError if unreadable."""
    name, text = _read(source)
    return checksum.complaint(name) if checksum.is_changed(text) else None


def save(document: ReportDocument, path: Path) -> None:
    """Write report.json to ``path``; a crash leaves the old file or the new one, never half."""
    write_whole(path, with_digest(document))


def as_dict(document: ReportDocument) -> dict[str, Any]:
    """The document as the JSON has it, in dicts, lists, strings and numbers."""
    content: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(document, enc_hook=_plain))
    return content


def _read(path: Path) -> tuple[str, bytes]:
    file = path / FILE_NAME if path.is_dir() else path
    return str(file), read_bytes(file, "the report")


def _plain(value: object) -> object:
    """What ``environment`` may hold besides JSON's own types: paths and NumPy scalars."""
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    item = getattr(value, "item", None)
    return item() if callable(item) else str(value)


_NUMBERS = re.compile(rb"\[\n([-+.\deE,\s]+)\]")
"""An indented array of nothing but numbers; no string matches, its line breaks are escaped."""


def _one_line(array: re.Match[bytes]) -> bytes:
    return b"[" + b", ".join(array[1].replace(b",", b" ").split()) + b"]"
