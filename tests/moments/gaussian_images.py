"""Images and networks whose assumptions hold: Gaussian, separable, with the prior's own moments.

The samples are whitened by their own covariance, so that every mean and covariance that is linear
in the pixels is exact on them, not only up to sampling error.
"""

import torch
from torch import Tensor, nn

from edgeprune.artifacts import InputSpec, SourceModel
from edgeprune.moments import Moments
from edgeprune.moments.propagation import PIXEL_DECAY
from edgeprune.natural_images import RGB_CORRELATION

SIZE = 8
COUNT = 3000
SPEC = InputSpec(shapes=((1, 3, SIZE, SIZE),), mean=(0.45,) * 3, std=(0.25,) * 3)
TWO_INPUTS = InputSpec(shapes=((1, 3, SIZE, SIZE),) * 2, mean=(0.45,) * 3, std=(0.25,) * 3)


def gaussian_images(inputs: int = 1) -> list[Tensor]:
    """Independent batches of Gaussian images, (COUNT, 3, SIZE, SIZE) each, float64."""
    pixels = SIZE * SIZE
    z = torch.randn(
        COUNT, inputs * 3 * pixels, generator=torch.Generator().manual_seed(0), dtype=torch.float64
    )
    z -= z.mean(0)
    white = torch.linalg.solve_triangular(torch.linalg.cholesky(z.T @ z / COUNT), z.T, upper=False)
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], 1).double()
    near = torch.linalg.cholesky(PIXEL_DECAY ** torch.cdist(places, places))
    colours = torch.linalg.cholesky(torch.tensor(RGB_CORRELATION, dtype=torch.float64))
    maps = white.T.reshape(COUNT, inputs, 3, pixels) @ near.T
    maps = torch.einsum("cd,nidp->nicp", colours, maps).reshape(COUNT, inputs, 3, SIZE, SIZE)
    return list(maps.unbind(1))


@torch.no_grad()
def trained(network: nn.Module, images: list[Tensor], seed: int = 0) -> nn.Module:
    """In float64, with random affine BatchNorm and its statistics those of the images."""
    generator = torch.Generator().manual_seed(seed)
    norms = [
        each for each in network.modules() if isinstance(each, nn.BatchNorm1d | nn.BatchNorm2d)
    ]
    for norm in norms:
        norm.momentum = None
        if norm.affine:
            norm.weight.normal_(generator=generator)  # half of them negative
            norm.bias.normal_(std=0.5, generator=generator)
    network.double().train()(*images)
    return network.eval()


def source_of(network: nn.Module, spec: InputSpec = SPEC) -> SourceModel:
    return SourceModel(network, spec, "network", "")


class Function(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def pointwise(c_in=3, c_out=8) -> list[nn.Module]:
    """A 1×1 convolution with BatchNorm: Gaussian and separable, like what it reads."""
    return [nn.Conv2d(c_in, c_out, 1), nn.BatchNorm2d(c_out)]


def spatial(c_in=3, c_out=8, **options) -> list[nn.Module]:
    """A 3×3 convolution with BatchNorm; no padding, which the model ignores."""
    return [nn.Conv2d(c_in, c_out, 3, **options), nn.BatchNorm2d(c_out)]


def built(*layers: nn.Module, probe: nn.Module) -> nn.Module:
    """A network whose last layer, ``probe``, tells what the others made."""
    return nn.Sequential(*layers, probe)


def sampled(network: nn.Module, layer: str, images: list[Tensor]) -> Tensor:
    """What a layer reads, (N, C, P)."""
    seen = []
    handle = network.get_submodule(layer).register_forward_pre_hook(
        lambda _, inputs: seen.append(inputs[0])
    )
    with torch.no_grad():
        network(*images)
    handle.remove()
    return seen[0].flatten(2) if seen[0].dim() > 2 else seen[0][..., None]


def check(predicted: Moments, features: Tensor, slack: float) -> None:
    """Within five standard errors over independent images, or ``slack`` typical variances."""
    mean = features.mean((0, 2))
    centred = features - mean[:, None]
    by_image = centred @ centred.mT / features.shape[2]
    errors = by_image.std(0) / len(features) ** 0.5
    spread = float(predicted.variance.mean())
    mean_error = features.mean(2).std(0) / len(features) ** 0.5
    exact = slack == 0
    allowed_mean = 1e-6 if exact else 5 * mean_error + slack * spread**0.5
    # BatchNorm stores n/(n−1) times the variance of the n = 27000 pixels, or more, that it read.
    allowed_cov = 3e-4 * spread if exact else 5 * errors + slack * spread
    assert ((predicted.mean - mean).abs() <= allowed_mean).all()
    assert ((predicted.cov - by_image.mean(0)).abs() <= allowed_cov).all()


IMAGES = gaussian_images()
PAIR = gaussian_images(inputs=2)
