"""``--arch`` → a network with random weights, into which a file's weights go.

Naming a factory is the consent to import and call it. torchvision's factories download nothing
here.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import inspect
import warnings
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from torch import nn

from edgeprune.blueprint.allowed import import_file, import_named
from edgeprune.errors import UsageError, failing_as

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FORMS = "torchvision:NAME, timm:NAME, smp:NAME, pkg.mod:factory or path/to/file.py:factory"
Found: TypeAlias = "tuple[Callable[..., object], dict[str, Any]]"
"""A factory, and keyword arguments that it gets unless the user says otherwise."""

DOWNLOADS = ("weights", "weights_backbone")


def build(arch: str, arguments: Mapping[str, object]) -> nn.Module:
    """Call a factory of networks.

    Args:
        arch: ``torchvision:NAME``, ``timm:NAME``, ``smp:NAME[:ENCODER]``, ``pkg.mod:factory`` or
            ``path/to/file.py:factory``.
        arguments: Keyword arguments of the factory.

    Returns:
        The network with random weights.

    Raises:
        UsageError: There is no such factory, it fails, or it makes no network.
    """
    source, colon, name = arch.rpartition(":")
    if not colon or not source or not name:
        raise UsageError(f"--arch {arch}: it must be {FORMS}{_torchvision_hint(arch)}")
    library, _, rest = arch.partition(":")
    find = LIBRARIES.get(library)
    factory, defaults = (find and find(rest)) or (_factory("--arch", source, name), {})
    with failing_as(UsageError, f"--arch {arch} failed"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the random weights, which are replaced
        network = factory(**(defaults | dict(arguments)))
    if not isinstance(network, nn.Module):
        raise UsageError(f"--arch {arch} made a {type(network).__name__}, not an nn.Module")
    return network


def named_function(text: str) -> Callable[..., object]:
    """The function of the user that ``--forward`` names: ``pkg.mod:fn``, ``path/to/file.py:fn``.

    Raises:
        UsageError: There is no such function.
    """
    source, colon, name = text.rpartition(":")
    if not colon or not source or not name:
        raise UsageError(f"--forward {text}: it must be pkg.mod:fn or path/to/file.py:fn")
    return _factory("--forward", source, name)


def parse_arch_arg(text: str) -> tuple[str, object]:
    """Parse ``name=value``; the value is a Python literal if it can be one, else text.

    Raises:
        UsageError: There is no name.
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise UsageError(f"--arch-arg {text}: it must be NAME=VALUE, such as num_classes=10")
    try:
        return name.strip(), ast.literal_eval(value.strip())
    except (ValueError, SyntaxError, RecursionError, MemoryError):
        return name.strip(), value


def _torchvision(name: str) -> Found:
    from torchvision import models  # seconds to import, and only needed here

    try:
        factory = models.get_model_builder(name)
    except ValueError:
        raise UsageError(
            f"torchvision has no model {name!r}{_torchvision_hint(name)}: "
            "torchvision.models.list_models() lists them"
        ) from None
    accepted = inspect.signature(factory).parameters
    return factory, {option: None for option in DOWNLOADS if option in accepted}


def _timm(name: str) -> Found | None:
    """A network of timm by its name; None for a function of the package, such as create_model."""
    timm = _installed("timm", "timm")
    if name not in timm.list_models():
        if callable(getattr(timm, name, None)):
            return None
        close = difflib.get_close_matches(name, timm.list_models(), n=1)
        hint = f"; did you mean timm:{close[0]}?" if close else ""
        raise UsageError(f"timm has no model {name!r}{hint}")
    return partial(timm.create_model, name, pretrained=False), {}


def _smp(name: str) -> Found:
    """A network of segmentation_models_pytorch: its class, and its encoder."""
    smp = _installed("segmentation_models_pytorch", "segmentation-models-pytorch")
    kind, _, encoder = name.partition(":")
    if not isinstance(getattr(smp, kind, None), type):
        kinds = [each for each, value in vars(smp).items() if isinstance(value, type)]
        close = difflib.get_close_matches(kind, kinds, n=1)
        hint = f"; did you mean smp:{close[0]}?" if close else ""
        raise UsageError(f"segmentation_models_pytorch has no model {kind!r}{hint}")
    encoders = {"encoder_name": encoder} if encoder else {}
    return getattr(smp, kind), {**encoders, "encoder_weights": None}


def _installed(module: str, package: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"--arch: {module} is not installed: pip install {package}") from error


def _factory(flag: str, source: str, name: str) -> Callable[..., object]:
    if source.endswith(".py"):
        module = import_file(Path(source))
    else:
        with failing_as(UsageError, f"{flag}: cannot import {source!r}"):
            module = import_named(source)
    factory: Any = module
    for part in name.split("."):
        factory = getattr(factory, part, None)
    if not callable(factory):
        close = difflib.get_close_matches(name, [n for n in vars(module) if n[0] != "_"], n=1)
        hint = f"; did you mean {close[0]!r}?" if close else ""
        kind = "factory" if flag == "--arch" else "function"
        raise UsageError(f"{flag}: {source!r} has no {kind} {name!r}{hint}")
    return factory  # type: ignore[no-any-return]


def _torchvision_hint(name: str) -> str:
    from torchvision import models  # seconds to import, and only needed here

    close = difflib.get_close_matches(name, models.list_models(), n=1, cutoff=0.7)
    return f"; did you mean torchvision:{close[0]}?" if close else ""


LIBRARIES: dict[str, Callable[[str], Found | None]] = {
    "torchvision": _torchvision,
    "timm": _timm,
    "smp": _smp,
}
"""Libraries whose networks go by name, and what finds one; none downloads weights."""
