"""A model file, or a network in memory → SourceModel, without running code from the file.

load_options.py        how to read a model file
recognise.py           what kind of file it is, by content
pickles.py             .pt and .pth: only allowed classes, no call; refused_names.py says why not
checkpoint_kinds.py    what a library keeps beside its weights, an adapter a library
checkpoint_entries.py  which entry of a checkpoint is the network: averaged weights first
state_dicts.py         weights alone, fitted into a network by name (state_dict_names.py);
                       extra_tensors.py: what it has no place for, and can be left
factories.py           the network for them: --arch
calling_forms.py       a forward that takes more than tensors in a row: --forward, names, lists
run_directory.py       what edgeprune itself wrote
preparation.py         wrappers off, re-parametrizations baked in, float32, eval mode; the digest
quantized_layers.py    networks that are quantized, or prepared for it, refused
given_inputs.py        what the user says of them
input_shape.py         shapes and types of the network's inputs
input_normalisation.py how images are normalised, told by the first BatchNorm
memory_limit.py        what a first forward pass may take
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
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
from edgeprune.loading.calling_forms import forms
from edgeprune.loading.checkpoint_entries import chosen_entry
from edgeprune.loading.checkpoint_kinds import adapted
from edgeprune.loading.factories import build, parse_arch_arg
from edgeprune.loading.given_inputs import (
    example_inputs,
    parse_inputs,
    parse_shape,
)
from edgeprune.loading.input_normalisation import with_normalisation
from edgeprune.loading.input_shape import configuration, input_spec
from edgeprune.loading.load_options import LoadOptions
from edgeprune.loading.memory_limit import memory_limit
from edgeprune.loading.pickles import unpickle
from edgeprune.loading.preparation import copied, digest, prepared, unwrapped
from edgeprune.loading.recognise import recognise
from edgeprune.loading.run_directory import load_run, stored_input, weights_file
from edgeprune.loading.state_dicts import fill, tensors_of
from edgeprune.printable import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.loading.given_inputs import Example
    from edgeprune.loading.recognise import Kind

LEAST_MEMORY = 1 << 30
TIMES_WEIGHTS, TIMES_INPUTS = 8, 1000
"""A first forward pass may take so many bytes, and so many times the size of weights and inputs."""

BYTES_OF_FLOAT = 4

IMAGE_SIZE = "imgsz"
"""The text of the exported file that follows --input."""

__all__ = [
    "LoadOptions",
    "example_inputs",
    "load",
    "load_run",
    "parse_arch_arg",
    "parse_inputs",
    "parse_shape",
    "wrap",
]


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


def load_weights(run: str | Path, weights: str | Path, allow: tuple[str, ...] = ()) -> nn.Module:
    """The compressed network of a run with weights from another file: those of your own training.

    Args:
        run: The run directory.
        weights: A ``.safetensors`` or ``.pt`` file of weights, or another run directory.
        allow: Modules, or Python files, that define the network's own classes.

    Returns:
        The network, on the CPU.

    Raises:
        UsageError: There is no such file, or its weights do not fit.
        ModelRefused: The file is damaged, or would run code.
    """
    network, path = load_run(run, allow), Path(weights)
    kind, options = recognise(path), LoadOptions(allow=allow)
    if kind == "run":
        raise UsageError(f"'{path}' is a run directory: name the file with the new weights")
    loaded = _loaded(path, kind, options)
    if isinstance(loaded, nn.Module):
        loaded = loaded.state_dict()
    found = chosen_entry(loaded, path, None)
    content = found.content
    given = content.state_dict() if isinstance(content, nn.Module) else content
    fill(network, given, f"'{path}'", f"the network in '{run}'")
    return network


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
        ready = adapted(prepared(network), loaded, options.given.shapes, raw_head=options.raw_head)
        network, stored = ready.network, ready.input
    checked = _checked(network, options, stored, name)
    return replace(checked, notes=(*notes, *checked.notes))


@with_room
def _checked(network: nn.Module, options: LoadOptions, stored: InputSpec, name: str) -> SourceModel:
    """The network with its inputs, on which it ran, in the form that it ran in."""
    known = options.given
    with memory_limit(_enough(network, known.shapes or stored.shapes)):
        network, spec, notes = _in_form(network, known, stored, options.function)
    return _source(network, spec, name, notes)


def _in_form(
    network: nn.Module,
    given: InputSpec,
    known: InputSpec,
    function: Callable[..., object] | None,
) -> tuple[nn.Module, InputSpec, tuple[str, ...]]:
    """The network as it is to be called, its inputs, tried, and notes on their normalisation.

    Args:
        network: The network.
        given: What the user said of its inputs, which counts before what is known of them.
        known: What its file or its library says.
        function: What runs it; None: its own forward.

    Raises:
        UsageError: No form fits; says why the likeliest does not.
    """
    taken = given if given.shapes else known
    taken = replace(taken, mean=given.mean or known.mean, std=given.std or known.std)
    refusals = []
    for form in forms(network, given, function):
        try:
            spec = input_spec(form, replace(taken, metadata=()))
        except UsageError as error:  # noqa: PERF203 - two forms at most
            refusals.append(error)
        else:
            told = bool(known.mean or known.std or configuration(network).get("mean"))
            own = bool(given.mean or given.std)
            spec, notes = with_normalisation(form, spec, given=own, known=told)
            return form, replace(spec, metadata=_resized(known.metadata, spec)), notes
    raise refusals[0]


def _enough(network: nn.Module, shapes: tuple[tuple[int, ...], ...]) -> int:
    """Bytes that suffice for a forward pass of a network that does no more than others do."""
    weights = sum(each.numel() for each in network.parameters())
    inputs = sum(prod(shape) for shape in shapes)
    return LEAST_MEMORY + BYTES_OF_FLOAT * (TIMES_WEIGHTS * weights + TIMES_INPUTS * inputs)


@with_room
def wrap(  # noqa: PLR0913 - keywords
    module: nn.Module,
    example_input: Example = None,
    *,
    mean: tuple[float, ...] | None = None,
    std: tuple[float, ...] | None = None,
    name: str | None = None,
    raw_head: bool = False,
    forward: Callable[..., object] | None = None,
) -> SourceModel:
    """Take a network in memory.

    Args:
        module: Any network; copied, never changed. The copy stays on its device.
        example_input: A tensor, a shape, or a sequence of either for several inputs; a dictionary
            for inputs that have names. The batch of a tensor is taken to be 1. None: inferred.
        mean: Per-channel mean of the images; None: the network's own, else what its first
            BatchNorm tells (:mod:`edgeprune.loading.input_normalisation`), else ImageNet's.
        std: Per-channel standard deviation of the images; None: as for ``mean``.
        name: Short name for files and reports; None: the name of the class.
        raw_head: Give what a detector's last layers say, before it is decoded.
        forward: What runs the network, called with it and its inputs; None: its own forward.

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
    given = replace(example_inputs(example_input), mean=mean or (), std=std or ())
    with failing_as(ModelUnsupported, f"{type(inner).__name__} cannot be made ready"):
        ready = adapted(prepared(copied(inner)), None, given.shapes, raw_head=raw_head)
    network, spec, notes = _in_form(ready.network, given, ready.input, forward)
    return _source(network, spec, name or type(ready.network).__name__, notes)


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
