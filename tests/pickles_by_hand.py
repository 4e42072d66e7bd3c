"""Files of torch.save with programs that no pickler would write, made opcode by opcode."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def text(value: str) -> bytes:
    content = value.encode()
    return b"X" + struct.pack("<I", len(content)) + content


def number(value: int) -> bytes:
    size = value.bit_length() // 8 + 1
    return b"\x8a" + bytes([size]) + value.to_bytes(size, "little", signed=True)


def name(full: str) -> bytes:
    module, _, attribute = full.rpartition(".")
    return imported(module, attribute)


def imported(module: str, attribute: str) -> bytes:
    """What a module has, or what lies in something that it has: the attribute may have dots."""
    return f"c{module}\n{attribute}\n".encode()


def tupled(*items: bytes) -> bytes:
    return b"(" + b"".join(items) + b"t"


def call(full: str, *arguments: bytes) -> bytes:
    return name(full) + tupled(*arguments) + b"R"


def storage(count: int, kind: str = "FloatStorage", key: str = "0") -> bytes:
    parts = (text("storage"), name(f"torch.{kind}"), text(key), text("cpu"), number(count))
    return tupled(*parts) + b"Q"


def tensor(
    stored: bytes, offset: int, size: tuple[int, ...], stride: tuple[int, ...], *more: bytes
) -> bytes:
    place = (number(offset), tupled(*map(number, size)), tupled(*map(number, stride)))
    rest = (b"\x89", call("collections.OrderedDict"))
    return call("torch._utils._rebuild_tensor_v2", stored, *place, *rest, *more)


def dictionary(**items: bytes) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in items.items()) + b"u"


def archive(path: Path, program: bytes, floats: int = 4, extra: tuple[str, ...] = ()) -> Path:
    """A .pt file with this program and one storage of so many float32 ones."""
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("archive/data.pkl", b"\x80\x02" + program + b".")
        for each in extra:
            file.writestr(each, b"\x80\x02" + program + b".")
        file.writestr("archive/byteorder", "little")
        file.writestr("archive/data/0", struct.pack("<f", 1.0) * floats)
        file.writestr("archive/version", "3\n")
    return path
