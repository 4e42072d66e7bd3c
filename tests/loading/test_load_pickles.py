"""Whole networks in .pt files: allowed classes load, code never runs."""

from __future__ import annotations

import argparse
import functools
import importlib
import os
import pathlib
import pickle
import sys
import zipfile
from types import ModuleType

import numpy as np
import pytest
import torch
import torchvision
import zoo
from torch import nn
from torch.nn import functional as F

from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading import LoadOptions, load
from edgeprune.loading.pickles import unpickle

SHAPE = (zoo.INPUT_SHAPE,)


class Calls:
    """Pickles as a call."""

    def __init__(self, function, *args):
        self.call = (function, args)

    def __reduce__(self):
        return self.call


def touch(marker):
    pathlib.Path(marker).touch()


@pytest.fixture
def marker(tmp_path):
    return tmp_path / "code-ran"


@pytest.mark.parametrize("name", ["resnet18", "mobilenet_v3_small", "squeezenet1_1"])
def test_torchvision_classifiers_load_without_a_flag(name, tmp_path):
    network = torchvision.models.get_model(name, weights=None).eval()
    torch.save(network, tmp_path / "net.pt")
    source = load(tmp_path / "net.pt")
    x = torch.randn(source.input.shapes[0])
    with torch.no_grad():
        assert torch.equal(source.module(x), network(x))
    assert source.name == "net"
    assert source.input.shapes == ((1, 3, 224, 224),)
    assert not source.module.training


def test_own_classes_load_when_allowed_and_only_then(tmp_path):
    torch.save(zoo.build("residual"), tmp_path / "net.pth")
    with pytest.raises(ModelRefused, match=r"zoo\.Sum.*--allow zoo.*--trust") as refusal:
        load(tmp_path / "net.pth", LoadOptions(input_shapes=SHAPE))
    assert refusal.value.exit_code == 4
    source = load(tmp_path / "net.pth", LoadOptions(allow=("zoo",), input_shapes=SHAPE))
    assert isinstance(source.module[1], zoo.Sum)
    trusted = load(tmp_path / "net.pth", LoadOptions(trust=True, input_shapes=SHAPE))
    assert trusted.sha256 == source.sha256


def test_a_script_that_saved_its_own_class_loads_by_its_file(tmp_path, monkeypatch):
    file = tmp_path / "train_own_net.py"
    file.write_text("from torch import nn\nclass Net(nn.Conv2d):\n    pass\n")
    scope = {"__name__": "__main__"}
    exec(file.read_text(), scope)
    monkeypatch.setattr(sys.modules["__main__"], "Net", scope["Net"], raising=False)
    torch.save(scope["Net"](3, 4, 1), tmp_path / "net.pt")
    with pytest.raises(ModelRefused, match=r"--allow path/to/script\.py, the script.*Net"):
        load(tmp_path / "net.pt", LoadOptions(input_shapes=SHAPE))
    options = LoadOptions(allow=(str(file),), input_shapes=SHAPE)
    try:
        assert type(load(tmp_path / "net.pt", options).module).__module__ == "train_own_net"
    finally:
        sys.modules.pop("train_own_net", None)


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("protocol", [2, 4])
@pytest.mark.parametrize("trap", ["system", "nested", "eval", "getattr", "list"])
def test_no_code_runs(trap, protocol, zipped, tmp_path, marker):
    call = {
        "eval": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "getattr": Calls(getattr, Calls(__import__, "os"), "system"),
    }.get(trap, Calls(os.system, f"touch {marker}"))
    payload: object = call
    if trap == "nested":
        payload = nn.Sequential(nn.Conv2d(3, 3, 1))
        payload[0].stride = {"deep": [call]}
    elif trap == "list":
        payload = {"state_dict": {"weight": torch.ones(1)}, "epoch": [call]}
    torch.save(
        payload,
        tmp_path / "bad.pt",
        pickle_protocol=protocol,
        _use_new_zipfile_serialization=zipped,
    )
    with pytest.raises(ModelRefused) as refusal:
        load(
            tmp_path / "bad.pt", LoadOptions(arch="torchvision:resnet18", allow=("os", "builtins"))
        )
    assert refusal.value.exit_code == 4
    if zipped or trap != "nested":
        culprits = {"eval": ("eval",), "getattr": ("getattr", "__import__")}.get(trap, ("system",))
        assert any(f".{culprit} " in str(refusal.value) for culprit in culprits)
        assert "--trust" in str(refusal.value)
    assert not marker.exists()


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_plain_pickle_is_no_way_in(protocol, tmp_path, marker):
    bad = Calls(os.system, f"touch {marker}")
    (tmp_path / "bad.pth").write_bytes(pickle.dumps(bad, protocol=protocol))
    with pytest.raises(ModelRefused, match=r"\.system"):
        load(tmp_path / "bad.pth")
    assert not marker.exists()


