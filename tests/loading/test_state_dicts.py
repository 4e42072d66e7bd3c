"""Weights alone: found under any wrapper, fitted exactly or refused."""

from __future__ import annotations

import pytest
import torch
import zoo
from safetensors.torch import save_file
from torch import nn

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading import LoadOptions, load, parse_arch_arg
from edgeprune.loading.checkpoint_entries import chosen_entry
from edgeprune.loading.factories import build
from edgeprune.loading.state_dicts import fill

ARCH = LoadOptions(arch=f"{__name__}:make", input_shapes=(zoo.INPUT_SHAPE,))


def weights(seed=7):
    return make(seed).state_dict()


def make(seed=0):
    torch.manual_seed(seed)
    body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    return nn.Sequential(body, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))


def same(network, expected):
    return all(torch.equal(expected[k], t) for k, t in network.state_dict().items())


@pytest.mark.parametrize("key", [None, "state_dict", "model", "ema", "net", "module", "params"])
@pytest.mark.parametrize("prefix", ["", "module.", "model.", "_orig_mod.", "module._orig_mod."])
def test_weights_are_found_under_any_wrapper(key, prefix, tmp_path):
    named = {prefix + name: tensor for name, tensor in weights().items()}
    torch.save({key: named, "epoch": 3} if key else named, tmp_path / "w.pt")
    assert same(load(tmp_path / "w.pt", ARCH).module, weights())


@pytest.mark.parametrize("suffix", ["pt", "safetensors", "old.pth"])
def test_the_digest_does_not_depend_on_the_file(suffix, tmp_path):
    file = tmp_path / f"w.{suffix}"
    if suffix == "safetensors":
        save_file(weights(), file)
    else:
        torch.save(weights(), file, _use_new_zipfile_serialization=suffix == "pt")
    torch.save(make(7), tmp_path / "whole.pt")
    whole = load(tmp_path / "whole.pt", LoadOptions(input_shapes=(zoo.INPUT_SHAPE,)))
    assert load(file, ARCH).sha256 == whole.sha256
    torch.save(weights(8), file.with_suffix(".other"))
    assert load(file.with_suffix(".other"), ARCH).sha256 != whole.sha256


def test_a_wrapper_s_own_entries_are_left(tmp_path):
    lightning = {f"model.{name}": tensor for name, tensor in weights().items()}
    lightning["criterion.weight"] = torch.ones(5)
    torch.save({"state_dict": lightning}, tmp_path / "a.ckpt")
    averaged = {f"module.{name}": tensor for name, tensor in weights().items()}
    torch.save(averaged | {"n_averaged": torch.tensor(3)}, tmp_path / "b.pt")
    assert same(load(tmp_path / "a.ckpt", ARCH).module, weights())
    assert same(load(tmp_path / "b.pt", ARCH).module, weights())


def test_a_prefix_that_belongs_to_the_network_stays():
    network = nn.Sequential()
    network.add_module("model", nn.Linear(2, 2))
    given = {"model.weight": torch.ones(2, 2), "model.bias": torch.zeros(2)}
    fill(network, given, "w", "net")
    assert same(network, given)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_any_precision_becomes_float32(dtype, tmp_path):
    given = {k: t.to(dtype) if t.is_floating_point() else t for k, t in weights().items()}
    torch.save(given, tmp_path / "w.pt")
    module = load(tmp_path / "w.pt", ARCH).module
    assert all(torch.equal(p, given[n].float()) for n, p in module.named_parameters())
    assert {p.dtype for p in module.parameters()} == {torch.float32}


def test_missing_counters_are_tolerated(tmp_path):
    given = {k: t for k, t in weights().items() if "num_batches" not in k}
    torch.save(given, tmp_path / "w.pt")
    torch.save(weights(), tmp_path / "full.pt")
    assert load(tmp_path / "w.pt", ARCH).sha256 == load(tmp_path / "full.pt", ARCH).sha256


def test_weights_without_arch_say_what_to_pass(tmp_path):
    torch.save(weights(), tmp_path / "w.pt")
    with pytest.raises(UsageError, match="--arch torchvision:NAME"):
        load(tmp_path / "w.pt")


def test_misfits_are_named(tmp_path):
    given = weights()
    del given["0.0.weight"]
    given["extra"] = torch.ones(1)
    torch.save(given, tmp_path / "w.pt")
    with pytest.raises(ModelRefused, match=r"1 missing: 0\.0\.weight; 1 unexpected: extra"):
        load(tmp_path / "w.pt", ARCH)


def test_another_number_of_classes_is_guessed(tmp_path):
    given = build("torchvision:squeezenet1_1", {"num_classes": 7}).state_dict()
    torch.save(given, tmp_path / "w.pt")
    with pytest.raises(ModelRefused, match="--arch-arg num_classes=7"):
        load(tmp_path / "w.pt", LoadOptions(arch="torchvision:squeezenet1_1"))
    arch_args = dict([parse_arch_arg("num_classes=7")])
    source = load(
        tmp_path / "w.pt", LoadOptions(arch="torchvision:squeezenet1_1", arch_args=arch_args)
    )
    assert same(source.module, given)


def test_a_network_in_a_dictionary_in_a_dictionary_is_found(tmp_path):
    network = nn.Linear(2, 2)
    assert chosen_entry({"model": {"model": network}}, tmp_path).content is network


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("num_classes=10", ("num_classes", 10)),
        ("width=0.5", ("width", 0.5)),
        ("aux=False", ("aux", False)),
        ("sizes=(1, 2)", ("sizes", (1, 2))),
        ("act=relu", ("act", "relu")),
        ("path=a=b", ("path", "a=b")),
        ("x=__import__('os')", ("x", "__import__('os')")),
    ],
)
def test_arch_arguments_are_literals_or_text(text, parsed):
    assert parse_arch_arg(text) == parsed


@pytest.mark.parametrize("text", ["", "num_classes", "=3", "a b=3"])
def test_arch_arguments_need_a_name(text):
    with pytest.raises(UsageError, match="NAME=VALUE"):
        parse_arch_arg(text)


@pytest.mark.parametrize(
    ("arch", "message"),
    [
        ("resnet18", "did you mean torchvision:resnet18"),
        ("torchvision:resnet81", "did you mean torchvision:resnet18"),
        ("zoo:biuld", "did you mean 'build'"),
        ("zoo:INPUT_SHAPE", "has no factory"),
        ("nosuchmodule_:f", "cannot import"),
        ("gone.py:f", "no Python file"),
        ("zoo:build", "failed: TypeError"),
        ("builtins:dict", "made a dict"),
    ],
)
def test_factories_that_cannot_work_are_usage_errors(arch, message):
    with pytest.raises(UsageError, match=message):
        build(arch, {})


def test_a_factory_in_a_file_is_found_with_its_neighbours(tmp_path):
    (tmp_path / "neighbour_of_factory.py").write_text("from torch import nn\n")
    file = tmp_path / "factory_in_file.py"
    file.write_text("from neighbour_of_factory import nn\ndef make(n=2): return nn.Linear(n, n)\n")
    assert build(f"{file}:make", {"n": 3}).in_features == 3


def test_nothing_is_downloaded(monkeypatch):
    def forbidden(*args, **keywords):
        raise AssertionError("a download")

    monkeypatch.setattr("torchvision.models._api.load_state_dict_from_url", forbidden)
    network = build("torchvision:lraspp_mobilenet_v3_large", {"num_classes": 2})
    assert network.classifier.low_classifier.out_channels == 2
