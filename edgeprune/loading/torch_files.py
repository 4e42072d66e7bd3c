"""The two formats of ``torch.save``: a zip archive, and the row of pickles from before torch 1.6.

An archive holds one program, ``NAME/data.pkl``, and each storage in a member of its own,
``NAME/data/KEY``, none of them compressed. Its members together are no larger than the file, so
nothing in it grows; every byte of them is held against its checksum. The older format is a magic
number, a version, a description of the machine, the program, the keys of the storages, and the
storages, each with its length.
"""

from __future__ import annotations

import io
import os
import struct
import zipfile
import zlib
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Any

import torch

from edgeprune.errors import ModelRefused
from edgeprune.loading import pickle_machine
from edgeprune.loading.pickle_machine import BadPickle
from edgeprune.loading.stored_tensors import PART, Storage, read_into

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from edgeprune.loading.pickle_machine import Maker

LENGTHS = 26
"""Where in a member's own header the lengths of its name and of what follows stand; then these."""

LARGEST_PROGRAM = 64 << 20
"""Bytes of the program in an archive: it holds no tensors, but a tokenizer's words, a history."""

BAD_CHECKSUM = "Bad CRC-32 for file "
"""How zipfile's error about a checksum begins."""

MAGIC = 0x1950A86A20F9469CFC6C
VERSION = 1001


def load_archive(path: Path, maker: Callable[[Callable[[object], Storage]], Maker]) -> object:
    """The object in a zip archive.

    Args:
        path: The file.
        maker: Gets the function that finds storages, and makes the objects.

    Raises:
        ModelRefused: The archive is damaged, holds more than its size, or asks for what it may not.
        BadPickle: Its program is damaged.
    """
    with opened(path) as archive:
        program = _program(archive)
        source = _Archive(archive, program.filename.removesuffix("data.pkl"))
        with archive.open(program) as file:
            loaded = pickle_machine.run(io.BytesIO(file.read()), maker(source.storage))
        source.check_rest({program.filename})
    return loaded


