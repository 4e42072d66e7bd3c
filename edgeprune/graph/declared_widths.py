"""What a layer says of its size must be what its weight has.

The forward pass of a layer looks at its weight alone, so a file can say anything of the widths. All
that counts channels would believe it, and count to a trillion.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from edgeprune import units
from edgeprune.errors import ModelUnsupported

if TYPE_CHECKING:
    from collections.abc import Callable

    Shape = tuple[object, ...]


def require_declared_widths(network: nn.Module) -> None:
    """Refuse a layer whose widths are not those of its weight.

    Args:
        network: The network, parametrizations baked in.

    Raises:
        ModelUnsupported: Names the layer, and both sizes.
    """
    for name, layer in network.named_modules():
        for kind, (tensor, declared) in _DECLARED.items():
            value = getattr(layer, tensor, None) if isinstance(layer, kind) else None
            if isinstance(value, Tensor):
                said = _said(layer, declared)
                if said != tuple(value.shape):
                    raise ModelUnsupported(
                        f"'{name}' ({type(layer).__name__}) declares a {tensor} of the shape "
                        f"{_short(said)}, but has one of {_short(tuple(value.shape))}"
                    )


def _said(layer: nn.Module, declared: Callable[[Any], Shape]) -> Shape | None:
    """The shape that a layer declares; None if it declares none that can be."""
    try:
        said = declared(layer)
    except (ArithmeticError, AttributeError, TypeError):
        return None
    return said if all(type(length) is int for length in said) else None


def _short(shape: Shape | None) -> str:
    return "nothing" if shape is None else units.dimensions(shape)[:60] or "one number"


def _convolution(layer: Any) -> Shape:
    into, out = layer.in_channels, layer.out_channels
    if layer.transposed:
        return (into, out // layer.groups, *layer.kernel_size)
    return (out, into // layer.groups, *layer.kernel_size)


_DECLARED: dict[type[nn.Module], tuple[str, Callable[[Any], Shape]]] = {
    nn.modules.conv._ConvNd: ("weight", _convolution),
    nn.Linear: ("weight", lambda layer: (layer.out_features, layer.in_features)),
    nn.modules.batchnorm._NormBase: ("weight", lambda layer: (layer.num_features,)),
    nn.GroupNorm: ("weight", lambda layer: (layer.num_channels,)),
    nn.LayerNorm: ("weight", lambda layer: tuple(layer.normalized_shape)),
    nn.PReLU: ("weight", lambda layer: (layer.num_parameters,)),
    nn.Embedding: ("weight", lambda layer: (layer.num_embeddings, layer.embedding_dim)),
}
"""For each kind of layer the tensor, and the shape of it that the layer declares."""
