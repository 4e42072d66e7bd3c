"""What a .pt file stores beside its program: raw numbers, and the tensors that show them.

Each size that the file declares is held against what the file has before anything is made. Tensors
may overlap in one storage, and repeat a number by a stride of 0, so together they may show more
than is stored: never much more.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING, TypeGuard

import torch
from torch import Tensor

from edgeprune.loading.pickle_machine import BadPickle

if TYPE_CHECKING:
    from typing import IO

DTYPES: dict[str, torch.dtype] = {
    "DoubleStorage": torch.float64,
    "FloatStorage": torch.float32,
    "HalfStorage": torch.float16,
    "BFloat16Storage": torch.bfloat16,
    "LongStorage": torch.int64,
    "IntStorage": torch.int32,
    "ShortStorage": torch.int16,
    "CharStorage": torch.int8,
    "ByteStorage": torch.uint8,
    "BoolStorage": torch.bool,
    "ComplexFloatStorage": torch.complex64,
    "ComplexDoubleStorage": torch.complex128,
    "UntypedStorage": torch.uint8,
}
"""Element type of each class of storage."""

SHOWN_TIMES = 4
SHOWN_MORE = 16 << 20
"""All tensors together show at most so many times the file's size, and so many bytes more."""

PART = 1 << 24


@dataclass(frozen=True, slots=True)
class Storage:
    """Numbers of one type in a row: ``data`` is one-dimensional, of bytes."""

    dtype: torch.dtype
    data: Tensor


class Shown:
    """Makes tensors, and counts what they show.

    Args:
        file_size: Size of the file, bytes.
    """

    def __init__(self, file_size: int) -> None:
        self._left = SHOWN_TIMES * file_size + SHOWN_MORE

    def tensor(
        self, storage: object, offset: object, size: object, stride: object, dtype: object = None
    ) -> Tensor:
        """A tensor of this geometry over a storage.

        Raises:
            BadPickle: It would reach beyond the storage, or show far more than the file holds.
        """
        if not isinstance(storage, Storage):
            raise BadPickle("a tensor has no storage")
        kind = storage.dtype if dtype is None else dtype
        if not isinstance(kind, torch.dtype) or not are_sizes((offset,)):
            raise BadPickle("a tensor has no element type, or no place")
        if not (are_sizes(size) and are_sizes(stride) and len(size) == len(stride)):
            raise BadPickle("a tensor's shape is none")
        count = prod(size)
        steps = sum((n - 1) * step for n, step in zip(size, stride, strict=True)) if count else -1
        if (offset + steps + 1) * kind.itemsize > storage.data.numel():  # type: ignore[operator]
            raise BadPickle("a tensor reaches beyond the numbers that the file holds for it")
        self._left -= count * kind.itemsize
        if self._left < 0:
            raise BadPickle("its tensors show far more numbers than the file holds")
        place = (storage.data.untyped_storage(), offset, tuple(size), tuple(stride))
        tensor: Tensor = torch.empty(0, dtype=kind).set_(*place)  # type: ignore[call-overload]
        return tensor


def are_sizes(numbers: object) -> TypeGuard[tuple[int, ...]]:
    """Whether these are whole numbers, none negative."""
    return isinstance(numbers, tuple) and all(type(n) is int and 0 <= n < 1 << 60 for n in numbers)


def read_into(file: IO[bytes], data: Tensor) -> None:
    """Fill a tensor of bytes from a file.

    Raises:
        EOFError: The file ends before.
    """
    view, done = data.numpy().data, 0
    while done < len(view):
        more = file.readinto(view[done : done + PART])  # type: ignore[attr-defined]
        if not more:
            raise EOFError("the file ends within its tensors")
        done += more
