"""Trace every operator that a PyTorch module runs: channel groups, costs and moments start there.

The recorder sits below autograd, so it sees functional calls, overloaded operators and fused
modules alike, already broken down into primitive operators. A value is a tensor at one moment:
an in-place operator makes a new value, a reshape does not (it shows the same value in another
shape), and a view that moves data in any runtime without strides (permute, slice, expand) does.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from itertools import chain
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from edgeprune.artifacts import InputSpec
from edgeprune.artifacts.recorded import Kind, Operation, OperatorTrace, TensorView, Value
from edgeprune.deep_stack import with_room
from edgeprune.graph.outputs import tensors_in
from edgeprune.graph.running import running_layers
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from edgeprune.artifacts import SourceModel

aten = torch.ops.aten


@with_room
def trace_operators(
    module: nn.Module, shapes: Sequence[tuple[int, ...]], dtypes: Sequence[str] = ()
) -> OperatorTrace:
    """Run the module once on noise, in eval mode, and record its operators.

    Args:
        module: The network; its weights, modes and gradient flags end up as they were.
        shapes: One shape for each positional input; the batch dimension is taken as 1.
        dtypes: NumPy's name of each input's type; empty: all are float32.

    Returns:
        The operators; no activation is kept alive.
    """
    like = next(module.parameters(), torch.empty(0))
    drawn = random_inputs(InputSpec(tuple(shapes), dtypes=tuple(dtypes)), batch=1)
    inputs = [each.to(like) if each.is_floating_point() else each.to(like.device) for each in drawn]
    with measurable(module), running_layers(module) as running:
        recorder = _OperatorRecorder(module, running)
        views = [recorder.made(tensor, depends=True) for tensor in inputs]
        with recorder:
            result = module(*inputs)
    return OperatorTrace(
        operations=tuple(recorder.operations),
        inputs=tuple(view.value for view in views),
        outputs=tuple(recorder.view_of(tensor).value for tensor in tensors_in(result)),
        tensors=recorder.tensors,
        activation_bytes=recorder.activation_bytes,
    )


def operators_of(source: SourceModel) -> OperatorTrace:
    """The record of a network: the one that tracing made, or a new one where it was not traced.

    Args:
        source: The network; not changed.
    """
    return source.record or trace_operators(source.module, source.input.shapes, source.input.dtypes)


@contextmanager
def measurable(module: nn.Module) -> Iterator[None]:
    """Eval mode, and attention broken down into the matrix products that it is made of."""
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        for each in module.modules():
            stack.callback(setattr, each, "training", each.training)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        torch.backends.mha.set_fastpath_enabled(False)
        module.eval()
        yield


class _OperatorRecorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Records every operator; knows which value each tensor has at the moment."""

    def __init__(self, module: nn.Module, running: Sequence[str]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[Operation] = []
        self.activation_bytes: dict[Value, int] = {}
        self.tensors: dict[Value, str] = {}
        self._running = running
        self._values: dict[int, dict[object, Value]] = {}
        # A dead storage's address is not given out again while a weak reference to it exists.
        self._storages: dict[int, StorageWeakRef] = {}
        self._next_value = 0
        for name, tensor in chain(module.named_parameters(), module.named_buffers()):
            if _geometry(tensor) not in self._values_of(tensor):
                self.tensors[self.made(tensor, depends=False).value] = name

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        passed = arguments_of(func, args, kwargs)
        arguments = tuple(map(self._with_views, passed))
        reads = tuple(leaf for leaf in tree_leaves(arguments) if isinstance(leaf, TensorView))
        result = func(*args, **kwargs)
        depends = any(view.value in self.activation_bytes for view in reads)
        made, changed = _tensors(result), changed_by(func, passed)
        kind = _kind(func)
        if kind == "reshape":
            writes = [self._show(made[0], reads[0].value)]
        elif changed:
            writes = [self._rewritten(tensor, depends=depends) for tensor in changed]
        else:
            writes = [self.made(tensor, depends=depends) for tensor in made]
        macs = _macs(func, args, kwargs, result) if depends else 0
        self.operations.append(
            Operation(self._running[-1], _name(func), kind, arguments, reads, tuple(writes), macs)
        )
        return result

    def view_of(self, tensor: Tensor) -> TensorView:
        """The view of a tensor's value; a tensor that nothing recorded made is a constant."""
        values = self._values_of(tensor)
        if not values:
            return self.made(tensor, depends=False)
        geometry, whole = _geometry(tensor), next(iter(values.values()))
        return TensorView(values.get(geometry, whole), tuple(tensor.shape), geometry in values)

    def made(self, tensor: Tensor, *, depends: bool) -> TensorView:
        """Give a tensor a new value."""
        value = self._next_value
        self._next_value += 1
        if depends:
            self.activation_bytes[value] = tensor.numel() * tensor.element_size()
        return self._show(tensor, value)

    def _rewritten(self, tensor: Tensor, *, depends: bool) -> TensorView:
        """A new value for a tensor that was written to, and for all views of its storage."""
        self._values_of(tensor).clear()
        view = self.made(tensor, depends=depends)
        if depends:
            self.activation_bytes[view.value] = tensor.untyped_storage().nbytes()
        return view

    def _with_views(self, argument: object) -> object:
        """An argument with ``TensorView`` in the place of every tensor."""
        if isinstance(argument, (list, tuple)):
            return tuple(map(self._with_views, argument))
        return self.view_of(argument) if isinstance(argument, Tensor) else argument

    def _show(self, tensor: Tensor, value: Value) -> TensorView:
        self._values_of(tensor)[_geometry(tensor)] = value
        return TensorView(value, tuple(tensor.shape))

    def _values_of(self, tensor: Tensor) -> dict[object, Value]:
        """The values in the storage of a tensor; the first is that of the whole storage."""
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._storages.setdefault(reference.cdata, reference)
        return self._values.setdefault(reference.cdata, {})


def _geometry(tensor: Tensor) -> object:
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def arguments_of(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, ...]:
    """The arguments of an operator, in the order of its schema."""
    left_out = func._schema.arguments[len(args) :]
    return (*args, *(kwargs.get(each.name, each.default_value) for each in left_out))


def changed_by(func: Any, passed: tuple[Any, ...]) -> list[Tensor]:
    """The arguments that an in-place operator writes to."""
    aliases = [argument.alias_info for argument in func._schema.arguments]
    return _tensors(
        [each for each, alias in zip(passed, aliases, strict=True) if alias and alias.is_write]
    )


def _name(func: Any) -> str:
    """``relu`` for ``aten.relu_.default``."""
    name = str(func).split(".")[1] if str(func).startswith("aten.") else str(func)
    return name if name.startswith("_") else name.rstrip("_")


def _kind(func: Any) -> Kind:
    name = _name(func)
    if name in RESHAPES:
        return "reshape"
    if name in NORMS:
        return "norm"
    pointwise = torch.Tag.pointwise in func.tags or name in UNTAGGED_POINTWISE
    return "pointwise" if pointwise else "other"


def _macs(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> int:
    """Multiply-accumulates of one operator; 0 for all but convolutions and matrix products."""
    packet = func.overloadpacket
    if packet in flop_registry:
        return int(flop_registry[packet](*args, **kwargs, out_val=result)) // 2
    if packet in (aten.mv, aten.dot):
        return int(args[0].numel())
    if packet == aten.mkldnn_rnn_layer:  # every step and sample pass both weight matrices
        return int(args[0].shape[:2].numel() * (args[1].numel() + args[2].numel()))
    return 0


RESHAPES = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "flatten"),
    *("detach", "alias", "lift_fresh"),
}
BATCH_NORMS = (
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("batch_norm_with_update", "_batch_norm_no_update", "miopen_batch_norm"),
)
NORMS = {*BATCH_NORMS, "native_layer_norm", "native_group_norm", "_fused_rms_norm"}
UNTAGGED_POINTWISE = {"hardswish", "_prelu_kernel", "_to_copy", "copy", "native_dropout"}
