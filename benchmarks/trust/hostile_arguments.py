"""Command lines: values that cannot be meant, addresses with options in them, places that are odd.

Pipes, devices, links, folders, pictures that swell, and paths that look like something else.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from hostile_networks import names
from parsers import CORPUS
from sandbox import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

from pictures_by_hand import png  # found beside the tests

if TYPE_CHECKING:
    from collections.abc import Iterator

KIND = "arguments, paths, devices, images"

NUMBERS = (
    "",
    "0",
    "-1",
    "nan",
    "inf",
    "1e999",
    "9" * 5000,
    "50%%",
    "½",
    "0x10",
    "1,5",
    "%",
    " ",
    "1\x00",
)
FLAGS = (
    *("--macs", "--params", "--ratio", "--unit", "--mean", "--std", "--budget-time", "--within"),
    *("--threads", "--seconds", "--opset", "--seed", "--input"),
)
WORDS = (
    *("--importance", "--scope", "--recover", "--synthesis", "--target", "--runtime", "--device"),
    *("--keep", "--arch", "--arch-arg", "--allow", "--fail-if", "--images", "--eval", "-o"),
)
ADDRESSES = (
    *("ssh://", "ssh://-oProxyCommand=touch ran", "ssh://-oProxyCommand=touch%20ran", "ssh://a b"),
    *("ssh://user@-oProxyCommand=x", "ssh://[::1", "ssh://h:99999", "ssh://h:-1", "ssh://h/x"),
    *(
        "ssh://h?python=touch ran;",
        "ssh://h?evil=1",
        "ssh://h\n-oX",
        "ssh://h?limit=nan",
        "ssh://@",
    ),
    *(
        "ssh://$(touch ran)",
        "ssh://`touch ran`",
        "local:x",
        "local://x",
        "qemu-arm64://x",
        "x" * 5000,
    ),
    *(
        "file:///etc/passwd",
        "ssh://h?folder=;touch ran",
        "ssh://h?python=",
        "\x1b]0;x\x07",
        "ssh://h?config=/x",
    ),
)


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Make the places, and say what takes them."""
    (work / "odd").mkdir()
    (work / "model.pt").write_bytes((CORPUS / "networks" / "whole.pt").read_bytes())
    (work / "model.onnx").write_bytes((CORPUS / "onnx" / "compressed.onnx").read_bytes())
    dry = ("compress", "model.pt", "--dry-run")
    for flag in FLAGS:
        for value in NUMBERS:
            yield Case(f"{flag} {value[:20]!r}", ((*dry, f"{flag}={value}"),))
    for flag in WORDS:
        for value in names(str(canary / "ran"))[::3]:
            yield Case(f"{flag} {value[:20]!r}", ((*dry, flag, value),))
    for address in ADDRESSES:
        commands = (("doctor", "--device", address), ("bench", "model.onnx", "--device", address))
        yield Case(f"device {address[:30]!r}", commands)
    for name, commands in (*_places(work), *_pictures(work), *_gates()):
        yield Case(name, commands)


def _places(work: Path) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """What is no regular file, wherever a file is expected."""
    odd = work / "odd"
    os.mkfifo(odd / "pipe")
    (odd / "loop").symlink_to("loop")
    (odd / "away").symlink_to("/etc/hostname")
    (odd / "folder").mkdir()
    (odd / "dangling").symlink_to("nowhere")
    names_ = ("a\nb", "-rf", "\x1b[2J", "a" * 200, "$(touch ran)", "é", "..", ".")
    for name in names_[:6]:
        (odd / name).write_bytes((work / "model.pt").read_bytes())
    for place in ("pipe", "loop", "away", "folder", "dangling", *names_):
        yield from _wherever(f"./odd/{place}", place)
    for place in (
        "/dev/zero",
        "/dev/null",
        "/dev/full",
        "/proc/self/mem",
        "/dev/stdin",
        "",
        "\x00",
        "x" * 5000,
    ):
        yield from _wherever(place, place)


def _wherever(path: str, name: str) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    quick = ("--opset", "17", "--no-bench", "--recover", "none")
    for kind, command in {
        "model": ("inspect", path), "ONNX": ("bench", path, "--seconds", "0.1"),
        "report": ("check", path),
        "recipe": ("compress", "model.pt", "--recipe", path, "--dry-run"),
        "plan": ("apply", path, "model.pt", *quick), "run": ("recover", path),
        "images": ("compress", "model.pt", "--images", path, "--no-bench"),
        "exported run": ("export", path, "--opset", "17", "-o", "out/exported"),
    }.items():  # fmt: skip
        yield f"{kind} {name[:20]!r}", (command,)


def _pictures(work: Path) -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    """Folders of images, one picture in them hostile."""
    for name, content in {
        "bomb": _png(60_000, 60_000), "large": _png(12_000, 12_000), "cut": _png(8, 8)[:40],
        "text": b"hello", "empty": b"", "svg": b"<svg onload='x'/>", "eps": b"%!PS\n(ran)(w)file\n",
        "zero": _png(0, 0), "pickle": b"\x80\x04cos\nsystem\n(S'touch ran'\ntR.",
        "tiff": b"II*\0" + b"\xff" * 200, "gif": b"GIF89a" + b"\xff" * 300,
        "webp": b"RIFF\xff\xff\xff\xffWEBP",
        "thin": _png(1, 10_000_000), "jpeg": b"\xff\xd8\xff\xe0" + b"\xff" * 500,
    }.items():  # fmt: skip
        for kind in ("--images", "--eval"):
            folder = work / "pictures" / f"{name}{kind}"
            (folder / "a").mkdir(parents=True)
            for place in range(6):
                (folder / "a" / f"{place}.png").write_bytes(content)
            at = str(folder.relative_to(work))
            run = (
                "compress",
                "model.pt",
                kind,
                at,
                "--no-bench",
                "--recover",
                "reconstruct",
                "--opset",
                "17",
            )
            yield f"{kind} of {name}", ((*run, "-o", f"out/{name}{kind}"),)


def _gates() -> Iterator[tuple[str, tuple[tuple[str, ...], ...]]]:
    for text in (
        "", ">", "a > 1", "ratio.macs", "ratio.macs > ", "ratio.macs > 1 or", "__class__ > 1",
        "ratio.__class__ > 1", "ratio.macs > __import__('os').system('touch ran')", "(" * 9999,
        "ratio.macs > 1e999", "ratio.macs > nan", "ratio.macs > 1%%", "ratio.macs >> 1",
        "x" * 99_999,
        "ratio.macs > 1 and " * 2000, "\x1b[2J > 1", "ratio.macs > 5 ms", "0 > 0", "ratio.macs > ⅓",
    ):  # fmt: skip
        yield f"gate {text[:20]!r}", (("compress", "model.pt", "--dry-run", "--fail-if", text),)


def _png(width: int, height: int) -> bytes:
    """A picture with all of its pixels, up to 10 MB of them."""
    return png(width, height, bytes(min(3 * width * height, 10_000_000)))
