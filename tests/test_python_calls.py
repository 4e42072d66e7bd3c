"""Calls from Python: what is clear works, everything else is explained in the words of the call."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import zoo
from torch import nn

import edgeprune as ep
from edgeprune.errors import BudgetUnreachable, EdgepruneError, UsageError
from edgeprune.images.procedural import PinkNoise
from edgeprune.pipeline.settings import Settings
from edgeprune.python_words import in_python
from edgeprune.recovery.closed_form.analytic import Analytic
from edgeprune.recovery.closed_form.lbyl import Lbyl

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK: dict[str, Any] = {"recover": None, "bench": False, "target": None}


@pytest.fixture(scope="module")
def network() -> nn.Module:
    return zoo.build("chain")


def test_settings_are_those_of_the_config_and_the_budgets() -> None:
    names = {each.name for each in fields(ep.CompressConfig)}
    assert set(Settings.__annotations__) == names | {"macs", "params", "ratio", "latency", "size"}


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ({"macs": 0.25}, {"budget": ep.Macs(0.25)}),
        ({"params": "30%"}, {"budget": ep.Params(0.3)}),
        ({"ratio": 0.5}, {"budget": ep.Ratio(0.5)}),
        ({"budget": 0.5}, {"budget": ep.Macs(0.5)}),
        ({"budget": "50%"}, {"budget": ep.Macs(0.5)}),
        ({"budget": np.float32(0.5)}, {"budget": ep.Macs(0.5)}),
        ({"recover": "analytic"}, {"recover": (Analytic(),)}),
        ({"recover": "lbyl, analytic"}, {"recover": (Lbyl(), Analytic())}),
        ({"recover": ["lbyl", Analytic]}, {"recover": (Lbyl(), Analytic())}),
        ({"recover": ep.Analytic()}, {"recover": (Analytic(),)}),
        ({"recover": "none"}, {"recover": ()}),
        ({"recover": None}, {"recover": ()}),
        ({"target": "onnx"}, {"target": ep.OnnxTarget()}),
        ({"target": False}, {"target": None}),
        ({"bench": False}, {"bench": None}),
        ({"bench": True}, {"bench": ep.BenchSettings()}),
        ({"keep": "head.*"}, {"keep": ("head.*",)}),
        ({"fail_if": "ratio.macs > 1"}, {"fail_if": ("ratio.macs > 1",)}),
        ({"images": "."}, {"images": Path()}),
        ({"synthesis": "pink-noise"}, {"synthesis": PinkNoise()}),
        ({"budget_time": "1.5m"}, {"budget_time": 90.0}),
        ({"allocation": "local"}, {"allocation": ep.Allocation(scope="local")}),
        ({"seed": np.int64(3)}, {"seed": 3}),
    ],
)
def test_what_is_clear_is_taken(written: dict[str, Any], meant: dict[str, Any]) -> None:
    config = ep.CompressConfig(**written)
    assert config == ep.CompressConfig(**meant)
    assert {name: getattr(config, name) for name in meant} == meant
    assert replace(config) == config


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ({"recovr": "auto"}, "did you mean recover=?"),
        ({"eval": "photos"}, "did you mean eval_images=?"),
        ({"zzz": 1}, "there are macs, params"),
        ({"budget": 50}, "did you mean 50%"),
        ({"macs": True}, "macs=True: expected a share"),
        ({"macs": 0.5, "params": 0.5}, "choose one budget of macs=, params="),
        ({"recover": "analitic"}, "did you mean 'analytic'"),
        ({"recover": 3}, "recover=3: expected names or methods"),
        ({"target": "onx"}, "did you mean 'onnx'"),
        ({"bench": 10}, "bench=10: expected False for none"),
        ({"images": "nowhere"}, "images='nowhere': there is no such"),
        ({"images": 3}, "images=3: expected a path"),
        ({"budget_time": "soon"}, "budget_time='soon': expected seconds"),
        ({"keep": 3}, "keep=3: expected a text"),
        ({"plan": 3}, "plan=3: expected a plan of ep.plan"),
        ({"seed": 0.5}, "seed=0.5: expected a whole number"),
        ({"precision": "int2"}, "there are fp32, fp16, int8, int4, auto"),
        ({"allocation": 8}, "allocation=8: expected ep.Allocation"),
    ],
)
def test_everything_else_is_explained(written: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError) as caught:
        ep.CompressConfig(**written)
    assert said in str(caught.value)


def test_too_many_positional_settings_are_explained() -> None:
    with pytest.raises(UsageError, match="as keywords"):
        ep.CompressConfig(*range(50))  # type: ignore[call-arg]


def test_keywords_beat_the_config(network: nn.Module) -> None:
    config = ep.CompressConfig(macs=0.75, **QUICK)
    report = ep.compress(network, zoo.INPUT_SHAPE, config, macs=0.5)
    assert report.document.budget is not None
    assert report.document.budget.asked == 0.5


@pytest.mark.parametrize(
    "example",
    [
        torch.zeros(2, *zoo.INPUT_SHAPE[1:]),
        np.zeros(zoo.INPUT_SHAPE, dtype="f4"),
        torch.Size(zoo.INPUT_SHAPE),
        list(zoo.INPUT_SHAPE),
        [torch.zeros(zoo.INPUT_SHAPE)],
        "x".join(map(str, zoo.INPUT_SHAPE)),
    ],
    ids=lambda example: type(example).__name__,
)
def test_every_form_of_an_example_is_one(network: nn.Module, example: Any) -> None:
    assert ep.wrap(network, example).input.shapes == (zoo.INPUT_SHAPE,)


def test_stages_wrap_a_network_by_themselves(network: nn.Module) -> None:
    traced = ep.trace(network, zoo.INPUT_SHAPE)
    surveyed, costs = ep.survey(network, zoo.INPUT_SHAPE)
    assert [group.name for group in traced.groups] == [group.name for group in surveyed.groups]
    planned = ep.plan(surveyed, costs, "50%", criterion="l2")
    assert planned.plan.groups == ep.plan(network, zoo.INPUT_SHAPE, criterion="l2").plan.groups
    pruned = ep.prune(network, planned, zoo.INPUT_SHAPE)
    assert pruned.plan.groups == planned.plan.groups
    recovered = ep.recover(surveyed, pruned, "statistics")
    assert [step.method for step in recovered.recovered_by] == ["statistics"]


def test_a_path_stands_for_the_network_in_it(network: nn.Module, tmp_path: Path) -> None:
    torch.save(network, tmp_path / "model.pt")
    kept = ep.trace(str(tmp_path / "model.pt"), zoo.INPUT_SHAPE, keep="*")
    assert not kept.prunable


MISTAKES: dict[str, tuple[Callable[[nn.Module], object], str]] = {
    "no network": (lambda _: ep.compress(3), "model is of type int, no network"),
    "a class": (lambda _: ep.compress(nn.ReLU), "model is the class ReLU: pass an instance"),
    "weights": (lambda net: ep.compress(net.state_dict()), "load_state_dict"),
    "no model": (lambda _: ep.compress(), "missing a required argument: 'model'"),
    "no batch": (lambda net: ep.compress(net, (3, 16, 16)), "example_input=3x16x16: the batch"),
    "one number": (lambda net: ep.compress(net, 16), "example_input=16: expected a tensor"),
    "a dictionary": (lambda net: ep.trace(net, object()), "example_input="),
    "misspelt": (lambda net: ep.compress(net, exampel_input=1), "takes no exampel_input="),
    "settings": (lambda net: ep.compress(net, None, {"macs": 1}), "pass ep.CompressConfig(...)"),
    "budget first": (lambda net: ep.compress(net, None, 0.5), "such as macs=0.5"),
    "misspelt stage": (lambda net: ep.trace(net, kept="x"), "did you mean keep=?"),
    "half a plan": (lambda net: ep.prune(net, 3), "plan=3: expected a plan"),
    "networks": (lambda net: ep.benchmark(net, net), "pass the paths of two .onnx files"),
    "one file": (lambda _: ep.benchmark("a.onnx"), "missing a required argument: 'compressed'"),
    "bench word": (lambda _: ep.benchmark("a", "b", second=1), "did you mean seconds=?"),
    "bench settings": (lambda _: ep.benchmark("a", "b", 3), "settings=3: expected"),
    "no file": (lambda _: ep.benchmark("a.onnx", "b.onnx"), "a.onnx"),
    "no run": (lambda _: ep.load("nowhere"), "nowhere"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_natural_mistakes_are_explained(mistake: str, network: nn.Module) -> None:
    call, said = MISTAKES[mistake]
    with pytest.raises(EdgepruneError) as caught:
        call(network)
    assert said in str(caught.value)
    assert "--" not in str(caught.value)


def test_the_kind_of_error_stays(network: nn.Module) -> None:
    with pytest.raises(BudgetUnreachable) as caught:
        ep.compress(network, zoo.INPUT_SHAPE, macs=0.001, **QUICK)
    assert "macs=0.1% is out of reach" in str(caught.value)


@pytest.mark.parametrize(
    ("said", "better"),
    [
        ("pass --input 1x3xHxW with", "pass example_input=1x3xHxW with"),
        ("--macs 50%: expected", "macs=50%: expected"),
        ("a smaller --unit, or", "a smaller allocation=ep.Allocation(unit=…), or"),
        ("use --trust if", "use --trust if"),
        ("pass --fail-if", "pass fail_if="),
    ],
)
def test_flags_become_keywords(said: str, better: str) -> None:
    assert in_python(said) == better


def test_types_are_shipped() -> None:
    assert (Path(ep.__file__).parent / "py.typed").is_file()
