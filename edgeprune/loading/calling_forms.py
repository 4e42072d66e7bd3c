"""Networks whose forward takes something else than tensors in a row, as networks that take these.

Inputs go by keyword or in a dictionary where they have names, in a list where the network wants
one, or through a function of the user's own: ``fn(network, *inputs)``. Layers keep their names
below ``network``, and the network itself stays as its user calls it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, TypeAlias

from torch import Tensor, nn

if TYPE_CHECKING:
    from collections.abc import Callable

    from edgeprune.artifacts import InputSpec

Form: TypeAlias = Literal["keywords", "mapping", "list"]


class CalledWith(nn.Module):
    """A network that is called with its inputs by keyword, in a dictionary, or in a list.

    Args:
        network: The network.
        form: How it takes its inputs.
        names: Name of each input; empty for a list.
    """

    def __init__(self, network: nn.Module, form: Form, names: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.network, self.form, self.names = network, form, names
        self.training = False

    def forward(self, *inputs: Tensor) -> object:
        """What the network returns."""
        if self.form == "list":
            return self.network(list(inputs))
        named = dict(zip(self.names, inputs, strict=True))
        return self.network(**named) if self.form == "keywords" else self.network(named)


class CalledBy(nn.Module):
    """A network that is run by a function of its user.

    Args:
        network: The network.
        function: Called with the network and the inputs; gives tensors.
    """

    def __init__(self, network: nn.Module, function: Callable[..., object]) -> None:
        super().__init__()
        self.network, self.function = network, function
        self.training = False

    def forward(self, *inputs: Tensor) -> object:
        """What the function returns."""
        return self.function(self.network, *inputs)


def forms(
    network: nn.Module, inputs: InputSpec, function: Callable[..., object] | None
) -> tuple[nn.Module, ...]:
    """The network in every form that it may be meant to be called in, the likeliest first.

    Args:
        network: The network.
        inputs: What the user said of its inputs.
        function: What runs it; None: its own forward.
    """
    if function is not None:
        return (CalledBy(network, function),)
    if inputs.names:
        named: tuple[Form, ...] = ("keywords", "mapping")
        return tuple(CalledWith(network, form, inputs.names) for form in named)
    return (network, CalledWith(network, "list")) if inputs.shapes else (network,)
