"""The input shape: given, known to the network, the only one that fits, or asked for."""

from __future__ import annotations

import pytest
import torch
import zoo
from torch import nn

from edgeprune.artifacts import IMAGENET_MEAN, IMAGENET_STD, InputSpec
from edgeprune.errors import UsageError
from edgeprune.loading import LoadOptions, load, parse_inputs, parse_shape, wrap
from edgeprune.loading.input_shape import input_spec
from edgeprune.pipeline.compress import survey
from edgeprune.pruning import Macs, prune_to_budget
from edgeprune.random_inputs import random_inputs


def spec_of(network, shapes=(), mean=(), std=(), dtypes=()):
    return input_spec(network, InputSpec(shapes, mean, std, dtypes))


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
    assert spec_of(network, ((1, 3, 24, 24),)).shapes == ((1, 3, 24, 24),)
    assert spec_of(network).shapes == ((1, 3, 64, 64),)


def test_timm_s_configuration_is_believed():
    network = zoo.build("chain")
    network.pretrained_cfg = {"input_size": (3, 40, 40), "mean": [0.5] * 3, "std": (0.25,) * 3}
    spec = spec_of(network)
    assert spec.shapes == ((1, 3, 40, 40),)
    assert (spec.mean, spec.std) == ((0.5,) * 3, (0.25,) * 3)
    assert spec_of(network, mean=(0.1, 0.2, 0.3)).mean == (0.1, 0.2, 0.3)


@pytest.mark.parametrize(("size", "channels"), [(28, 1), (32, 3), (96, 4)])
def test_the_only_size_that_fits_is_found(size, channels):
    assert spec_of(flattening(size, channels)).shapes == ((1, channels, size, size),)


def test_a_first_linear_layer_says_it():
    assert spec_of(nn.Sequential(nn.Linear(9, 2))).shapes == ((1, 9),)


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
        spec_of(network)


def test_a_shape_that_does_not_pass_is_a_usage_error():
    with pytest.raises(UsageError, match=r"not take an input of 1x4x8x8: .*channels") as error:
        spec_of(zoo.build("chain"), ((1, 4, 8, 8),))
    assert error.value.exit_code == 2
    assert "\n" not in str(error.value)


class Wide(nn.Module):
    """A small network whose one map takes 1.4 GB at its own input."""

    def __init__(self):
        super().__init__()
        self.example_input_array = torch.zeros(1, 3, 64, 64)
        self.conv = nn.Conv2d(3, 16, 3)

    def forward(self, x):
        return nn.functional.pad(self.conv(x), [2300, 2300, 2300, 2300])


@pytest.mark.parametrize(
    ("shape", "way_out"),
    [((), r"pass --input 1x3x64x64: what is given may take more$"), ((1, 3, 64, 64), "smaller")],
)
def test_who_takes_too_much_is_told_the_way_out(shape, way_out, tmp_path):
    torch.save(Wide(), tmp_path / "wide.pt")
    options = LoadOptions(allow=(__name__,), input_shapes=(shape,) if shape else ())
    with pytest.raises(UsageError, match=rf"would take .*iB at once.*; .*{way_out}"):
        load(tmp_path / "wide.pt", options)


def test_several_inputs_pass_together():
    bilinear = nn.Bilinear(3, 4, 2)
    assert spec_of(bilinear, ((1, 3), (1, 4))).shapes == ((1, 3), (1, 4))


def test_normalisation_has_a_value_for_each_channel():
    rgb, gray = spec_of(flattening(16)), spec_of(flattening(16, 1))
    assert (rgb.mean, rgb.std) == (IMAGENET_MEAN, IMAGENET_STD)
    assert len(gray.mean) == len(gray.std) == 1
    assert gray.mean[0] == pytest.approx(sum(IMAGENET_MEAN) / 3, abs=1e-3)
    assert gray.std[0] == pytest.approx(sum(IMAGENET_STD) / 3, abs=1e-3)
    assert spec_of(flattening(16), mean=(0.5,)).mean == (0.5,) * 3
    with pytest.raises(UsageError, match="--std has 2 values, but the input 3 channels"):
        spec_of(flattening(16), std=(0.5, 0.5))


