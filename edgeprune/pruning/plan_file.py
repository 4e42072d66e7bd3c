"""PruningPlan ↔ plan.json: a plan that can be read, kept under version control, and replayed.

A plan may be written by hand: the digest of the file is checked where there is one.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from edgeprune import checksum
from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.text_file import read_bytes
from edgeprune.whole_file import write_whole

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["FILE_NAME", "digest", "read", "write"]

FILE_NAME = "plan.json"


class _Group(msgspec.Struct, forbid_unknown_fields=True):
    group: str
    width: int
    kept: tuple[int, ...]


class _File(msgspec.Struct, forbid_unknown_fields=True):
    schema_version: int
    model_sha256: str
    versions: dict[str, str]
    groups: tuple[_Group, ...]
    file_sha256: str = ""


def write(plan: PruningPlan, path: Path) -> None:
    """Write ``plan`` as JSON, one group a line."""
    groups = ",\n".join(f"  {msgspec.json.encode(group).decode()}" for group in plan.groups)
    head = msgspec.json.encode(
        {
            "schema_version": plan.schema_version,
            "model_sha256": plan.model_sha256,
            "versions": plan.versions,
        }
    ).decode()
    text = f'{head[:-1]},\n "groups": [\n{groups}\n ],\n "{checksum.KEY}": "{checksum.BLANK}"}}\n'
    write_whole(path, checksum.filled_in(text.encode()))


def read(path: Path) -> PruningPlan:
    """Read a plan.

    Raises:
        UsageError: If the file is missing, or is no plan; names what is wrong with it.
        ModelRefused: If it was changed after it was written.
    """
    text = read_bytes(path, "the plan")
    try:
        file = msgspec.json.decode(text, type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"'{path}' is not a pruning plan: {error}") from error
    if file.schema_version != 1:
        raise UsageError(f"'{path}' has schema version {file.schema_version}, expected 1")
    if checksum.is_changed(text):
        raise ModelRefused(checksum.complaint(path))
    groups = tuple(KeptChannels(g.group, g.width, g.kept) for g in file.groups)
    return PruningPlan(groups, file.model_sha256, file.versions, file.schema_version)


def digest(plan: PruningPlan) -> str:
    """SHA-256 of what a plan says, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(plan)).hexdigest()
