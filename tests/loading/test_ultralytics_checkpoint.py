"""What Ultralytics keeps beside its weights is read, and its head is switched to export.

A stand-in has the library's names; where the library is installed, its own networks are tried.
"""

from __future__ import annotations

import ast
from types import SimpleNamespace

import onnx
import pytest
import torch
from torch import nn

from edgeprune.errors import UsageError
from edgeprune.export import OnnxTarget
from edgeprune.loading import LoadOptions, load, wrap


class Detect(nn.Module):
    export = False
    format = None
    dynamic = False
    shape = None
    max_det = 300

    def __init__(self):
        super().__init__()
        self.nc, self.stride = 2, torch.tensor([8.0])
        self.conv = nn.Conv2d(8, 6, 1)

    def forward_head(self, x):
        return {"boxes": x[:, :4].flatten(2), "scores": x[:, 4:].flatten(2), "feats": [x]}

    def forward(self, x):
        raw = self.forward_head(self.conv(x))
        decoded = torch.cat([raw["boxes"] * 8, raw["scores"].sigmoid()], 1)
        return decoded if self.export else (decoded, raw)


class DetectionModel(nn.Module):
    task = "detect"

    def __init__(self):
        super().__init__()
        body = [nn.Conv2d(3, 8, 3, 8, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 8, 3, 1, 1)]
        self.model = nn.Sequential(*body, Detect())
        self.stride = torch.tensor([8.0])
        self.names = {0: "cat", 1: "dog"}
        self.yaml = {"channels": 3}

    def forward(self, x):
        return self.model(x)


DetectionModel.__module__ = "ultralytics.nn.tasks"
Detect.__module__ = "ultralytics.nn.modules.head"


def metadata(source):
    return dict(source.input.metadata)


def test_a_network_in_memory_takes_its_own_settings():
    network = DetectionModel()
    network.args = SimpleNamespace(imgsz=[30, 50], data="x")
    source = wrap(network)
    assert source.input.shapes == ((1, 3, 32, 56),)
    assert (source.input.mean, source.input.std) == ((0.0,) * 3, (1.0,) * 3)
    assert ast.literal_eval(metadata(source)["names"]) == {0: "cat", 1: "dog"}
    assert (metadata(source)["stride"], metadata(source)["task"]) == ("8", "detect")
    assert source.module(torch.rand(1, 3, 32, 56)).shape == (1, 6, 28)
    assert not network.model[-1].export


def test_the_image_size_that_is_given_is_the_one_in_the_file(tmp_path):
    source = wrap(DetectionModel(), (1, 3, 24, 40))
    exported = OnnxTarget()(source.module, source.input, tmp_path / "a.onnx", {"plan": "p"})
    texts = {each.key: each.value for each in onnx.load(exported.path).metadata_props}
    assert ast.literal_eval(texts["imgsz"]) == [24, 40]
    assert texts["plan"] == "p"
    assert texts["end2end"] == "False"


@pytest.mark.parametrize(("side", "kept"), [(16, 4), (64, 64), (256, 300)])
def test_as_many_detections_are_kept_as_the_given_image_has_places(side, kept):
    network = DetectionModel()
    network.args = {"imgsz": 80}
    head = wrap(network, (1, 3, side, side)).module.model[-1]
    assert head.max_det == kept


def test_a_raw_head_decodes_nothing():
    source = wrap(DetectionModel(), (1, 3, 16, 16), raw_head=True)
    x = torch.rand(1, 3, 16, 16)
    _, raw = source.module.network(x)
    assert set(source.module(x)) == {"boxes", "scores"}
    assert torch.equal(source.module(x)["scores"], raw["scores"])
    assert metadata(source) == {}


def test_other_networks_have_no_raw_head():
    with pytest.raises(UsageError, match="--raw-head: the head of a Conv2d is not known"):
        wrap(nn.Conv2d(3, 4, 1), (1, 3, 8, 8), raw_head=True)


@pytest.mark.parametrize("size", [True, -3, 1 << 20, "big", None])
def test_a_size_that_is_none_is_not_believed(size):
    network = DetectionModel()
    network.args = {"imgsz": size}
    assert wrap(network).input.shapes == ((1, 3, 640, 640),)


def test_a_checkpoint_of_the_library_needs_no_flag_but_its_name(tmp_path):
    ultralytics = pytest.importorskip("ultralytics")
    network = ultralytics.YOLO("yolov8n.yaml").model
    args = {"imgsz": 64}
    torch.save({"model": None, "ema": network.half(), "train_args": args}, tmp_path / "y.pt")
    source = load(tmp_path / "y.pt", LoadOptions(allow=("ultralytics",)))
    assert source.input.shapes == ((1, 3, 64, 64),)
    assert source.module(torch.rand(1, 3, 64, 64)).shape == (1, 84, 84)
    assert "'ema'" in source.notes[0]
    raw = load(tmp_path / "y.pt", LoadOptions(allow=("ultralytics",), raw_head=True))
    assert raw.module(torch.rand(1, 3, 64, 64))["scores"].shape == (1, 80, 84)


@pytest.mark.parametrize(("side", "detections"), [(64, 84), (128, 300)])
def test_detections_without_suppression_are_those_of_the_given_size(side, detections, tmp_path):
    ultralytics = pytest.importorskip("ultralytics")
    network = ultralytics.YOLO("yolov10n.yaml").model
    network.model[-1].end2end = True
    torch.save({"model": network, "train_args": {"imgsz": 96}}, tmp_path / "y.pt")
    options = LoadOptions(allow=("ultralytics",), input_shapes=((1, 3, side, side),))
    source = load(tmp_path / "y.pt", options)
    assert source.module(torch.rand(1, 3, side, side)).shape == (1, detections, 6)
