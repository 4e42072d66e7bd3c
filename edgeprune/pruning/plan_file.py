"""PruningPlan ↔ plan.json: a plan that can be read, kept under version control, and replayed."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import msgspec

from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.errors import UsageError
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
    write_whole(path, f'{head[:-1]},\n "groups": [\n{groups}\n ]}}\n'.encode())


def read(path: Path) -> PruningPlan:
    """Read a plan.

    Raises:
        UsageError: If the file is missing, or is no plan; names what is wrong with it.
    """
    try:
        file = msgspec.json.decode(read_bytes(path, "the plan"), type=_File)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UsageError(f"'{path}' is not a pruning plan: {error}") from error
    if file.schema_version != 1:
        raise UsageError(f"'{path}' has schema version {file.schema_version}, expected 1")
    groups = tuple(KeptChannels(g.group, g.width, g.kept) for g in file.groups)
    return PruningPlan(groups, file.model_sha256, file.versions, file.schema_version)


def digest(plan: PruningPlan) -> str:
    """SHA-256 of what a plan says, in hexadecimal."""
    return hashlib.sha256(msgspec.json.encode(plan)).hexdigest()
