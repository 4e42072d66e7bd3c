"""Pictures that claim to be larger than they are, made chunk by chunk."""

from __future__ import annotations

import struct
import zlib


def png(width: int, height: int, pixels: bytes = b"\0") -> bytes:
    """A PNG file of this size by its header, with so many bytes of pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        body = kind + data
        return struct.pack(">I", len(data)) + body + struct.pack(">I", zlib.crc32(body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(pixels)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)
