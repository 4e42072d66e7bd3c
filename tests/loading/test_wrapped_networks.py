"""Wrappers inside a network come off; quantized networks are refused by that name."""

from __future__ import annotations

import pytest
import torch
import zoo
from torch import nn
from torch.ao import quantization

from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelRefused, ModelUnsupported
from edgeprune.loading import LoadOptions, load, wrap
from edgeprune.loading.refused_names import RefusedNames

OPTIONS = LoadOptions(input_shapes=((1, 3, 8, 8),))


def network():
    torch.manual_seed(0)
    body = nn.Sequential(nn.Conv2d(3, 16, 3, padding=1), nn.ReLU(), nn.Conv2d(16, 16, 3, padding=1))
    return nn.Sequential(body, nn.ReLU(), nn.Conv2d(16, 2, 1)).eval()


def in_wrappers():
    net = network()
    net[0][0] = torch.compile(net[0][0])
    net[0] = nn.DataParallel(net[0])
    return torch.compile(net)


def names(module):
    return [type(part).__name__ for part in module.modules()]


def test_wrappers_inside_come_off_a_copy():
    wrapped = in_wrappers()
    before = names(wrapped)
    source = wrap(wrapped, (1, 3, 8, 8))
    assert names(source.module) == names(network())
    assert names(wrapped) == before
    assert source.sha256 == wrap(network(), (1, 3, 8, 8)).sha256


def test_wrappers_inside_come_off_a_file(tmp_path):
    torch.save(in_wrappers(), tmp_path / "compiled.pt")
    source = load(tmp_path / "compiled.pt", OPTIONS)
    assert names(source.module) == names(network())
    x = torch.randn(1, 3, 8, 8)
    assert torch.equal(source.module(x), network()(x))


@pytest.fixture(scope="module")
def prepared_for_qat():
    net = network().train()
    net.qconfig = quantization.get_default_qat_qconfig("qnnpack")
    with pytest.warns(DeprecationWarning, match="torchao"):
        quantization.prepare_qat(net, inplace=True)
    return net


def test_quantization_is_refused_by_name(prepared_for_qat, tmp_path):
    with pytest.raises(ModelUnsupported, match="prepared for quantization-aware training"):
        wrap(prepared_for_qat, (1, 3, 8, 8))
    for part in prepared_for_qat.modules():
        vars(part).pop("qconfig", None)
    torch.save(prepared_for_qat, tmp_path / "qat.pt")
    with pytest.raises(ModelRefused, match="QAT") as error:
        load(tmp_path / "qat.pt", OPTIONS)
    assert "own code" not in str(error.value)


def refused(names, *allow):
    collected = RefusedNames(Allowed(allow))

    def ask():
        for name in names:
            collected.add(*name, ModelRefused("it is not allowed"))
        collected.require_none()

    with pytest.raises(ModelRefused) as error:
        ask()
    return str(error.value)


def test_all_missing_packages_are_named_at_once():
    said = refused([("pkg.a", "A"), ("pkg.b.c", "B"), ("more", "C"), ("pkg.a", "D")])
    assert "asks for pkg.a.A" in said
    assert "--allow pkg --allow more (modules pkg.a, pkg.b.c, more)" in said


@pytest.mark.parametrize("module", ["torch.optim.sgd", "numpy.random"])
def test_torch_s_own_classes_are_not_the_network_s_own_code(module):
    said = refused([(module, "X")])
    assert "own code" not in said
    assert "state_dict()" in said


def test_what_can_run_any_code_ends_it_at_once():
    assert "os.system" in refused([("pkg", "A"), ("os", "system"), ("more", "B")])


def test_zoo_networks_are_left_as_they_are():
    assert names(wrap(zoo.build("chain"), zoo.INPUT_SHAPE).module) == names(zoo.build("chain"))
