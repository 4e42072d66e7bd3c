"""A model file, or a network in memory → SourceModel, without running code from the file.

recognise.py           what kind of file it is, by content
pickles.py             .pt and .pth: only allowed classes, no call; refused_names.py says why not
checkpoint_kinds.py    what a library keeps beside its weights, an adapter a library
checkpoint_entries.py  which entry of a checkpoint is the network: averaged weights first
state_dicts.py         weights alone, fitted into a network by name (state_dict_names.py);
                       extra_tensors.py: what it has no place for, and can be left
factories.py           the network for them: --arch
run_directory.py       what edgeprune itself wrote
preparation.py         wrappers off, re-parametrizations baked in, float32, eval mode; the digest
quantized_layers.py    networks that are quantized, or prepared for it, refused
input_shape.py         shapes and types of the network's inputs
input_normalisation.py how images are normalised, told by the first BatchNorm
memory_limit.py        what a first forward pass may take
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING

from torch import nn

from edgeprune import blueprint
from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.blueprint import Allowed
from edgeprune.deep_stack import with_room
from edgeprune.errors import ModelUnsupported, UsageError, failing_as
from edgeprune.graph.declared_widths import require_declared_widths
from edgeprune.layer_names import require_plain
from edgeprune.loading.checkpoint_entries import chosen_entry
from edgeprune.loading.checkpoint_kinds import adapted
from edgeprune.loading.factories import build, parse_arch_arg
from edgeprune.loading.input_normalisation import with_normalisation
from edgeprune.loading.input_shape import (
    configuration,
    example_dtypes,
    example_shapes,
    input_spec,
    parse_input,
    parse_shape,
)
from edgeprune.loading.memory_limit import memory_limit
from edgeprune.loading.pickles import unpickle
from edgeprune.loading.preparation import copied, digest, prepared, unwrapped
from edgeprune.loading.recognise import recognise
from edgeprune.loading.run_directory import load_run, stored_input, weights_file
from edgeprune.loading.state_dicts import fill, tensors_of
from edgeprune.printable import printable

if TYPE_CHECKING:
    from edgeprune.loading.input_shape import Example
    from edgeprune.loading.recognise import Kind

LEAST_MEMORY = 1 << 30
TIMES_WEIGHTS, TIMES_INPUTS = 8, 1000
"""A first forward pass may take so many bytes, and so many times the size of weights and inputs."""

BYTES_OF_FLOAT = 4

IMAGE_SIZE = "imgsz"
"""The text of the exported file that follows --input."""

__all__ = [
    "LoadOptions",
    "example_shapes",
    "load",
    "load_run",
    "parse_arch_arg",
    "parse_input",
    "parse_shape",
    "wrap",
]


@dataclass(frozen=True, slots=True)
class LoadOptions:
    """How to read a model file.

    Attributes:
        arch: Factory of the network for a file of weights alone: ``torchvision:NAME``,
            ``pkg.mod:factory`` or ``path/to/file.py:factory``.
        arch_args: Keyword arguments of the factory.
        entry: Entry of a checkpoint, or prefix of its names, that holds the network; None:
            averaged weights, else the usual one.
        allow: Modules, or Python files, whose classes the file may name.
        raw_head: Give what a detector's last layers say, before it is decoded.
        trust: Unpickle any class that the file names; its code runs.
        input_shapes: One shape for each positional input; empty: inferred.
        input_dtypes: NumPy's name of the type of each; empty: all are float32.
        mean: Per-channel mean of the images; None: the network's own, else what its first
            BatchNorm tells (:mod:`edgeprune.loading.input_normalisation`), else ImageNet's.
        std: Per-channel standard deviation of the images; None: as for ``mean``.
    """

    arch: str | None = None
    arch_args: Mapping[str, object] = field(default_factory=dict)
    entry: str | None = None
    allow: tuple[str, ...] = ()
    raw_head: bool = False
    trust: bool = False
    input_shapes: tuple[tuple[int, ...], ...] = ()
    input_dtypes: tuple[str, ...] = ()
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None


def load(path: str | Path, options: LoadOptions | None = None) -> SourceModel:
    """Read a model file or a run directory.

    Args:
        path: ``.pt``, ``.pth``, ``.safetensors`` or a run directory.
        options: Settings for files that need some; None: the defaults.

    Returns:
        The network on the CPU, in eval mode, float32, checked with a forward pass.

    Raises:
        ModelUnsupported: A weight is no finite number.
        UsageError: The path is missing, or ``--arch`` or ``--input`` is needed or does not fit.
        ModelRefused: The file is unreadable, of another kind, or would run code.
    """
    path, options = Path(path), options or LoadOptions()
    kind = recognise(path)
    with failing_as(ModelUnsupported, f"cannot make the network in '{path}' ready"):
        return _load(path, kind, options)


def _load(path: Path, kind: Kind, options: LoadOptions) -> SourceModel:
    notes: tuple[str, ...] = ()
    if kind == "run":
        file = weights_file(path)
        run = blueprint.read(file)
        network, stored = run.network(Allowed(options.allow)), stored_input(run, file)
        name = path.resolve().name if path.is_dir() else path.stem
    else:
        loaded, name = _loaded(path, kind, options), path.stem
        network, notes = _network(loaded, path, options)
        require_plain(network, f"'{path}'")
        ready = adapted(prepared(network), loaded, options.input_shapes, raw_head=options.raw_head)
        network, stored = ready.network, ready.input
    checked = _checked(network, options, stored, name)
    return replace(checked, notes=(*notes, *checked.notes))


@with_room
def _checked(network: nn.Module, options: LoadOptions, stored: InputSpec, name: str) -> SourceModel:
    """The network with its inputs, on which it ran."""
    given = InputSpec(
        options.input_shapes, options.mean or (), options.std or (), options.input_dtypes
    )
    with memory_limit(_enough(network, given.shapes or stored.shapes)):
        spec, notes = _spec(network, given, stored)
    return _source(network, spec, name, notes)


def _spec(
    network: nn.Module, given: InputSpec, known: InputSpec
) -> tuple[InputSpec, tuple[str, ...]]:
    """The inputs of a network, tried: what the user gave counts before what is known of them.

    And what the user should know of their normalisation.
    """
    taken = given if given.shapes else known
    mean, std = given.mean or known.mean or None, given.std or known.std or None
    spec = input_spec(network, taken.shapes, mean, std, dtypes=taken.dtypes)
    spec, notes = with_normalisation(
        network,
        spec,
        given=bool(given.mean or given.std),
        known=bool(known.mean or known.std or configuration(network).get("mean")),
    )
    return replace(spec, metadata=_resized(known.metadata, spec)), notes


def _enough(network: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> int:
    """Bytes that suffice for a forward pass of a network that does no more than others do."""
    weights = sum(each.numel() for each in network.parameters())
    inputs = sum(prod(shape) for shape in shapes)
    return LEAST_MEMORY + BYTES_OF_FLOAT * (TIMES_WEIGHTS * weights + TIMES_INPUTS * inputs)


@with_room
def wrap(
    module: nn.Module,
    example_input: Example = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    name: str | None = None,
    raw_head: bool = False,
) -> SourceModel:
    """Take a network in memory.

    Args:
        module: Any network; copied, never changed. The copy stays on its device.
        example_input: A tensor, a shape, or a sequence of either for several inputs; the batch
            of a tensor is taken to be 1. None: inferred.
        mean: Per-channel mean of the images; None: the network's own, else what its first
            BatchNorm tells (:mod:`edgeprune.loading.input_normalisation`), else ImageNet's.
        std: Per-channel standard deviation of the images; None: as for ``mean``.
        name: Short name for files and reports; None: the name of the class.
        raw_head: Give what a detector's last layers say, before it is decoded.

    Returns:
        The network in eval mode, float32, checked with a forward pass.

    Raises:
        UsageError: The input shape is needed or does not fit.
        ModelUnsupported: The network cannot be copied.
        ModelRefused: A layer or tensor has a name that could become code.
    """
    if not isinstance(module, nn.Module):
        raise UsageError(_no_network(module))
    inner = unwrapped(module)
    require_plain(inner, type(inner).__name__)
    shapes, dtypes = example_shapes(example_input), example_dtypes(example_input)
    with failing_as(ModelUnsupported, f"{type(inner).__name__} cannot be made ready"):
        ready = adapted(prepared(copied(inner)), None, shapes, raw_head=raw_head)
    given = InputSpec(shapes, mean or (), std or (), dtypes)
    spec, notes = _spec(ready.network, given, ready.input)
    return _source(ready.network, spec, name or type(ready.network).__name__, notes)


def _no_network(given: object) -> str:
    """What to pass instead of something that is no network."""
    if isinstance(given, type) and issubclass(given, nn.Module):
        return f"model is the class {given.__name__}: pass an instance of it, with its weights"
    if isinstance(given, Mapping):
        return "model is a dictionary: load it into its network (load_state_dict), and pass that"
    return f"model is of type {type(given).__name__}, no network: pass an nn.Module"


def _source(network: nn.Module, spec: InputSpec, name: str, notes: tuple[str, ...]) -> SourceModel:
    require_declared_widths(network)
    return SourceModel(network, spec, printable(name, keep=""), digest(network), notes)


def _resized(metadata: tuple[tuple[str, str], ...], spec: InputSpec) -> tuple[tuple[str, str], ...]:
    """The texts for the exported file with the image size that it will have."""
    size = str(list(spec.shapes[0][2:]))
    return tuple((key, size if key == IMAGE_SIZE else text) for key, text in metadata)


def _loaded(path: Path, kind: Kind, options: LoadOptions) -> object:
    if kind == "safetensors":
        return tensors_of(path)
    return unpickle(path, Allowed(options.allow), trust=options.trust)


def _network(loaded: object, path: Path, options: LoadOptions) -> tuple[nn.Module, tuple[str, ...]]:
    """The network in a file, and what the user should know of how it was found there."""
    found = chosen_entry(loaded, path, options.entry)
    further = None if found.path == options.entry else options.entry
    if isinstance(found.content, nn.Module):
        if options.arch is not None:
            raise UsageError(f"'{path}' holds a whole network: leave out --arch")
        if further is not None:
            raise UsageError(f"'{path}' has no entry '{further}' that holds a network")
        return unwrapped(found.content), found.notes
    if options.arch is None:
        raise UsageError(
            f"'{path}' holds weights without a network: pass --arch torchvision:NAME, "
            "--arch pkg.mod:factory or --arch path/to/file.py:factory"
        )
    network = build(options.arch, options.arch_args)
    notes = fill(network, found.content, f"'{path}'", options.arch, further)
    return network, (*found.notes, *notes)
