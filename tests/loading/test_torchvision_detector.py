"""Detectors of torchvision: heads as the library sees them, and a detector that still detects."""

from __future__ import annotations

from typing import Any

import onnx
import pytest
import torch
from torch import Tensor, nn
from torchvision.models import detection
from torchvision.models.detection.anchor_utils import AnchorGenerator, DefaultBoxGenerator
from torchvision.models.detection.ssd import SSD

import edgeprune as ep
from edgeprune.errors import UsageError
from edgeprune.loading import wrap

SIDE = 64


class Pyramid(nn.Module):
    """A small backbone of two levels."""

    def __init__(self, channels: int = 16) -> None:
        super().__init__()
        self.out_channels = channels
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 3, 4, 1), nn.BatchNorm2d(24), nn.ReLU())
        self.near = nn.Conv2d(24, channels, 3, 2, 1)
        self.far = nn.Conv2d(channels, channels, 3, 2, 1)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        near = self.near(self.stem(x))
        return {"0": near, "1": self.far(near.relu())}


def anchors() -> AnchorGenerator:
    return AnchorGenerator(((8,), (16,)), ((1.0,),) * 2)


def faster_rcnn() -> nn.Module:
    return detection.FasterRCNN(
        Pyramid(), 3, rpn_anchor_generator=anchors(), min_size=SIDE, max_size=SIDE
    )


def retinanet() -> nn.Module:
    return detection.RetinaNet(
        Pyramid(), 3, anchor_generator=anchors(), min_size=SIDE, max_size=SIDE
    )


def fcos() -> nn.Module:
    return detection.FCOS(Pyramid(32), 3, anchor_generator=anchors(), min_size=SIDE, max_size=SIDE)


def ssd() -> nn.Module:
    head = detection.ssd.SSDHead([16, 16], [4, 4], 3)
    return SSD(Pyramid(), DefaultBoxGenerator([[2], [2]]), (SIDE, SIDE), 3, head=head)


DETECTORS = {"faster R-CNN": faster_rcnn, "RetinaNet": retinanet, "FCOS": fcos, "SSD": ssd}


def built(name: str) -> Any:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return DETECTORS[name]().eval()


@pytest.mark.parametrize("name", DETECTORS)
def test_heads_say_what_they_say_in_the_detector(name: str) -> None:
    detector = built(name)
    source = wrap(detector)
    head = detector.rpn.head if name == "faster R-CNN" else detector.head
    seen: list[Any] = []
    hook = head.register_forward_hook(lambda *call: seen.append(call[-1]))
    picture = torch.rand(3, SIDE, SIDE)
    with torch.no_grad():
        detector([picture])
        hook.remove()
        prepared, _ = detector.transform([picture])
        found = source.module(prepared.tensors)
    wanted = list(seen[0].values()) if isinstance(seen[0], dict) else [*seen[0][0], *seen[0][1]]
    for tensor in wanted:
        assert any(torch.equal(tensor, each) for each in found.values())
    assert source.input.shapes == ((1, 3, SIDE, SIDE),)
    assert source.input.mean == tuple(detector.transform.image_mean)


@pytest.mark.parametrize("name", ["faster R-CNN", "SSD"])
def test_a_pruned_detector_still_detects(name: str) -> None:
    detector = built(name)
    report = ep.compress(
        detector, recover=None, bench=False, target=ep.OnnxTarget(opset=17), macs=0.6
    )
    assert report.ratio is not None
    assert report.ratio.macs < 0.7
    module: Any = report.compressed.module
    detector.backbone = module.backbone
    (detector.rpn if name == "faster R-CNN" else detector).head = module.head
    with torch.no_grad():
        (found,) = detector([torch.rand(3, 50, 70)])
    assert set(found) == {"boxes", "labels", "scores"}
    graph = onnx.load(report.directory / "compressed.onnx").graph
    names = {each.name for each in graph.output}
    assert names == (
        {f"{what}_{level}" for what in ("features", "objectness", "boxes") for level in "01"}
        if name == "faster R-CNN"
        else {"bbox_regression", "cls_logits"}
    )


def test_there_is_no_other_head() -> None:
    with pytest.raises(UsageError, match="always exported raw"):
        wrap(built("SSD"), raw_head=True)
