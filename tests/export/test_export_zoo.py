"""Every network of the zoo is exported once; each test states one law about the file."""

import contextlib
import copy
import io
import logging
import warnings
from typing import NamedTuple

import onnx
import pytest
import torch
import zoo
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from edgeprune.artifacts import ExportedModel, InputSpec
from edgeprune.costs import Costs, count, count_onnx
from edgeprune.export import OnnxTarget

INPUT = InputSpec((zoo.INPUT_SHAPE,))
METADATA = {"plan_sha256": "abc", "source": "zoo"}


SIMPLIFIED = {"residual", "squeeze-excite", "group-norm", "layer-scale", "two-outputs"}
"""Enough to see that simplification keeps the laws; the others save the time."""


class Export(NamedTuple):
    network: nn.Module
    before: dict
    exported: ExportedModel
    costs: Costs
    printed: str


@pytest.fixture(scope="module", params=zoo.NETWORKS)
def export(request, tmp_path_factory):
    network = zoo.build(request.param)
    for norm in network.modules():
        if isinstance(norm, nn.GroupNorm | nn.LayerNorm):  # ones and zeros would be folded away
            nn.init.normal_(norm.weight)
            nn.init.normal_(norm.bias)
    before = snapshot(network)
    path = tmp_path_factory.mktemp("export") / "network.onnx"
    printed = io.StringIO()
    handler = logging.StreamHandler(printed)
    logging.getLogger().addHandler(handler)
    with (
        contextlib.redirect_stdout(printed),
        contextlib.redirect_stderr(printed),
        warnings.catch_warnings(record=True) as warned,
    ):
        exported = OnnxTarget(simplify=request.param in SIMPLIFIED)(network, INPUT, path, METADATA)
    logging.getLogger().removeHandler(handler)
    printed.write("".join(str(each.message) for each in warned))
    return Export(network, before, exported, count_onnx(path), printed.getvalue())


def snapshot(network):
    return {
        "state": {name: tensor.clone() for name, tensor in network.state_dict().items()},
        "training": [module.training for module in network.modules()],
        "requires_grad": [p.requires_grad for p in network.parameters()],
        "attributes": [sorted(vars(module)) for module in network.modules()],
    }


def folded(network):
    """The network with every BatchNorm behind a convolution folded into it, by PyTorch."""
    network = copy.deepcopy(network)
    for parent in network.modules():
        if isinstance(parent, nn.Sequential):
            for i in range(len(parent) - 1):
                if isinstance(parent[i + 1], nn.BatchNorm2d):
                    transposed = isinstance(parent[i], nn.ConvTranspose2d)
                    if transposed or isinstance(parent[i], nn.Conv2d):
                        parent[i] = fuse_conv_bn_eval(parent[i], parent[i + 1], transposed)
                        parent[i + 1] = nn.Identity()
    return network


def test_the_file_computes_what_the_network_does(export):
    parity = export.exported.parity
    assert parity.max_rel_diff < 1e-5
    assert parity.argmax_agreement == 1
    assert parity.n >= 8
    assert export.exported.notes == ()


def test_torch_and_onnx_cost_the_same(export):
    original = count(export.network, INPUT)
    assert export.costs.macs == original.macs
    assert export.costs.peak_activation_bytes == original.peak_activation_bytes


def test_parameters_are_those_left_after_folding_batchnorm(export):
    by_torch = sum(p.numel() for p in folded(export.network).parameters())
    assert export.costs.params == by_torch == count(folded(export.network), INPUT).params


def test_the_network_is_as_it_was(export):
    after, before = snapshot(export.network), export.before
    states = after.pop("state"), before["state"]
    assert after == {key: value for key, value in before.items() if key != "state"}
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_the_exporter_is_silent(export):
    assert export.printed == ""


def test_the_file_says_where_it_comes_from_and_nothing_of_this_machine(export):
    model = onnx.load(export.exported.path)
    assert model.producer_name == "edgeprune"
    assert {each.key: each.value for each in model.metadata_props} == METADATA
    assert b"/" + b"site-packages" not in export.exported.path.read_bytes()
    assert not any(node.metadata_props or node.doc_string for node in model.graph.node)
    assert [each.name for each in model.graph.input] == ["input"]


def test_only_the_file_is_left(export):
    assert list(export.exported.path.parent.iterdir()) == [export.exported.path]
    assert export.exported.bytes == export.exported.path.stat().st_size
