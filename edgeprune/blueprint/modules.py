"""The module tree as JSON and back.

    {"modules": [{"class", "training", "attributes", "parameters", "buffers", "transient",
                  "children"}, …],
     "tensors": {key: {"parameter", "requires_grad"}}}

Modules and tensors are each written once and referred to by index or key, so what was shared
stays shared. Module 0 is the network. Hooks are dropped: they are code, not architecture.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from edgeprune.blueprint.values import (
    UndescribableError,
    from_json,
    name_of,
    named,
    to_json,
)
from edgeprune.errors import ModelRefused, ModelUnsupported
from edgeprune.layer_names import require_plain
from edgeprune.program.network import RecordedNetwork

if TYPE_CHECKING:
    from collections.abc import Mapping

    from edgeprune.blueprint.allowed import Allowed
    from edgeprune.blueprint.values import Json


def describe(network: nn.Module) -> tuple[dict[str, Json], dict[str, Tensor]]:
    """Describe a network.

    Args:
        network: Any network without parametrizations.

    Returns:
        Blueprint as plain JSON, and every tensor in it, by the dotted name where it comes first.

    Raises:
        ModelUnsupported: A value has no JSON form; the message names the module and the
            attribute.
        ModelRefused: A layer or tensor has a name that could become code.
    """
    require_plain(network, "the network")
    survey = _Survey()
    survey.index_of(network)
    for index, module in enumerate(survey.modules):  # grows in the loop
        survey.described.append(survey.describe(module, survey.paths[index]))
    tensors = {
        key: {"parameter": isinstance(t, nn.Parameter), "requires_grad": t.requires_grad}
        for key, t in survey.tensors.items()
    }
    blueprint = {"modules": survey.described, "tensors": tensors}
    return blueprint, {key: tensor.detach() for key, tensor in survey.tensors.items()}


def rebuild(
    blueprint: Mapping[str, Json], tensors: Mapping[str, Tensor], allowed: Allowed
) -> nn.Module:
    """Make the network that ``describe`` described. No constructor runs.

    Args:
        blueprint: Blueprint of ``describe``.
        tensors: Tensors of ``describe``; used without a copy.
        allowed: Modules whose classes the blueprint may name.

    Returns:
        The network.

    Raises:
        ModelRefused: The blueprint names something that is not allowed, or is damaged.
    """
    try:
        network = _Construction(blueprint, tensors, allowed).network()
    except (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ModelRefused(f"the network's blueprint is damaged: {error!r}") from error
    require_plain(network, "the blueprint")
    for part in network.modules():
        if isinstance(part, RecordedNetwork):
            part.require_whole()
    return network


@cache
def _internals() -> frozenset[str]:
    return frozenset(vars(nn.Module())) | {"_compiled_call_impl"}


class _Survey:
    """Modules and tensors in order of appearance, each once."""

    def __init__(self) -> None:
        self.modules: list[nn.Module] = []
        self.paths: list[str] = []
        self.described: list[dict[str, Json]] = []
        self.tensors: dict[str, Tensor] = {}
        self._indices: dict[int, int] = {}
        self._keys: dict[int, str] = {}
        self._here = ""

    def index_of(self, module: nn.Module) -> int:
        if id(module) not in self._indices:
            self._indices[id(module)] = len(self.modules)
            self.modules.append(module)
            self.paths.append(self._here)
        return self._indices[id(module)]

    def key_of(self, tensor: Tensor) -> str:
        if type(tensor) not in (Tensor, nn.Parameter) or tensor.layout != torch.strided:
            raise UndescribableError(f"a {type(tensor).__name__} of layout {tensor.layout}")
        if tensor.is_meta or tensor.is_quantized:
            raise UndescribableError("a quantized tensor or one without data")
        if id(tensor) not in self._keys:
            key = self._here
            while key in self.tensors:
                key += "'"
            self._keys[id(tensor)] = key
            self.tensors[key] = tensor
        return self._keys[id(tensor)]

    def describe(self, module: nn.Module, path: str) -> dict[str, Json]:
        if parametrize.is_parametrized(module):
            raise ModelUnsupported(
                f"{path or 'the network'!r} is parametrized: bake it with "
                "torch.nn.utils.parametrize.remove_parametrizations first"
            )
        attributes = {n: v for n, v in vars(module).items() if n not in _internals()}
        described = {
            "class": self._value(path, "class", type(module), as_name=True),
            "training": module.training,
            "attributes": {n: self._value(path, n, v) for n, v in attributes.items()},
            "parameters": {n: self._value(path, n, p) for n, p in module._parameters.items()},
            "buffers": {n: self._value(path, n, b) for n, b in module._buffers.items()},
            "transient": sorted(module._non_persistent_buffers_set),
            "children": {n: self._value(path, n, c) for n, c in module._modules.items()},
        }
        return {key: value for key, value in described.items() if value or key == "training"}

    def _value(self, path: str, name: str, value: object, *, as_name: bool = False) -> Json:
        self._here = f"{path}.{name}" if path else name
        try:
            if as_name:
                assert isinstance(value, type)
                return name_of(value)
            return to_json(value, self)
        except (UndescribableError, RecursionError) as error:
            what = "a value that contains itself" if isinstance(error, RecursionError) else error
            raise ModelUnsupported(
                f"cannot write down {self._here!r} ({'class' if as_name else 'attribute'} of a "
                f"{type(self.modules[self._indices_at(path)]).__name__}): it is {what}"
            ) from error

    def _indices_at(self, path: str) -> int:
        return self.paths.index(path)


class _Construction:
    """The instances of a blueprint, first empty, then filled, as they may refer to each other."""

    def __init__(
        self, blueprint: Mapping[str, Json], tensors: Mapping[str, Tensor], allowed: Allowed
    ) -> None:
        self._described = blueprint["modules"]
        self._kinds = blueprint["tensors"]
        self._tensors = tensors
        self._allowed = allowed
        self._made: dict[str, Tensor] = {}
        self._modules = [self._empty(described["class"]) for described in self._described]

    def network(self) -> nn.Module:
        for module, described in zip(self._modules, self._described, strict=True):
            self._fill(module, described)
        return self._modules[0]

    def tensor(self, key: str) -> Tensor:
        if key not in self._made:
            kind, tensor = self._kinds[key], self._tensors[key]
            grad = bool(kind["requires_grad"])
            self._made[key] = (
                nn.Parameter(tensor, requires_grad=grad) if kind["parameter"] else tensor
            )
        return self._made[key]

    def module(self, index: int) -> nn.Module:
        return self._modules[index]

    def _empty(self, name: str) -> nn.Module:
        kind = named(name, self._allowed)
        if not (isinstance(kind, type) and issubclass(kind, nn.Module)):
            raise ModelRefused(f"the model file uses {name} as a network class, which it is not")
        module = kind.__new__(kind)
        nn.Module.__init__(module)
        return module

    def _fill(self, module: nn.Module, described: Mapping[str, Json]) -> None:
        def values(of: str) -> dict[str, Json]:
            return {
                str(name): from_json(value, self, self._allowed)
                for name, value in described.get(of, {}).items()
            }

        attributes = values("attributes")
        if not attributes.keys().isdisjoint(_internals()):
            raise ValueError("an attribute has the name of one of nn.Module's own")
        vars(module).update(attributes)
        module._parameters.update(_of(values("parameters"), nn.Parameter))
        module._buffers.update(_of(values("buffers"), Tensor))
        module._modules.update(_of(values("children"), nn.Module))
        module._non_persistent_buffers_set.update(described.get("transient", ()))
        module.training = bool(described["training"])


def _of(values: dict[str, Json], kind: type) -> dict[str, Json]:
    for name, value in values.items():
        if value is not None and not isinstance(value, kind):
            raise ValueError(f"{name} is no {kind.__name__}")
    return values