class Frames(nn.Module):
    """Takes bytes, channels last, and nothing else."""

    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Conv2d(3, 16, 3, 2, 1), nn.Conv2d(16, 4, 1)

    def forward(self, frame):
        if frame.dtype != torch.uint8:
            raise TypeError("give me bytes")
        return self.b(torch.relu(self.a(frame.permute(0, 3, 1, 2).float() / 255)))


class Words(nn.Module):
    """Takes indices of words and a signal."""

    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(2, 8)
        self.signal, self.out = nn.Conv1d(1, 8, 3, padding=1), nn.Conv1d(8, 4, 1)

    def forward(self, ids, signal):
        return self.out(torch.relu(self.signal(signal)) * self.words(ids).transpose(1, 2))


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("1x16:int64", (((1, 16),), (), (), ("int64",))),
        ("1x8x8x3:uint8", (((1, 8, 8, 3),), (), (), ("uint8",))),
        ("1x3x8x8", (((1, 3, 8, 8),), (), ())),
    ],
)
def test_types_are_read(text, parsed):
    assert parse_inputs([text]) == InputSpec(*parsed)


@pytest.mark.parametrize("text", ["1x16:", "1x16:long", "1x16:uint8:uint8", "1x3x8x8:os"])
def test_what_is_no_type_is_a_usage_error(text):
    with pytest.raises(UsageError, match=r"comes a type|it must be a shape|NAME:SHAPE"):
        parse_inputs([text])


def test_inputs_of_other_types_pass_and_the_right_type_is_hinted_at():
    spec = spec_of(Frames(), ((1, 8, 8, 3),), dtypes=("uint8",))
    assert spec.texts == ("1x8x8x3:uint8",)
    with pytest.raises(UsageError, match=r"it takes uint8: pass --input 1x8x8x3:uint8"):
        spec_of(Frames(), ((1, 8, 8, 3),))
    mixed = spec_of(Words(), ((1, 6), (1, 1, 6)), dtypes=("int64", "float32"))
    assert mixed.texts == ("1x6:int64", "1x1x6")


def test_an_example_s_type_is_the_input_s():
    source = wrap(Frames(), torch.zeros(2, 8, 8, 3, dtype=torch.uint8))
    assert source.input.texts == ("1x8x8x3:uint8",)
    assert wrap(zoo.build("chain"), torch.zeros(1, 3, 8, 8).double()).input.dtypes == ()


@pytest.mark.parametrize("dtype", ["uint8", "int64", "bool", "float32"])
def test_random_inputs_have_their_type_and_valid_values(dtype):
    (drawn,) = random_inputs(InputSpec(((1, 500),), dtypes=(dtype,)), batch=3)
    assert drawn.dtype == getattr(torch, dtype)
    assert drawn.shape == (3, 500)
    if dtype != "float32":
        assert 0 <= int(drawn.min()) < int(drawn.max()) <= (255 if dtype == "uint8" else 1)


def test_a_signal_s_length_is_found_or_asked_for_as_one():
    signal = nn.Sequential(nn.Conv1d(1, 4, 3, padding=1), nn.Flatten(), nn.Linear(4 * 128, 2))
    assert spec_of(signal).shapes == ((1, 1, 128),)
    with pytest.raises(UsageError, match="--input 1x1xL with the length of your signals"):
        spec_of(nn.Sequential(nn.Conv1d(1, 4, 3)))


def test_networks_of_any_type_are_pruned_and_proved():
    examples = (torch.zeros(1, 6, dtype=torch.int64), torch.zeros(1, 1, 6))
    traced, _ = survey(wrap(Words(), examples))
    assert traced.record is not None
    frames, costs = survey(wrap(Frames(), torch.zeros(1, 8, 8, 3, dtype=torch.uint8)))
    assert [group.name for group in frames.prunable] == ["a"]
    pruned = prune_to_budget(frames, costs, Macs(0.5))[1]
    assert pruned.surgery.max_rel_diff < 1e-5
