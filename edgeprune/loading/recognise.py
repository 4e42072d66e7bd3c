"""Kind of a model file, by its content: file names can be wrong."""

from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING, Literal, TypeAlias

from edgeprune.blueprint.file import is_stored_network
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading.run_directory import WEIGHTS

if TYPE_CHECKING:
    from pathlib import Path

Kind: TypeAlias = Literal["run", "safetensors", "pickle"]

TORCHSCRIPT = (
    "is a TorchScript archive, which cannot be pruned: save the nn.Module that it was made from "
    "with torch.save(model, ...), or its state_dict() and pass --arch"
)
EXPORTED_PROGRAM = (
    "is an exported program (.pt2), which cannot be pruned yet: save the nn.Module that it was "
    "made from with torch.save(model, ...), or its state_dict() and pass --arch"
)
ONNX = "is an ONNX file: pass the PyTorch network that it was exported from"
FOREIGN = (  # first bytes of a file, and the message for it
    (b"version https://git-lfs", "is a Git LFS pointer: run 'git lfs pull' to fetch the model"),
    (b"\x89HDF", "is an HDF5 file, perhaps of Keras: pass a PyTorch model"),
    (b"<", "is a web page or XML, not a model: download the file itself"),
    (b"\x1f\x8b", "is compressed with gzip: unpack it first"),
)


def recognise(path: Path) -> Kind:
    """The kind of a file that can be loaded.

    Raises:
        UsageError: There is no such path.
        ModelRefused: Files of this kind cannot be loaded; the message says what to do instead.
    """
    try:
        if not path.exists():
            raise UsageError(f"there is no file or directory '{path}'")
        if path.is_dir():
            if (path / WEIGHTS).is_file():
                return "run"
            raise ModelRefused(f"the directory '{path}' holds no {WEIGHTS}: pass the model file")
        if not path.is_file():  # a pipe would be waited for, a device has no end
            raise ModelRefused(f"'{path}' is not a regular file")
        with path.open("rb") as file:
            head = file.read(512)
    except OSError as error:
        raise ModelRefused(f"cannot read '{path}': {error.strerror}") from error
    if not head:
        raise ModelRefused(f"'{path}' is empty")
    return _by_head(path, head)


def _by_head(path: Path, head: bytes) -> Kind:
    if head.startswith(b"PK"):
        _refuse_other_archives(path)
        return "pickle"
    if path.suffix == ".safetensors" or head[8:9] == b"{":
        return "run" if is_stored_network(path) else "safetensors"
    for start, meaning in FOREIGN:
        if head.lstrip().startswith(start):
            raise ModelRefused(f"'{path}' {meaning}")
    if path.suffix == ".onnx" or _begins_like_onnx(head):
        raise ModelRefused(f"'{path}' {ONNX}")
    if head[:1] in (b"\x80", b"(", b"c"):  # a pickle of protocol 2 and up, or an old one
        return "pickle"
    raise ModelRefused(f"'{path}' is not a PyTorch model file")


def _refuse_other_archives(path: Path) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name.partition("/")[2] or name for name in archive.namelist()}
    except (zipfile.BadZipFile, OSError, NotImplementedError, UnicodeDecodeError) as error:
        raise ModelRefused(f"'{path}' is damaged, perhaps cut off: {error}") from error
    if "constants.pkl" in members or any(name.startswith("code/") for name in members):
        raise ModelRefused(f"'{path}' {TORCHSCRIPT}")
    if members & {"archive_format", "serialized_exported_program.json"}:
        raise ModelRefused(f"'{path}' {EXPORTED_PROGRAM}")
    if "data.pkl" not in members:
        raise ModelRefused(f"'{path}' is a zip archive, but not one that torch.save wrote")


def _begins_like_onnx(head: bytes) -> bool:
    # Field 1, the IR version, a small number; then the producer, the graph or the opsets.
    return (
        head[:1] == b"\x08" and head[1] < 32 and head[2:3] in (b"\x12", b"\x1a", b"\x3a", b"\x42")
    )
