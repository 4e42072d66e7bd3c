"""Networks by name, each ``kind:name``: blocks of our own, and those of libraries that are there.

torchvision's are all of its own list, timm's one of each family, Ultralytics' the smallest of each
generation and task, segmentation_models_pytorch's nine decoders on two encoders.
"""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass

import torch
import torchvision
from blocks import BLOCKS
from torch import nn

from edgeprune.loading.factories import build as from_library

SIDE = 96
"""Pixels of an image's side, where a network takes any size."""

FAMILIES = (
    *("mixnet_s", "ghostnetv2_100", "skresnet18", "convnextv2_atto", "convnext_atto"),
    *("regnetx_002", "regnety_002", "regnetz_005", "efficientnet_b0", "efficientnetv2_rw_t"),
    *("tf_efficientnet_b0", "mobilenetv3_small_050", "mobilenetv4_conv_small"),
    *("mobilenetv4_hybrid_medium", "ghostnetv3_100", "densenet121"),
    *("inception_v3", "inception_v4", "inception_resnet_v2", "resnext50_32x4d"),
    *("resnet18", "resnetv2_50x1_bit", "nf_resnet26", "nfnet_f0", "eca_nfnet_l0", "ecaresnet26t"),
    *("resnest14d", "res2net50_26w_4s", "dla34", "dpn48b", "hrnet_w18_small", "cspresnet50"),
    *("cspdarknet53", "cs3darknet_s", "darknet53", "vovnet39a", "ese_vovnet19b_dw", "selecsls42b"),
    *("tresnet_m", "xception41", "legacy_xception", "mnasnet_small", "semnasnet_075", "fbnetc_100"),
    *("spnasnet_100", "hardcorenas_a", "lcnet_050", "tinynet_e", "rexnet_100", "repvgg_a0"),
    *("repghostnet_050", "mobileone_s0", "gernet_s", "convmixer_768_32", "poolformer_s12"),
    *("edgenext_xx_small", "fastvit_t8", "focalnet_tiny_srf", "inception_next_atto", "starnet_s1"),
    *("hgnet_tiny", "hgnetv2_b0", "vgg11", "vgg11_bn", "botnet26t_256", "lambda_resnet26t"),
    *("gcresnet33ts", "seresnet33ts", "eca_resnet33ts", "skresnext50_32x4d", "repvit_m0_9"),
    *("efficientvit_b0", "efficientformerv2_s0", "mobilevit_xxs", "mobilevitv2_050", "shvit_s1"),
    *("rdnet_tiny", "mambaout_femto", "fasternet_t0", "swiftformer_xs", "nasnetalarge"),
)  # fmt: skip
"""One of the smallest networks of each family of timm."""

YOLO = (
    *("yolov5n", "yolov8n", "yolov8n-seg", "yolov8n-pose", "yolov8n-cls", "yolov9t", "yolov9c-seg"),
    *("yolov10n", "yolo11n", "yolo11n-seg", "yolo11n-pose", "yolo11n-cls", "yolo12n"),
    *("yolo12n-seg", "yolo12n-pose", "yolo12n-cls", "yolov3-tiny", "yolov6n", "yolo26n"),
)
"""Ultralytics' networks."""

DECODERS = (
    *("Unet", "UnetPlusPlus", "MAnet", "Linknet", "FPN", "PSPNet", "DeepLabV3", "DeepLabV3Plus"),
    "PAN",
)
ENCODERS = ("resnet18", "mobilenet_v2")

TOO_LARGE = ("vit_h_14", "vit_l_16", "vit_l_32", "regnet_y_128gf")
"""Networks of more than 300 million weights, of families that stand here by others."""

FIXED = {"vit_": 224, "maxvit": 224, "swin": 224, "mvit": 224, "swin3d": 224}
"""Sides of those that take one size."""

KINDS = ("block", "torchvision", "detection", "segmentation", "video", "timm", "yolo", "smp")


@dataclass(frozen=True)
class Built:
    """A network with random weights.

    Attributes:
        module: The network.
        shape: Shape of its input; None: it says so itself.
        head: The module that users of Torch-Pruning leave alone; empty: what makes the outputs.
    """

    module: nn.Module
    shape: tuple[int, ...] | None
    head: str = ""


def names(kinds: list[str]) -> list[str]:
    """All names of some kinds; none of a library that is not there."""
    known = {
        "block": list(BLOCKS),
        "torchvision": _torchvisions(torchvision.models),
        "detection": _torchvisions(torchvision.models.detection),
        "segmentation": _torchvisions(torchvision.models.segmentation),
        "video": _torchvisions(torchvision.models.video),
        "timm": FAMILIES if importlib.util.find_spec("timm") else (),
        "yolo": YOLO if importlib.util.find_spec("ultralytics") else (),
        "smp": _smps() if importlib.util.find_spec("segmentation_models_pytorch") else (),
    }
    return [f"{kind}:{name}" for kind in kinds for name in known[kind]]


def build(name: str) -> Built:
    """The network of a name."""
    torch.manual_seed(0)
    kind, _, own = name.partition(":")
    return BUILDERS[kind](own)


def _torchvisions(module: object) -> list[str]:
    listed = torchvision.models.list_models(module=module)
    return [name for name in listed if name not in TOO_LARGE]


def _smps() -> list[str]:
    return [f"{decoder}:{encoder}" for decoder in DECODERS for encoder in ENCODERS]


def _block(own: str) -> Built:
    return Built(_calibrated(BLOCKS[own](), 16), (1, 3, 16, 16))


def _torchvision(own: str) -> Built:
    options = {"init_weights": False} if own in ("googlenet", "inception_v3") else {}
    side = _side(own)
    return Built(from_library(f"torchvision:{own}", options).eval(), (1, 3, side, side))


def _detection(own: str) -> Built:
    fixed = own.startswith("ssd")  # its size is part of the network
    options = {} if fixed else {"min_size": 2 * SIDE, "max_size": 2 * SIDE}
    return Built(from_library(f"torchvision:{own}", options).eval(), None)


def _video(own: str) -> Built:
    side, frames = _side(own), 16
    return Built(from_library(f"torchvision:{own}", {}).eval(), (1, 3, frames, side, side))


def _timm(own: str) -> Built:
    network = from_library(f"timm:{own}", {}).eval()
    fixed = network.pretrained_cfg.get("fixed_input_size")
    side = network.pretrained_cfg["input_size"][-1] if fixed else SIDE
    return Built(network, (1, 3, side, side))


def _yolo(own: str) -> Built:
    import ultralytics

    network = ultralytics.YOLO(f"{own}.yaml").model.eval()
    return Built(network, (1, 3, 160, 160), f"model.{len(network.model) - 1}")


def _smp(own: str) -> Built:
    return Built(from_library(f"smp:{own}", {}).eval(), (1, 3, SIDE, SIDE))


def _side(own: str) -> int:
    return next((side for begin, side in FIXED.items() if own.startswith(begin)), SIDE)


@torch.no_grad()
def _calibrated(network: nn.Module, side: int) -> nn.Module:
    """In eval mode, with the BatchNorm statistics of noise."""
    network.train()
    network(torch.randn(16, 3, side, side))
    return network.eval()


BUILDERS = {
    "block": _block,
    "torchvision": _torchvision,
    "detection": _detection,
    "segmentation": _torchvision,
    "video": _video,
    "timm": _timm,
    "yolo": _yolo,
    "smp": _smp,
}