@pytest.mark.parametrize(
    "module", ["torch.nn.modulesX", "torchvision.modelsX", "zoology", "torch.nn"]
)
def test_a_name_that_looks_allowed_is_not(module, tmp_path, marker, monkeypatch):
    fake = ModuleType(module)
    evil = type(
        "Evil", (nn.Module,), {"__module__": module, "__setstate__": lambda *_: touch(marker)}
    )
    fake.Evil = evil
    if module != "torch.nn":
        monkeypatch.setitem(sys.modules, module, fake)
    else:
        monkeypatch.setattr(nn, "Evil", evil, raising=False)
    torch.save(nn.Sequential(evil()), tmp_path / "bad.pt")
    with pytest.raises(ModelRefused, match=f"{module}.Evil"):
        load(tmp_path / "bad.pt", LoadOptions(allow=("zoo",)))
    assert not marker.exists()


def test_an_allowed_module_that_fails_is_imported_once(tmp_path, monkeypatch):
    source = "from torch import nn\nclass Net(nn.Conv2d): pass\n"
    file = tmp_path / "fails_when_imported.py"
    file.write_text(source)
    monkeypatch.syspath_prepend(tmp_path)
    torch.save(importlib.import_module(file.stem).Net(3, 4, 1), tmp_path / "net.pt")
    monkeypatch.delitem(sys.modules, file.stem)
    count = tmp_path / "imports"
    counts = f"with open({str(count)!r}, 'a') as file: file.write('+')\n"
    file.write_text(f"{counts}raise OSError('no driver')\n")
    importlib.invalidate_caches()
    with pytest.raises(ModelRefused, match=r"'fails_when_imported', which does not load.*no"):
        load(tmp_path / "net.pt", LoadOptions(allow=(file.stem,), input_shapes=SHAPE))
    assert count.read_text() == "+"


def test_an_allowed_function_may_be_kept_but_not_called(tmp_path, marker):
    torch.save({"state_dict": Calls(touch, str(marker))}, tmp_path / "bad.pt")
    with pytest.raises(ModelRefused, match="the file calls"):
        load(tmp_path / "bad.pt", LoadOptions(allow=(__name__,)))
    torch.save(Calls(F.relu, torch.ones(1)), tmp_path / "bad.pt")
    with pytest.raises(ModelRefused, match="the file calls"):
        load(tmp_path / "bad.pt")
    assert not marker.exists()

    network = nn.Sequential(nn.Conv2d(3, 3, 1))
    network[0].activation = F.relu
    network[0].more = {"a": [functools.partial(touch, "x")], "b": (F.gelu, F.dropout)}
    torch.save(network, tmp_path / "good.pt")
    source = load(tmp_path / "good.pt", LoadOptions(allow=(__name__,), input_shapes=SHAPE))
    conv = source.module[0]
    assert conv.activation is F.relu
    assert conv.more["a"][0].func is touch
    assert conv.more["b"] == (F.gelu, F.dropout)


def test_usual_company_of_weights_is_no_reason_to_refuse(tmp_path):
    company = {
        "state_dict": {"weight": torch.ones(1)},
        "args": argparse.Namespace(lr=0.1),
        "out": pathlib.Path("runs/a"),
        "best": np.float64(0.5),
        "set": {1, 2},
    }
    torch.save(company, tmp_path / "c.pt")
    loaded = unpickle(tmp_path / "c.pt", Allowed())
    assert loaded["best"] == 0.5
    assert loaded["args"].lr == 0.1


def test_checkpoints_and_wrappers_are_opened(tmp_path):
    network = torchvision.models.squeezenet1_1()
    torch.save(network, tmp_path / "bare.pt")
    torch.save({"epoch": 3, "ema": None, "model": nn.DataParallel(network)}, tmp_path / "ckpt.pt")
    bare, wrapped = load(tmp_path / "bare.pt"), load(tmp_path / "ckpt.pt")
    assert type(wrapped.module) is type(network)
    assert wrapped.sha256 == bare.sha256


def test_half_precision_becomes_float32(tmp_path):
    network = zoo.build("chain").half()
    torch.save(network, tmp_path / "net.pt")
    source = load(tmp_path / "net.pt", LoadOptions(input_shapes=SHAPE))
    assert {p.dtype for p in source.module.parameters()} == {torch.float32}


def test_arch_beside_a_whole_network_is_a_mistake(tmp_path):
    torch.save(zoo.build("chain"), tmp_path / "net.pt")
    with pytest.raises(UsageError, match="leave out --arch"):
        load(tmp_path / "net.pt", LoadOptions(arch="torchvision:resnet18"))


def test_trust_runs_the_file_and_fails_as_a_refusal(tmp_path, marker):
    torch.save(Calls(touch, str(marker)), tmp_path / "net.pt")
    with pytest.raises(ModelRefused, match="NoneType"):
        load(tmp_path / "net.pt", LoadOptions(trust=True))
    assert marker.exists()
    with zipfile.ZipFile(tmp_path / "junk.pt", "w") as archive:
        archive.writestr("a/data.pkl", b"junk")
    with pytest.raises(ModelRefused, match="cannot load"):
        load(tmp_path / "junk.pt", LoadOptions(trust=True))


def test_the_older_format_of_whole_networks_is_explained(tmp_path):
    torch.save(zoo.build("chain"), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    with pytest.raises(ModelRefused, match=r"before 1\.6.*save it again"):
        load(tmp_path / "old.pt")
