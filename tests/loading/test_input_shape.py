"""The input shape: given, known to the network, the only one that fits, or asked for."""

from __future__ import annotations

import pytest
import torch
import zoo
from torch import nn

from edgeprune.artifacts import IMAGENET_MEAN, IMAGENET_STD
from edgeprune.errors import UsageError
from edgeprune.loading import parse_shape
from edgeprune.loading.input_shape import input_spec


def flattening(size, channels=3):
    return nn.Sequential(
        nn.Conv2d(channels, 4, 3, padding=1),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4 * (size // 2) ** 2, 2),
    ).eval()


@pytest.mark.parametrize("text", ["1x3x32x48", "1,3,32,48", " 1 x 3 x 32 x 48 ", "1X3X32X48"])
def test_shapes_are_read(text):
    assert parse_shape(text) == (1, 3, 32, 48)


@pytest.mark.parametrize(
    "text", ["", "224", "1x3xHxW", "1x3x", "a", "1 3 32 32", "1x-3x2", "1.5x2"]
)
def test_what_is_no_shape_is_a_usage_error(text):
    with pytest.raises(UsageError, match="1x3x224x224"):
        parse_shape(text)


@pytest.mark.parametrize(
    ("text", "better"),
    [("8x3x32x32", "pass 1x3x32x32"), ("3x32x32", "pass 1x3x32x32"), ("1x0x3x3", "pass")],
)
def test_the_batch_is_one(text, better):
    with pytest.raises(UsageError, match=better):
        parse_shape(text)


def test_explicit_shapes_win():
    network = zoo.build("chain")
    network.example_input_array = torch.ones(1, 3, 64, 64)
    assert input_spec(network, ((1, 3, 24, 24),)).shapes == ((1, 3, 24, 24),)
    assert input_spec(network).shapes == ((1, 3, 64, 64),)


def test_timm_s_configuration_is_believed():
    network = zoo.build("chain")
    network.pretrained_cfg = {"input_size": (3, 40, 40), "mean": [0.5] * 3, "std": (0.25,) * 3}
    spec = input_spec(network)
    assert spec.shapes == ((1, 3, 40, 40),)
    assert (spec.mean, spec.std) == ((0.5,) * 3, (0.25,) * 3)
    assert input_spec(network, mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (96, 4)])
def test_the_only_size_that_fits_is_found(size, channels):
    assert input_spec(flattening(size, channels)).shapes == ((1, channels, size, size),)


def test_a_first_linear_layer_says_it():
    assert input_spec(nn.Sequential(nn.Linear(9, 2))).shapes == ((1, 9),)


@pytest.mark.parametrize(
    ("network", "asked"),
    [
        (nn.Sequential(nn.Conv2d(5, 4, 3)), "--input 1x5xHxW"),
        (nn.Sequential(nn.Conv1d(2, 4, 3)), "--input 1x2xL"),
        (nn.Sequential(nn.ReLU()), "--input 1x3xHxW"),
    ],
)
def test_what_cannot_be_told_is_asked_for(network, asked):
    with pytest.raises(UsageError, match=asked):
        input_spec(network)


def test_a_shape_that_does_not_pass_is_a_usage_error():
    with pytest.raises(UsageError, match=r"not take an input of 1x4x8x8: .*channels") as error:
        input_spec(zoo.build("chain"), ((1, 4, 8, 8),))
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


def test_several_inputs_pass_together():
    bilinear = nn.Bilinear(3, 4, 2)
    assert input_spec(bilinear, ((1, 3), (1, 4))).shapes == ((1, 3), (1, 4))


def test_normalisation_has_a_value_for_each_channel():
    rgb, gray = input_spec(flattening(16)), input_spec(flattening(16, 1))
    assert (rgb.mean, rgb.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert len(gray.mean) == len(gray.std) == 1
    assert gray.mean[0] == pytest.approx(sum(IMAGENET_MEAN) / 3, abs=1e-3)
    assert gray.std[0] == pytest.approx(sum(IMAGENET_STD) / 3, abs=1e-3)
    assert input_spec(flattening(16), mean=(0.5,)).mean == (0.5,) * 3
    with pytest.raises(UsageError, match="--std has 2 values, but the input 3 channels"):
        input_spec(flattening(16), std=(0.5, 0.5))
