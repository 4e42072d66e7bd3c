"""How to read a model file: what it may name, where its network is, what the network takes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from edgeprune.artifacts import InputSpec
from edgeprune.loading.factories import named_function

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


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
        input_shapes: One shape for each input; empty: inferred.
        input_dtypes: NumPy's name of the type of each; empty: all are float32.
        input_names: Name of each, where they go by name; empty: they go by place.
        forward: What runs the network: ``pkg.mod:fn``, ``path/to/file.py:fn`` or a function, called
            with the network and its inputs; None: its own forward.
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
    input_names: tuple[str, ...] = ()
    forward: str | Callable[..., object] | None = None
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None

    @property
    def given(self) -> InputSpec:
        """What the user said of the inputs."""
        return InputSpec(
            self.input_shapes,
            self.mean or (),
            self.std or (),
            self.input_dtypes,
            names=self.input_names,
        )

    @property
    def function(self) -> Callable[..., object] | None:
        """What runs the network; None: its own forward."""
        return named_function(self.forward) if isinstance(self.forward, str) else self.forward
