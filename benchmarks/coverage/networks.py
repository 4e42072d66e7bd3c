"""Networks by name: ``torchvision:NAME``, ``timm:NAME`` where timm is installed, ``block:NAME``."""

from __future__ import annotations

import importlib.util

import torch
import torchvision
from blocks import BLOCKS
from torch import nn

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
"""One of the smallest convolutional networks of each family of timm."""

WITHOUT_CONVOLUTIONS = ("vit_", "swin", "maxvit")
"""Families of torchvision that are attention all through."""


def names(kinds: list[str]) -> list[str]:
    """All names of some kinds: "block", "torchvision", "timm"."""
    classification = torchvision.models.list_models(module=torchvision.models)
    known = {
        "block": list(BLOCKS),
        "torchvision": [n for n in classification if not n.startswith(WITHOUT_CONVOLUTIONS)],
        "timm": list(FAMILIES) if importlib.util.find_spec("timm") else [],
    }
    return [f"{kind}:{name}" for kind in kinds for name in known[kind]]


def build(name: str) -> tuple[nn.Module, int]:
    """The network of a name with random weights, and the side of the images that it takes."""
    torch.manual_seed(0)
    kind, _, own = name.partition(":")
    if kind == "block":
        return _calibrated(BLOCKS[own](), 16), 16
    if kind == "torchvision":
        options = {"init_weights": False} if own in ("googlenet", "inception_v3") else {}
        return torchvision.models.get_model(own, weights=None, **options).eval(), SIDE
    import timm

    network = timm.create_model(own, pretrained=False).eval()
    fixed = network.pretrained_cfg.get("fixed_input_size")
    return network, network.pretrained_cfg["input_size"][-1] if fixed else SIDE


@torch.no_grad()
def _calibrated(network: nn.Module, side: int) -> nn.Module:
    """In eval mode, with the BatchNorm statistics of noise."""
    network.train()
    network(torch.randn(16, 3, side, side))
    return network.eval()
