"""A loaded network → the same network in the form that every later stage expects.

Wrappers (DataParallel, torch.compile, averaged models) are taken off, around it and inside; weight
normalisation and similar parametrizations are baked into plain weights; then float32 and eval mode.
The digest identifies the weights.
"""

from __future__ import annotations

import copy
import hashlib
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm as BatchNorm
from torch.nn.utils import parametrize, prune, remove_spectral_norm, remove_weight_norm
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm

from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported
from edgeprune.loading.quantized_layers import require_float

if TYPE_CHECKING:
    from collections.abc import Callable

PART = 1 << 22
"""Elements that are looked at together."""

WRAPPERS = {  # class → the attribute that holds the network
    "torch.nn.parallel.data_parallel.DataParallel": "module",
    "torch.nn.parallel.distributed.DistributedDataParallel": "module",
    "torch.optim.swa_utils.AveragedModel": "module",
    "torch._dynamo.eval_frame.OptimizedModule": "_orig_mod",
    "edgeprune.loading.compiled.CompiledPart": "_orig_mod",
}


def copied(network: nn.Module) -> nn.Module:
    """A copy of a network, without the wrappers inside it.

    Raises:
        ModelUnsupported: The network cannot be copied.
    """
    memo: dict[int, object] = _copies_of_results(network)
    try:
        for part in network.modules():
            if (inner := unwrapped(part)) is not part:
                memo[id(part)] = copy.deepcopy(inner, memo)
        return copy.deepcopy(network, memo)
    except (RuntimeError, TypeError) as error:
        kind = type(network).__name__
        raise ModelUnsupported(f"{kind} cannot be copied: {error}") from error


def unwrapped(network: nn.Module) -> nn.Module:
    """The network inside wrappers that only concern training.

    Raises:
        ModelUnsupported: The network is TorchScript, which has no Python modules to change.
    """
    while attribute := WRAPPERS.get(f"{type(network).__module__}.{type(network).__qualname__}"):
        network = getattr(network, attribute)
    if isinstance(network, torch.jit.ScriptModule):
        raise ModelUnsupported("TorchScript cannot be pruned: pass the nn.Module it was made from")
    return network


def _copies_of_results(network: nn.Module) -> dict[int, object]:
    """Copies of the tensors that deepcopy refuses, those with a gradient function, as its memo."""
    values = (value for module in network.modules() for value in vars(module).values())
    return {id(v): v.detach().clone() for v in values if isinstance(v, Tensor) and not v.is_leaf}


@with_room
def prepared(network: nn.Module) -> nn.Module:
    """Take off wrappers inside, bake parametrizations, convert to float32, set eval mode; in place.

    Raises:
        ModelUnsupported: A parametrization cannot be baked, a layer is quantized, or a weight is
            no finite number; the message names the layer.
    """
    for part in list(network.modules()):
        part._modules.update({n: unwrapped(c) for n, c in part._modules.items() if c is not None})
    require_float(network)
    network.eval()  # first: spectral normalisation changes state when read in training mode
    for name, module in network.named_modules():
        _bake(module, name)
    network.float()
    for module in network.modules():
        for name, value in vars(module).items():
            if isinstance(value, Tensor) and value.is_floating_point():
                vars(module)[name] = value.detach().float()
    _require_finite(network)
    return network


def _require_finite(network: nn.Module) -> None:
    """Refuse a network whose weights are not numbers: nothing that it computes means anything.

    Raises:
        ModelUnsupported: Names the tensor.
    """
    for name, parameter in network.named_parameters():
        if not _all_finite(parameter):
            what = "NaN" if bool(torch.isnan(parameter).any()) else "infinite values"
            raise _no_number(name, what)
    for name, buffer in network.named_buffers():
        if bool(torch.isnan(buffer).any()):
            raise _no_number(name, "NaN")
    for name, layer in network.named_modules():
        impossible = _impossible_statistics(layer) if isinstance(layer, BatchNorm) else None
        if impossible:
            raise ModelUnsupported(f"'{name}' has {impossible}: the file is damaged")


def _no_number(name: str, what: str) -> ModelUnsupported:
    return ModelUnsupported(f"'{name}' holds {what}: the training diverged, or the file is damaged")


def _impossible_statistics(layer: BatchNorm) -> str | None:
    """What no training leaves in the statistics of a BatchNorm; None if they are as they should."""
    mean, variance = layer.running_mean, layer.running_var
    if mean is not None and not bool(torch.isfinite(mean).all()):
        return "an infinite running mean"
    if variance is None:
        return None
    if not bool(torch.isfinite(variance).all()):
        return "an infinite running variance"
    if bool((variance < 0).any()):
        return "a running variance below 0"
    if bool((variance + layer.eps <= 0).any()):
        return "a running variance of 0 and nothing (eps) added to it"
    return None


def _all_finite(tensor: Tensor) -> bool:
    """Whether all are numbers, looked at in parts: each needs as much memory again."""
    flat = tensor.detach().reshape(-1)
    return all(bool(torch.isfinite(part).all()) for part in torch.split(flat, PART))


@with_room
def digest(network: nn.Module) -> str:
    """SHA-256 of the weights, in hexadecimal, whatever file or order they came in.

    The counters of BatchNorm are left out: inference does not read them, and old files lack them.
    """
    total = hashlib.sha256()
    for name, tensor in sorted(network.state_dict().items()):
        if isinstance(tensor, Tensor) and not name.endswith("num_batches_tracked"):
            total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
            flat = tensor.detach().cpu().contiguous().reshape(-1)
            total.update(flat.view(torch.uint8).numpy().data)
    return total.hexdigest()


def _bake(module: nn.Module, name: str) -> None:
    try:
        _bake_parametrizations(module)
        _bake_hooks(module)
    except (RuntimeError, NotImplementedError, ValueError) as error:
        raise ModelUnsupported(
            f"cannot bake the parametrization of {name!r} into plain weights: {error}"
        ) from error


def _bake_parametrizations(module: nn.Module) -> None:
    if parametrize.is_parametrized(module):
        # A copy shares the generated class that holds its weight as a property with the original,
        # and baking takes the property away: give it a class of its own.
        shared = type(module)
        own = {k: v for k, v in vars(shared).items() if k not in ("__dict__", "__weakref__")}
        module.__class__ = type(shared.__name__, shared.__bases__, own)
        for name in list(module.parametrizations):  # type: ignore[arg-type]
            parametrize.remove_parametrizations(module, name, leave_parametrized=True)


def _bake_hooks(module: nn.Module) -> None:
    for hook in list(module._forward_pre_hooks.values()):
        for kind, (tensor_name, remove) in _OLDER.items():
            if isinstance(hook, kind):
                remove(module, getattr(hook, tensor_name))


# Before parametrizations, a hook recomputed the weight at every call.
_OLDER: dict[type, tuple[str, Callable[[nn.Module, str], object]]] = {
    WeightNorm: ("name", remove_weight_norm),
    SpectralNorm: ("name", remove_spectral_norm),
    prune.BasePruningMethod: ("_tensor_name", prune.remove),
}
