"""Write down every operator that a PyTorch module runs.

The recorder sits below autograd, so it sees functional calls, overloaded operators and fused
modules alike, already broken down into primitive operators. A value is a tensor at one moment:
an in-place operator makes a new value, a reshape does not, and a view that moves data in any
runtime without strides (permute, slice, expand) does.
"""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Literal

import torch
from torch import Tensor, nn
from torch.multiprocessing.reductions import StorageWeakRef
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

from edgeprune.costs.ledger import Recording, Step, Value

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

aten = torch.ops.aten
ROOT = "(root)"

RESHAPES = {
    *("view", "_unsafe_view", "reshape", "_reshape_alias", "squeeze", "unsqueeze", "flatten"),
    *("detach", "alias", "lift_fresh"),
}
NORMS = {
    *("native_batch_norm", "_native_batch_norm_legit_no_training", "cudnn_batch_norm"),
    *("batch_norm_with_update", "_batch_norm_no_update", "miopen_batch_norm"),
    *("native_layer_norm", "native_group_norm", "_fused_rms_norm"),
}
UNTAGGED_POINTWISE = {"hardswish", "_prelu_kernel", "_to_copy", "copy", "native_dropout"}


def record(module: nn.Module, shapes: Sequence[tuple[int, ...]]) -> Recording:
    """Run the module once on noise and write down what it does.

    Args:
        module: The network; its weights, modes and gradient flags end up as they were.
        shapes: One shape for each positional input; the batch dimension is taken as 1.

    Returns:
        The recording; parameters that are tied count as one.
    """
    like = next(module.parameters(), torch.empty(0))
    noise = torch.Generator().manual_seed(0)
    inputs = [torch.randn(1, *shape[1:], generator=noise).to(like) for shape in shapes]
    recorder = _Recorder(module)
    with _measurable(module), recorder.naming_layers():
        recorder.inputs = tuple(recorder.activation(tensor) for tensor in inputs)
        with recorder:
            result = module(*inputs)
    return Recording(
        steps=tuple(recorder.steps),
        activation_bytes=recorder.activation_bytes,
        inputs=recorder.inputs,
        outputs=tuple(recorder.value_of(tensor) for tensor in _tensors(result)),
        parameters=recorder.parameters,
    )


@contextmanager
def _measurable(module: nn.Module) -> Iterator[None]:
    """Eval mode, and attention broken down into the matrix products that it is made of."""
    modes = [(each, each.training) for each in module.modules()]
    fused = torch.backends.mha.get_fastpath_enabled()
    with ExitStack() as stack:
        stack.callback(_restore, modes)
        stack.callback(torch.backends.mha.set_fastpath_enabled, fused)
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.no_grad())
        stack.enter_context(sdpa_kernel([SDPBackend.MATH]))
        torch.backends.mha.set_fastpath_enabled(False)
        module.eval()
        yield


def _restore(modes: list[tuple[nn.Module, bool]]) -> None:
    for module, training in modes:
        module.training = training


class _Recorder(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every operator; knows which value each tensor holds at the moment."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.steps: list[Step] = []
        self.inputs: tuple[Value, ...] = ()
        self.activation_bytes: dict[Value, int] = {}
        self.parameters: dict[Value, int] = {}
        self._names = {id(each): name or ROOT for name, each in module.named_modules()}
        self._running = [ROOT]
        self._values: dict[int, dict[object, Value]] = {}
        # A dead storage's address is not given out again while a weak reference to it exists.
        self._storages: dict[int, StorageWeakRef] = {}
        self._next_value = 0
        for parameter in module.parameters():
            if _geometry(parameter) not in self._held(parameter):
                self.parameters[self._new(parameter, depends=False)] = parameter.numel()

    @contextmanager
    def naming_layers(self) -> Iterator[None]:
        """Keep track of the module whose forward is running."""

        def enter(module: nn.Module, _: object) -> None:
            self._running.append(self._names.get(id(module), self._running[-1]))

        def leave(*_: object) -> None:
            self._running.pop()

        with (
            register_module_forward_pre_hook(enter),
            register_module_forward_hook(leave, always_call=True),
        ):
            yield

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        reads = tuple(self.value_of(tensor) for tensor in _tensors((args, kwargs)))
        result = func(*args, **kwargs)
        made = _tensors(result)
        changed = _changed(func, args, kwargs)
        if _name(func) in RESHAPES and made:
            self._hold(made[0], reads[0])
        elif made or changed:
            depends = any(value in self.activation_bytes for value in reads)
            make = self._renew if changed else self._new
            writes = tuple(make(tensor, depends=depends) for tensor in changed or made)
            macs = _macs(func, args, kwargs, result) if depends else 0
            shape = tuple((changed or made)[0].shape)
            self.steps.append(Step(self._running[-1], _kind(func), reads, writes, macs, shape))
        return result

    def value_of(self, tensor: Tensor) -> Value:
        """The value that a tensor holds; a tensor never seen before holds a constant."""
        held = self._held(tensor)
        whole = next(iter(held.values()), None)
        value = held.get(_geometry(tensor), whole)
        return self._new(tensor, depends=False) if value is None else value

    def activation(self, tensor: Tensor) -> Value:
        """Take a tensor as an input of the network."""
        return self._new(tensor, depends=True)

    def _renew(self, tensor: Tensor, *, depends: bool) -> Value:
        """A new value for a tensor that was written to, and for all views of its storage."""
        held = self._held(tensor)
        held.clear()
        value = self._new(tensor, depends=depends)
        if depends:
            self.activation_bytes[value] = tensor.untyped_storage().nbytes()
        return value

    def _new(self, tensor: Tensor, *, depends: bool) -> Value:
        value = self._next_value
        self._next_value += 1
        self._hold(tensor, value)
        if depends:
            self.activation_bytes[value] = tensor.numel() * tensor.element_size()
        return value

    def _hold(self, tensor: Tensor, value: Value) -> None:
        self._held(tensor)[_geometry(tensor)] = value

    def _held(self, tensor: Tensor) -> dict[object, Value]:
        """The values in the storage of a tensor; the first is that of the whole storage."""
        reference = StorageWeakRef(tensor.untyped_storage())  # type: ignore[no-untyped-call]
        self._storages.setdefault(reference.cdata, reference)
        return self._values.setdefault(reference.cdata, {})


def _geometry(tensor: Tensor) -> object:
    return tensor.storage_offset(), tuple(tensor.shape), tensor.stride()


def _tensors(tree: object) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, Tensor)]


def _changed(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> list[Tensor]:
    """The arguments that an in-place operator writes to."""
    schema = getattr(func, "_schema", None)
    if schema is None or not schema.is_mutable:
        return []
    written = [
        args[position] if position < len(args) else kwargs.get(argument.name)
        for position, argument in enumerate(schema.arguments)
        if argument.alias_info is not None and argument.alias_info.is_write
    ]
    return _tensors(written)


def _name(func: Any) -> str:
    """``relu`` for ``aten.relu_.default``."""
    name = str(func).split(".")[1] if str(func).startswith("aten.") else str(func)
    return name if name.startswith("_") else name.rstrip("_")


def _kind(func: Any) -> Literal["pointwise", "norm", "other"]:
    if _name(func) in NORMS:
        return "norm"
    pointwise = torch.Tag.pointwise in func.tags or _name(func) in UNTAGGED_POINTWISE
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
