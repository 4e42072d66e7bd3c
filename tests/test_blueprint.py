"""Laws of the blueprint: what is described is rebuilt, and only what is allowed is made."""

from __future__ import annotations

import copy
import functools
import json
import math
import sys
import weakref
from collections import OrderedDict
from dataclasses import dataclass
from enum import Enum
from types import ModuleType

import pytest
import torch
import zoo
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations

from edgeprune import blueprint
from edgeprune.blueprint import Allowed
from edgeprune.errors import ModelRefused, ModelUnsupported, UsageError

ZOO = Allowed(("zoo",))
HERE = Allowed((__name__,))


class Colour(Enum):
    RED = "r"


@dataclass(frozen=True)
class Settings:
    width: int
    scale: float


class Holder(nn.Module):
    """Keeps one value; making it by its constructor is an error."""

    def __init__(self, value: object, *, really: bool = False) -> None:
        assert really, "the constructor ran"
        super().__init__()
        self.value = value


def plain_function(x):
    return x


def rebuilt(network, allowed=HERE):
    description, tensors = blueprint.describe(network)
    text = json.dumps(description, allow_nan=False)
    return blueprint.rebuild(json.loads(text), tensors, allowed)


def outputs(network):
    with torch.no_grad():
        made = network(torch.linspace(-2, 2, 768).reshape(zoo.INPUT_SHAPE))
    return made if isinstance(made, dict) else {"out": made}


@pytest.mark.parametrize("name", zoo.NETWORKS)
def test_what_is_written_computes_the_same_bit_for_bit(name, tmp_path):
    network = zoo.build(name)
    blueprint.write(network, tmp_path / "n.safetensors", {"note": "hello"})
    stored = blueprint.read(tmp_path / "n.safetensors")
    again = stored.network(ZOO)
    expected, got = outputs(network), outputs(again)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[key], got[key]) for key in expected)
    assert list(again.state_dict()) == list(network.state_dict())
    assert str(again) == str(network)
    assert stored.notes["note"] == "hello"
    assert [file.name for file in tmp_path.iterdir()] == ["n.safetensors"]


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        -3,
        2**70,
        0.1,
        -0.0,
        math.inf,
        -math.inf,
        "text",
        (1, (2, "x")),
        [1, [2]],
        {1, 2},
        frozenset({"a"}),
        {"a": 1, "$b": 2},
        {1: "one", (2, 3): "two"},
        OrderedDict(a=1),
        torch.Size([1, 2]),
        torch.float16,
        torch.device("cpu"),
        Colour.RED,
        Settings(3, 0.5),
        nn.BatchNorm2d,
        F.relu,
        F.gelu,
        F.max_pool2d,
        torch.relu,
        plain_function,
    ],
    ids=lambda value: getattr(value, "__qualname__", None) or repr(value),
)
def test_values_come_back_equal_and_of_the_same_kind(value):
    again = rebuilt(Holder(value, really=True)).value
    assert again == value
    assert type(again) is type(value) or isinstance(value, OrderedDict)


def test_nan_partial_and_weak_reference_come_back():
    parts = (math.nan, functools.partial(nn.LayerNorm, eps=1e-6))
    nan, partial = rebuilt(Holder(parts, really=True)).value
    assert math.isnan(nan)
    assert partial(4).eps == 1e-6
    holder = Holder(nn.ReLU(), really=True)
    holder.pointer = weakref.ref(holder.value)
    again = rebuilt(holder)
    assert again.pointer() is again.value


def test_what_is_shared_stays_shared():
    conv = nn.Conv2d(3, 3, 1)
    other = nn.Conv2d(3, 3, 1)
    other.weight = conv.weight
    network = nn.Sequential(conv, other, conv)
    object.__setattr__(network, "unregistered", [other])
    again = rebuilt(network)
    assert again[0] is again[2]
    assert again[0].weight is again[1].weight
    assert again.unregistered[0] is again[1]


def test_flags_and_buffers_come_back():
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3))
    network[0].weight.requires_grad = False
    network[1].register_buffer("scratch", torch.ones(2), persistent=False)
    network[1].eval()
    again = rebuilt(network)
    assert not again[0].weight.requires_grad
    assert again[0].bias.requires_grad
    assert again.training
    assert not again[1].training
    assert "1.scratch" not in again.state_dict()
    assert torch.equal(again[1].scratch, torch.ones(2))


def test_hooks_are_dropped_and_the_network_is_not_changed():
    network = zoo.build("residual")
    network[0].register_forward_hook(lambda *args: None)
    before = copy.deepcopy(network.state_dict())
    again = rebuilt(network, ZOO)
    assert not again[0]._forward_hooks
    assert network[0]._forward_hooks
    assert all(torch.equal(before[k], t) for k, t in network.state_dict().items())


def test_what_cannot_be_described_is_named():
    network = nn.Sequential(nn.ReLU(), nn.Sequential(Holder(lambda x: x, really=True)))
    with pytest.raises(ModelUnsupported, match=r"'1\.0\.value' \(attribute of a Holder\).*lambda"):
        blueprint.describe(network)
    network[0].weird = object()
    with pytest.raises(ModelUnsupported, match=r"'0\.weird'.*builtins\.object"):
        blueprint.describe(network)