@contextmanager
def opened(path: Path) -> Iterator[zipfile.ZipFile]:
    """An archive whose members are as large as they say, and lie apart.

    Raises:
        ModelRefused: It is damaged, or holds compressed data.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                if member.compress_type != zipfile.ZIP_STORED:
                    raise ModelRefused(
                        f"'{path}' holds compressed data ({member.filename}), which torch.save "
                        "never writes: it is not unpacked"
                    )
            if sum(member.file_size for member in members) > path.stat().st_size:
                raise ModelRefused(f"'{path}' is damaged: its parts are larger than the whole")
            yield archive
    except zipfile.BadZipFile as error:
        raise ModelRefused(f"'{path}' is damaged: {_in_our_words(error)}") from error
    except (NotImplementedError, OSError, EOFError, UnicodeDecodeError) as error:
        raise ModelRefused(f"'{path}' is damaged, perhaps cut off: {error}") from error


def check_all(path: Path) -> None:
    """Hold all of an archive against its checksums; raises ModelRefused."""
    with opened(path) as archive:
        _Archive(archive, "").check_rest(set())


class _Archive:
    def __init__(self, archive: zipfile.ZipFile, folder: str) -> None:
        self._archive, self._folder = archive, folder
        self._members = {member.filename: member for member in archive.infolist()}
        self._read: dict[str, torch.Tensor] = {}
        if self._folder and self._text("byteorder") not in (None, b"little"):
            raise ModelRefused("it was written on a machine of another byte order")

    def storage(self, key: object) -> Storage:
        """The storage that a program asks for, once read and checked."""
        dtype, name, count, _ = _asked(key)
        member = self._members.get(f"{self._folder}data/{name}")
        if member is None or member.file_size < count * dtype.itemsize:
            raise BadPickle(f"it holds no {count:,} numbers under the name data/{name[:60]}")
        if member.filename not in self._read:
            self._read[member.filename] = self._numbers(member)
        return Storage(dtype, self._read[member.filename])

    def _numbers(self, member: zipfile.ZipInfo) -> torch.Tensor:
        """What a member holds, read straight to where it stays."""
        self._archive.open(member).close()  # holds the member's own header against the directory
        file = self._archive.fp
        assert file is not None  # as long as the archive is open
        file.seek(member.header_offset + LENGTHS)
        file.seek(sum(struct.unpack("<HH", file.read(4))), os.SEEK_CUR)
        data = torch.empty(member.file_size, dtype=torch.uint8)
        read_into(file, data)
        if zlib.crc32(data.numpy().data) != member.CRC:
            raise zipfile.BadZipFile(f"{BAD_CHECKSUM}'{member.filename}'")
        return data

    def check_rest(self, read: set[str]) -> None:
        """Hold what was not read against its checksum too."""
        for name, member in self._members.items():
            if name not in read and name not in self._read:
                with self._archive.open(member) as file:
                    while file.read(PART):
                        pass

    def _text(self, name: str) -> bytes | None:
        member = self._members.get(self._folder + name)
        return None if member is None else self._archive.read(member)


def _program(archive: zipfile.ZipFile) -> zipfile.ZipInfo:
    programs = [m for m in archive.infolist() if m.filename.rpartition("/")[2] == "data.pkl"]
    if len(programs) != 1:
        raise ModelRefused(f"it holds {len(programs)} networks (data.pkl), not one")
    if programs[0].file_size > LARGEST_PROGRAM:
        raise ModelRefused(f"it holds more than {LARGEST_PROGRAM >> 20} MiB besides its tensors")
    return programs[0]


def _in_our_words(error: zipfile.BadZipFile) -> str:
    text = str(error)
    if text.startswith(BAD_CHECKSUM):
        member = text.removeprefix(BAD_CHECKSUM).strip("'")
        return f"the checksum of {member} does not fit"
    return text


def load_older(path: Path, maker: Callable[[Callable[[object], Storage]], Maker]) -> object:
    """The object in a file of the older format; arguments and errors as for archives."""
    with path.open("rb") as file:
        size = path.stat().st_size
        source = _Row(size)
        objects = maker(source.storage)
        if pickle_machine.run(file, objects) != MAGIC:
            raise BadPickle("it does not begin as torch.save begins a file")
        if pickle_machine.run(file, objects) != VERSION:
            raise BadPickle("it is of an unknown version")
        machine = pickle_machine.run(file, objects)
        if isinstance(machine, dict) and machine.get("little_endian") is False:
            raise ModelRefused("it was written on a machine of another byte order")
        loaded = pickle_machine.run(file, objects)
        source.fill(pickle_machine.run(file, objects), file)
    return loaded


class _Row:
    """Storages that are made when the program names them, and filled once it has ended."""

    def __init__(self, file_size: int) -> None:
        self._left = file_size
        self._made: dict[str, Storage] = {}

    def storage(self, key: object) -> Storage:
        """A storage, or the part of one that a view shows."""
        dtype, name, count, view = _asked(key)
        if name not in self._made:
            self._left -= count * dtype.itemsize
            if self._left < 0:
                raise BadPickle("it asks for more numbers than it holds")
            data = torch.empty(count * dtype.itemsize, dtype=torch.uint8)
            self._made[name] = Storage(dtype, data)
        if view is not None:
            raise BadPickle("it shares storages in a way that torch has left behind")
        return self._made[name]

    def fill(self, keys: Any, file: IO[bytes]) -> None:
        """Read the storages, in the order of their keys."""
        if not isinstance(keys, list) or sorted(map(str, keys)) != sorted(self._made):
            raise BadPickle("it holds other storages than its program names")
        for key in keys:
            storage = self._made[str(key)]
            count = int.from_bytes(file.read(8), "little")
            if count * storage.dtype.itemsize != storage.data.numel():
                raise BadPickle("a storage is of another size than its program says")
            read_into(file, storage.data)


def _asked(key: object) -> tuple[torch.dtype, str, int, object]:
    """Element type, name, number of elements, and view of the storage that a key asks for."""
    if isinstance(key, tuple) and key and key[0] == "module":
        raise ModelRefused(
            "it holds a whole network in the format of torch before 1.6, which carries its own "
            "source code: save it again, or its state_dict(), or pass --trust if you trust it"
        )
    if not isinstance(key, tuple) or len(key) not in (5, 6) or key[0] != "storage":
        raise BadPickle("it asks for something outside that is no storage")
    _, dtype, name, _, count, *view = key
    whole = isinstance(dtype, torch.dtype) and type(count) is int and 0 <= count < 1 << 60
    if not whole or not isinstance(name, str):
        raise BadPickle("it asks for a storage without a type, a name or a size")
    return dtype, name, count, view[0] if view else None
