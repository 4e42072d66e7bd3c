"""What an operator or a layer was given, as the arguments of a program's step."""

from __future__ import annotations

from itertools import chain
from math import isfinite
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves
from torch.utils.weak import WeakTensorKeyDictionary

from edgeprune.errors import ModelUnsupported
from edgeprune.program.form import Device, Extreme, Held, Kind, Made, Row, Several, Table
from edgeprune.program.operators import operator_of, takes

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.program.form import Argument

CONSTANT = "recorded_constant_{}"
"""Buffers for tensors that the code makes, or keeps outside of parameters and buffers."""

PUBLIC: dict[str, tuple[str, tuple[int | None, ...]]] = {
    "_unsafe_view.default": ("view.default", (0, 1)),
    "_adaptive_avg_pool2d.default": ("adaptive_avg_pool2d.default", (0, 1)),
    "_adaptive_avg_pool3d.default": ("adaptive_avg_pool3d.default", (0, 1)),
    "_softmax.default": ("softmax.int", (0, 1, None)),
    "_log_softmax.default": ("log_softmax.int", (0, 1, None)),
}
"""What users write for operators that PyTorch's older exporter does not know: the name, and which
of the arguments it takes."""


class References:
    """Numbers of the tensors of one run, and names of those that the network holds.

    Args:
        network: The network that runs.

    Attributes:
        constants: Tensors that neither the network holds nor a step made.
    """

    def __init__(self, network: nn.Module) -> None:
        self.constants: list[Tensor] = []
        self._values = WeakTensorKeyDictionary()
        self._held = WeakTensorKeyDictionary()
        self._following = WeakTensorKeyDictionary()
        self._count = 0
        for name, tensor in chain(network.named_parameters(), network.named_buffers()):
            self._held[tensor] = name

    def made(self, tensors: Sequence[object], *, follows: bool = True) -> tuple[int, ...]:
        """Number what was made; all that is no tensor is left out.

        Args:
            tensors: What was made.
            follows: Whether it depends on the network's inputs.
        """
        first = self._count
        for tensor in tensors:
            if isinstance(tensor, Tensor):
                self._values[tensor], self._following[tensor] = self._count, follows
                self._count += 1
        return tuple(range(first, self._count))

    def is_made(self, tensor: Tensor) -> bool:
        """Whether a tensor is an input, or what some step made."""
        return tensor in self._values

    def follow_inputs(self, passed: Sequence[object]) -> bool:
        """Whether some tensor that an operator was given depends on the network's inputs."""
        tensors = [each for each in tree_leaves(passed) if isinstance(each, Tensor)]
        return any(each in self._following and self._following[each] for each in tensors)

    def of(self, value: object) -> Argument:
        """An object as an argument.

        Raises:
            ModelUnsupported: It has no form in a program.
        """
        if isinstance(value, Tensor):
            return self._of_tensor(value)
        if type(value) in (tuple, torch.Size):
            return Row(tuple(map(self.of, value)))  # type: ignore[call-overload]
        if type(value) is list:
            return Several(tuple(map(self.of, value)))
        if isinstance(value, dict) and all(isinstance(key, str) for key in value):
            return Table({key: self.of(each) for key, each in value.items()})
        return _literal(value)

    def _of_tensor(self, tensor: Tensor) -> Argument:
        if tensor in self._values:
            return Made(self._values[tensor])
        if tensor not in self._held:
            self._held[tensor] = CONSTANT.format(len(self.constants))
            self.constants.append(tensor.detach().clone())
        return Held(self._held[tensor])


def call_of(func: Any, given: Sequence[Argument], result: object) -> tuple[str, tuple[Any, ...]]:
    """An operator's name and arguments in a program.

    Args:
        func: The operator that ran.
        given: Its arguments, in the order of its schema.
        result: What it returned.

    Raises:
        ValueError: No program may run it.
    """
    name = _name(func)
    asked = func._schema.arguments
    makes_anew = not any(str(each.type) == "Tensor" for each in asked)
    arguments = [_as_list(argument) for argument in given]
    for place, each in enumerate(asked):
        if each.name == "device" and makes_anew:
            arguments[place] = Device()
    if name == "split.Tensor":  # parts of one size may come to differ in size
        assert isinstance(result, list | tuple)
        sizes = Several(tuple(part.shape[arguments[2]] for part in result))
        return "split_with_sizes.default", (arguments[0], sizes, arguments[2])
    operator_of(name)
    if name in PUBLIC:
        name, places = PUBLIC[name]
        return name, tuple(None if place is None else arguments[place] for place in places)
    if _fit(func, arguments):
        return name, tuple(arguments)
    packet = func.overloadpacket
    for other in (getattr(packet, overload) for overload in packet.overloads()):
        if _fit(other, arguments):  # a number stands in the place of a tensor
            operator_of(_name(other))
            return _name(other), tuple(arguments)
    raise ValueError(f"'{name}' was given what has no form in a recorded network")


def _name(func: Any) -> str:
    """``view.default`` for ``aten.view.default``."""
    return str(func).removeprefix("aten.")


def _fit(func: Any, arguments: Sequence[Argument]) -> bool:
    asked = func._schema.arguments
    return len(asked) == len(arguments) and all(
        takes(str(each.real_type), argument)
        for each, argument in zip(asked, arguments, strict=True)
    )


def _as_list(argument: Argument) -> Any:
    """An operator's argument; it knows lists alone."""
    return Several(argument.items) if isinstance(argument, Row) else argument


def _literal(value: object) -> Argument:
    if value is None or type(value) in (bool, int, str) or value is torch.strided:
        return None if value is torch.strided else value  # type: ignore[return-value]
    if type(value) is float:
        return value if isfinite(value) else Extreme(str(value))
    if isinstance(value, torch.dtype | torch.memory_format):
        return Kind(str(value).removeprefix("torch."))
    if isinstance(value, torch.device):
        return Device()
    raise ModelUnsupported(f"a {type(value).__name__} has no form in a recorded network")
