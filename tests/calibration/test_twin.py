"""The twin has every BatchNorm at the level that the network stores, on any images."""

import torch
import zoo
from torch import nn

from edgeprune.calibration.twin import make_twin


def outputs_of_norms(network: nn.Module, images: torch.Tensor) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = {}
    for name, layer in network.named_modules():
        if isinstance(layer, nn.BatchNorm2d):
            layer.register_forward_hook(lambda _, __, out, name=name: found.update({name: out}))
    with torch.no_grad():
        network(images)
    return found


def far_images() -> torch.Tensor:
    return 7 + 0.2 * torch.rand(
        32, *zoo.INPUT_SHAPE[1:], generator=torch.Generator().manual_seed(1)
    )


def test_every_norm_puts_out_its_own_mean_and_deviation() -> None:
    network = zoo.build("residual")
    twin = make_twin(network, (far_images(),))
    for name, out in outputs_of_norms(twin, far_images()).items():
        norm = twin.get_submodule(name)
        deviation, mean = torch.std_mean(out, dim=(0, 2, 3))
        torch.testing.assert_close(mean, norm.bias, atol=1e-3, rtol=1e-3)
        torch.testing.assert_close(deviation, norm.weight.abs(), atol=1e-3, rtol=1e-2)


def test_only_statistics_differ_and_the_network_is_left_alone() -> None:
    network = zoo.build("residual")
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    twin = make_twin(network, (far_images(),))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])
    changed = {name for name, t in twin.state_dict().items() if not torch.equal(t, before[name])}
    assert changed
    assert {name.rpartition(".")[2] for name in changed} <= {
        *("running_mean", "running_var", "num_batches_tracked"),
    }
    assert not any(layer.training for layer in twin.modules())


def test_a_network_without_norms_is_its_own_twin() -> None:
    network = zoo.build("no-norm")
    images = far_images()
    assert torch.equal(make_twin(network, (images,))(images), network(images))


def test_a_channel_that_hardly_moves_is_not_blown_up() -> None:
    network = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.BatchNorm2d(2)).eval()
    nn.init.ones_(network[0].weight)
    images = torch.zeros(16, 1, 8, 8)
    images[0, 0, 0, 0] = 1.0  # one pixel of a thousand
    twin = make_twin(network, (images,))
    stored = network[1].running_var
    assert (twin[1].running_var >= 1e-3 * stored).all()
    assert float(twin(images).detach().max()) < 1 / 1e-3**0.5 + 1