def test_classes_that_nobody_can_import_are_unsupported():
    class Local(nn.Module):
        pass

    with pytest.raises(ModelUnsupported, match=r"Local.*top level of a module"):
        blueprint.describe(nn.Sequential(Local()))


def test_parametrizations_are_unsupported():
    network = nn.Sequential(parametrizations.weight_norm(nn.Conv2d(3, 3, 1)))
    with pytest.raises(ModelUnsupported, match="'0' is parametrized"):
        blueprint.describe(network)


def test_a_failure_leaves_no_file(tmp_path):
    with pytest.raises(ModelUnsupported):
        blueprint.write(Holder(object(), really=True), tmp_path / "n.safetensors", {})
    assert not list(tmp_path.iterdir())


def test_own_classes_need_allow():
    with pytest.raises(ModelRefused, match=r"zoo\.Sum.*--allow zoo"):
        rebuilt(zoo.build("residual"), Allowed())


@pytest.mark.parametrize(
    "name",
    [
        "posix:system",
        "builtins:eval",
        "torch:load",
        "torch:from_file",
        "torch.hub:load",
        "torch.jit:load",
        "torch.serialization:load",
        "torch.nn.modulesX:Linear",
        "torch.nn.modules.linear:torch.load",
        "torch.nn.modules.linear:Linear.__init__",
        "torch.nn.modules.linear:F",
        "torch.nn.functional:handle_torch_function",
        "torch.nn.functional:boolean_dispatch",
        "torch.nn.functional:importlib",
        "torch.nn.functional:_canonical_mask",
        "torchvision.models:get_model",
        "torchvision.models._api:load_state_dict_from_url",
        "torchvision.models.resnet:resnet18",
        "torchvision.models.resnet:ResNet18_Weights",
        "torchvision.models.feature_extraction:fx.GraphModule",
        "torchvision.models.feature_extraction:DualGraphModule",
        "torchvision.ops.misc:torch",
        "torch.fx.graph_module:GraphModule",
        "torch.nn.modules.linear:NoSuchThing",
        "torch.nn.modules.nosuchmodule:Linear",
    ],
)
def test_no_other_name_is_ever_resolved(name):
    module, _, qualname = name.partition(":")
    with pytest.raises(ModelRefused):
        Allowed().resolve(module, qualname)
    with pytest.raises(ModelRefused):
        blueprint.rebuild({"modules": [{"class": name, "training": False}], "tensors": {}}, {}, ZOO)


def test_an_allowed_module_lends_only_its_own(monkeypatch):
    module = ModuleType("lender")
    exec(
        "import os, subprocess\nfrom os import system\nfrom subprocess import Popen, run",
        vars(module),
    )
    monkeypatch.setitem(sys.modules, "lender", module)
    for name in ("system", "Popen", "run", "os", "os.system", "subprocess.run"):
        with pytest.raises(ModelRefused):
            Allowed(("lender",)).resolve("lender", name)


def test_nothing_is_imported_before_the_name_is_checked(tmp_path, monkeypatch):
    (tmp_path / "landmine.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ModelRefused):
        Allowed(("land",)).resolve("landmine", "Net")


def test_an_allowed_file_is_known_by_its_stem_and_as_main(tmp_path):
    file = tmp_path / "blueprint_own_net.py"
    file.write_text("from torch import nn\nclass Net(nn.Module):\n    pass\n")
    allowed = Allowed((str(file),))
    try:
        net = allowed.resolve("blueprint_own_net", "Net")
        assert allowed.resolve("__main__", "Net") is net
        assert str(tmp_path) not in sys.path
    finally:
        del sys.modules["blueprint_own_net"]
    with pytest.raises(UsageError, match="no Python file"):
        Allowed((str(tmp_path / "gone.py"),)).resolve("gone", "Net")
    (tmp_path / "zoo.py").write_text("")
    with pytest.raises(UsageError, match="rename"):
        Allowed((str(tmp_path / "zoo.py"),)).resolve("zoo", "Sum")


@pytest.mark.parametrize(
    "damage",
    [
        lambda b: b.pop("tensors"),
        lambda b: b["modules"].clear(),
        lambda b: b["modules"][0]["children"].update({"0": {"$module": 99}}),
        lambda b: b["modules"][0]["children"].update({"0": "text"}),
        lambda b: b["modules"][1].update(attributes={"x": {"$nonsense": 1}}),
        lambda b: b["modules"][1].update(attributes={"_forward_hooks": {}}),
        lambda b: b["modules"][1].update(attributes={"x": {"$dtype": "load"}}),
        lambda b: b["modules"][1]["parameters"].update(weight={"$tensor": "gone"}),
    ],
)
def test_a_damaged_blueprint_is_refused(damage):
    description, tensors = blueprint.describe(nn.Sequential(nn.Conv2d(3, 3, 1)))
    damage(description)
    with pytest.raises(ModelRefused, match="damaged"):
        blueprint.rebuild(description, tensors, Allowed())
