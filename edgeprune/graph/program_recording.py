"""A network → a ``RecordedNetwork`` that computes the same: layers kept, the code between recorded.

What runs inside of one of torch's own layers stays in it; every other operator becomes a step. The
network runs at two batch sizes, so that a number which follows the batch is told from one that the
code writes out. Sizes that follow the size of the images are those of the network's input.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

from edgeprune.artifacts.recorded import ROOT
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelRefused, ModelUnsupported, failing_as
from edgeprune.graph.layers import CHANNEL_LAYERS
from edgeprune.graph.light_copy import light_copy
from edgeprune.graph.program_arguments import CONSTANT, References, call_of
from edgeprune.graph.program_batch import Recorded, merged
from edgeprune.graph.recording import arguments_of, changed_by, measurable
from edgeprune.graph.running import in_words, running_layers
from edgeprune.program.form import LayerCall, OperatorCall, Program, Row, Table
from edgeprune.program.network import RecordedNetwork, Scope
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from edgeprune.artifacts import InputSpec
    from edgeprune.program.form import Argument

BATCHES = (2, 3)
ASKING = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.is_nonzero.default)
"""Operators that give code a number out of a tensor."""

CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
"""Modules of torch's that only contain others."""


@with_room
def recorded(module: nn.Module, spec: InputSpec) -> RecordedNetwork:
    """Record a network as a program.

    Args:
        module: The network; not changed. The result shares the memory of its parameters.
        spec: What it takes.

    Returns:
        The same network, run by its recorded operators, in eval mode.

    Raises:
        ModelUnsupported: It cannot be recorded; says what stands in the way.
    """
    copied = light_copy(module).eval()
    with failing_as(ModelUnsupported, "cannot record the network"):
        runs = [_Recorder(copied).run(spec, batch) for batch in BATCHES]
        program, constants = merged(runs, BATCHES)
    network = RecordedNetwork(program)
    if vars(network).keys() & {*copied._modules, *copied._parameters, *copied._buffers}:
        raise ModelUnsupported("the network has a part named as a recorded network's own")
    _take_over(copied, network, {id(copied): network})
    for place, constant in enumerate(constants):
        network.register_buffer(CONSTANT.format(place), constant, persistent=False)
    try:
        network.require_whole()
    except ModelRefused as error:  # a layer's forward runs operators outside of its call
        raise ModelUnsupported(f"cannot record the network: {error}") from error
    return network.eval()


def is_layer(module: nn.Module) -> bool:
    """Whether a module is kept as it is: torch's own, or a convolution, linear layer or norm."""
    if isinstance(module, CHANNEL_LAYERS):
        return True
    if type(module) is nn.Module or isinstance(module, (*CONTAINERS, nn.Unflatten)):
        return False  # an Unflatten has channel counts of its own
    return all(_is_torchs(each) for each in module.modules())


class _Recorder(TorchDispatchMode):
    """Records one run: calls of layers, and operators outside of them."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._network = network
        self._references = References(network)
        self._steps: list[OperatorCall | LayerCall] = []
        self._within: list[Argument] = []  # what each layer was given whose forward runs
        self._failure: ModelUnsupported | None = None
        self._running: Sequence[str] = ()

    def run(self, spec: InputSpec, batch: int) -> Recorded:
        """Run the network on noise."""
        like = next(self._network.parameters(), torch.empty(0))
        drawn = random_inputs(spec, batch=batch, seed=batch)
        inputs = [x.to(like) if x.is_floating_point() else x.to(like.device) for x in drawn]
        self._references.made(inputs)
        with ExitStack() as stack:
            stack.enter_context(measurable(self._network))
            self._running = stack.enter_context(running_layers(self._network))
            for name, layer in self._network.named_modules():
                if name and is_layer(layer):
                    enter, leave = self._hooks(name)
                    stack.callback(layer.register_forward_pre_hook(enter, with_kwargs=True).remove)
                    stack.callback(layer.register_forward_hook(leave).remove)
            stack.enter_context(self)
            result = self._network(*inputs)
        if self._failure is not None:
            raise self._failure
        program = Program(len(inputs), tuple(self._steps), self._references.of(result))
        return Recorded(program, tuple(self._references.constants))

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if self._within or func is torch.ops.aten.lift_fresh.default:  # a constant, named when read
            return func(*args, **kwargs)
        place, passed = self._running[-1], arguments_of(func, args, kwargs)
        follows = self._references.follow_inputs(passed)
        if func in ASKING and not follows:  # of a constant: the number is one that code could hold
            return func(*args, **kwargs)
        with self._noting(in_words(place)):
            given = tuple(map(self._references.of, passed))
            if not all(map(self._references.is_made, changed_by(func, passed))):
                raise ModelUnsupported("its code writes to a tensor that it keeps")
        result = func(*args, **kwargs)
        if self._failure is None:
            with self._noting(in_words(place)):
                name, arguments = call_of(func, given, result)
                makes = self._references.made(tree_leaves(result), follows=follows)
                inside = "" if place == ROOT else place
                self._steps.append(OperatorCall(name, inside, arguments, makes))
        return result

    def _hooks(self, layer: str) -> tuple[Callable[..., None], Callable[..., Any]]:
        """What happens before a layer runs, and after."""

        def enter(_: nn.Module, args: Any, kwargs: Any) -> None:
            given: Argument = None
            if not self._within:
                with self._noting(in_words(layer)):
                    given = self._references.of((args, kwargs))
            self._within.append(given)

        def leave(_: nn.Module, __: object, result: Any) -> Any:
            if len(self._within) == 1:
                # What it returns as it was given gets a name of its own: in training it may differ.
                result = tree_map(self._renamed, result)
            given = self._within.pop()
            if not self._within and isinstance(given, Row):
                makes = self._references.made(tree_leaves(result))
                positional, named = given.items
                assert isinstance(positional, Row)
                assert isinstance(named, Table)
                self._steps.append(LayerCall(layer, positional.items, named.items, makes))
            return result

        return enter, leave

    def _renamed(self, value: object) -> object:
        if isinstance(value, Tensor) and self._references.is_made(value):
            return value.view_as(value)
        return value

    @contextmanager
    def _noting(self, place: str) -> Iterator[None]:
        """Remember what cannot be recorded: the network's code may swallow an exception."""
        try:
            yield
        except (ModelUnsupported, ValueError) as error:
            said = f"cannot record the network: {error}, in {place}"
            self._failure = self._failure or ModelUnsupported(said)


def _is_torchs(module: nn.Module) -> bool:
    return type(module).__module__.startswith("torch.nn.modules.")


def _take_over(source: nn.Module, target: nn.Module, made: dict[int, nn.Module]) -> None:
    """Give ``target`` all that ``source`` holds, what is no layer as a ``Scope``."""
    target._parameters.update(source._parameters)
    target._buffers.update(source._buffers)
    target._non_persistent_buffers_set.update(source._non_persistent_buffers_set)
    for name, child in source._modules.items():
        if child is not None and id(child) not in made:
            made[id(child)] = child if is_layer(child) else Scope()
            if not is_layer(child):
                _take_over(child, made[id(child)], made)
        target._modules[name] = None if child is None else made[id(child)]
