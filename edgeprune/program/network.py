"""The module that runs a program: layers by their names, operators between them from the table.

It has the layers, parameters and buffers of the network that was recorded, under the same names, so
that weights fit both. What contained layers and had a forward of its own is a ``Scope`` here.
"""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from edgeprune.errors import ModelRefused
from edgeprune.printable import printable
from edgeprune.program.checks import checked, tensors_named
from edgeprune.program.form import (
    Device,
    Extreme,
    Held,
    Kind,
    LayerCall,
    Made,
    OperatorCall,
    Program,
    Row,
    Several,
    Sized,
    Table,
    as_text,
)
from edgeprune.program.operators import operator_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.program.form import Argument


class Scope(nn.Module):
    """Stands for a module that contained others; its operators run in its name."""

    def forward(self, operator: Any, arguments: Sequence[Any], named: Mapping[str, Any]) -> Any:
        """Run an operator."""
        return operator(*arguments, **named)


class RecordedNetwork(nn.Module):
    """A network whose forward is a program.

    Functional dropout, and whatever else its code did in training alone, is not in it: it was
    recorded in eval mode. Layers (``nn.Dropout``, ``nn.BatchNorm2d``) still train as layers do.

    Args:
        program: What runs.
    """

    recorded_program: str

    def __init__(self, program: Program) -> None:
        super().__init__()
        self.recorded_program = as_text(program)

    @property
    def program(self) -> Program:
        """What runs; a resized program takes its place."""
        return checked(self.recorded_program).program

    def resize(self, program: Program) -> None:
        """Run ``program`` from now on: the same steps with other sizes."""
        self.recorded_program = as_text(program)

    def extra_repr(self) -> str:
        """The number of recorded steps."""
        return f"{len(self.program.steps)} recorded steps"

    def forward(self, first: Tensor, *others: Tensor) -> Any:
        """Run the program on the network's inputs."""
        runs = checked(self.recorded_program)
        program, inputs = runs.program, (first, *others)
        if len(inputs) != program.inputs:
            raise TypeError(f"the network takes {program.inputs} inputs, not {len(inputs)}")
        run = _Run(self, inputs)
        for step, spent in zip(program.steps, runs.spent, strict=True):
            run.take(step)
            for value in spent:
                run.values.pop(value, None)
        return run.made(program.result)

    def run_part(
        self, part: slice, values: Mapping[int, Tensor], inputs: Sequence[Tensor]
    ) -> dict[int, Tensor]:
        """Run some steps, from what the steps before them made.

        Args:
            part: The steps' places in the program.
            values: At least the values that they read and do not make, by number.
            inputs: The network's inputs: a size that depends on the batch is read off them.

        Returns:
            The values given that the steps or later ones read, and those that the steps make.
        """
        runs = checked(self.recorded_program)
        run = _Run(self, inputs)
        run.values = dict(values)
        for step, spent in zip(runs.program.steps[part], runs.spent[part], strict=True):
            run.take(step)
            for value in spent:
                run.values.pop(value, None)
        return run.values

    def require_whole(self) -> None:
        """Refuse a program that names layers or tensors which the network does not have.

        Raises:
            ModelRefused: Names what is missing.
        """
        run = _Run(self, ())
        for step in self.program.steps:
            if isinstance(step, LayerCall):
                run.layer_of(step.layer)
            else:
                run.scope_of(step.inside)
        for name in sorted(tensors_named(self.program)):
            run.tensor_of(name)


class _Run:
    """One run of a program.

    Args:
        network: The network.
        inputs: Its inputs.
    """

    def __init__(self, network: RecordedNetwork, inputs: Sequence[Tensor]) -> None:
        self.network = network
        self.inputs = inputs
        self.values: dict[int, Tensor] = dict(enumerate(inputs))

    def take(self, step: OperatorCall | LayerCall) -> None:
        """Run a step."""
        made = self.layer(step) if isinstance(step, LayerCall) else self.operator(step)
        tensors = [each for each in tree_leaves(made) if isinstance(each, Tensor)]
        if len(tensors) != len(step.makes):
            raise _damaged(f"a step gives {len(tensors)} tensors, not {len(step.makes)}")
        self.values.update(zip(step.makes, tensors, strict=True))

    def operator(self, step: OperatorCall) -> Any:
        """What an operator makes."""
        operator = operator_of(step.name)
        positional, named = [], {}
        for each, argument in zip(operator._schema.arguments, step.arguments, strict=True):
            value = self.made(argument)
            if each.kwarg_only:
                named[each.name] = value
            else:
                positional.append(value)
        scope = self.scope_of(step.inside)
        return (
            operator(*positional, **named) if scope is None else scope(operator, positional, named)
        )

    def layer(self, step: LayerCall) -> Any:
        """What a layer returns."""
        given = [self.made(each) for each in step.given]
        named = {name: self.made(each) for name, each in step.named.items()}
        return self.layer_of(step.layer)(*given, **named)

    def made(self, argument: Argument) -> Any:
        """The object that an argument stands for."""
        make = _MAKERS.get(type(argument))
        return argument if make is None else make(self, argument)

    def layer_of(self, name: str) -> nn.Module:
        """A layer that a step runs."""
        layer = self._module(name)
        if isinstance(layer, RecordedNetwork | Scope):
            raise _damaged("it calls what is no layer,", name)
        return layer

    def scope_of(self, name: str) -> nn.Module | None:
        """The module in whose name an operator runs; None for the network itself."""
        if not name:
            return None
        scope = self._module(name)
        if not isinstance(scope, Scope):
            raise _damaged("its operators run inside of a layer,", name)
        return scope

    def tensor_of(self, name: str) -> Tensor:
        """A parameter or buffer."""
        owner, _, leaf = name.rpartition(".")
        module = self._module(owner) if owner else self.network
        tensor = {**module._parameters, **module._buffers}.get(leaf)
        if tensor is None:
            raise _damaged("there is no tensor", name)
        return tensor

    def size(self, size: Sized) -> Any:
        """A size that depends on the batch."""
        return size.times * self.inputs[0].shape[0] + size.plus

    def _module(self, name: str) -> nn.Module:
        found: nn.Module | None = self.network
        for part in name.split("."):
            found = None if found is None else found._modules.get(part)
        if found is None:
            raise _damaged("there is no layer", name)
        return found


def _damaged(what: str, name: str = "") -> ModelRefused:
    shown = f" '{printable(name[:60], keep='')}'" if name else ""
    return ModelRefused(f"the network's recorded graph is damaged: {what}{shown}")


@functools.cache
def _torch_member(name: str) -> Any:
    return getattr(torch, name)


_MAKERS: dict[type, Any] = {
    Made: lambda run, argument: run.values[argument.index],
    Held: lambda run, argument: run.tensor_of(argument.name),
    Sized: lambda run, argument: run.size(argument),
    Kind: lambda run, argument: _torch_member(argument.name),
    Extreme: lambda run, argument: float(argument.text),
    Device: lambda run, argument: run.inputs[0].device,
    Several: lambda run, argument: [run.made(each) for each in argument.items],
    Row: lambda run, argument: tuple(run.made(each) for each in argument.items),
    Table: lambda run, argument: {key: run.made(each) for key, each in argument.items.items()},
}
"""What each part of a program stands for; literals stand for themselves."""
