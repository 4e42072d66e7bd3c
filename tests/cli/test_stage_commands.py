"""apply, recover, export, inspect: one stage each, on what another command left."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
import pytest
import torch
import yaml
import zoo
from invocation import CHAIN_SHAPE, Ran, edgeprune
from torch import nn

import edgeprune as ep
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from digits import Digits

REPORTS = {"report.json", "report.md", "report.html"}
NO_EXPORT = {"recipe.yaml", "plan.json", "compressed.safetensors", *REPORTS}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def apply(plan: Path, model: Path, *flags: object) -> Ran:
    quick = ("--opset", "17", "--no-bench", "--input", CHAIN_SHAPE)
    return edgeprune("apply", plan, model, *quick, "-o", "applied", *flags)


def outputs(module: nn.Module, shape: tuple[int, ...] = zoo.INPUT_SHAPE) -> torch.Tensor:
    with torch.no_grad():
        found: torch.Tensor = module(torch.ones(shape))
    return found


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(s, t) for (a, s), (b, t) in pairs)


def test_prune_leaves_a_run_without_onnx(pruned_chain: Path) -> None:
    assert {path.name for path in pruned_chain.iterdir()} == NO_EXPORT
    report = decode(pruned_chain)
    assert report.surgery is not None
    assert report.surgery.max_rel_diff is not None
    assert report.surgery.max_rel_diff <= report.surgery.tolerance
    assert {s.name for s in report.stages if s.status == "skipped"} == {
        "recover",
        "export",
        "bench",
        "alternatives",
    }


def test_apply_replays_a_plan_to_the_same_weights(chain: Path, pruned_chain: Path) -> None:
    ran = apply(pruned_chain / "plan.json", chain)
    assert ran.code == 0
    assert "warning" not in ran.err
    assert same_weights(ep.load("applied"), ep.load(pruned_chain))
    plans = [Path(run, "plan.json").read_text() for run in ("applied", pruned_chain)]
    assert plans[0] == plans[1]
    assert decode(Path("applied")).recovery == ()


def test_apply_on_other_weights_wants_a_word(
    pruned_chain: Path, here: Path, monkeypatch: Any
) -> None:
    monkeypatch.setattr("edgeprune.export.onnx.OnnxTarget.__call__", interrupted)
    torch.save(zoo.build("chain", seed=1), "other.pt")
    ran = apply(pruned_chain / "plan.json", Path("other.pt"))
    assert ran.code == 4
    assert "other weights" in ran.error
    assert "--other-weights" in ran.error
    ran = apply(pruned_chain / "plan.json", Path("other.pt"), "--other-weights")
    assert "warning: " in ran.err
    assert "other weights" in ran.err
    assert "export original" in ran.err  # so the plan was carried out
    assert ran.code == 130


def interrupted(*_: object, **__: object) -> None:
    raise KeyboardInterrupt


def test_apply_on_another_architecture_is_refused(pruned_chain: Path, here: Path) -> None:
    torch.save(nn.Sequential(zoo.conv_bn(3, 16), zoo.head(16)).eval(), "other.pt")
    ran = apply(pruned_chain / "plan.json", Path("other.pt"), "--other-weights")
    assert ran.code == 2
    assert "the plan" in ran.error
    assert not (here / "applied").exists()


@pytest.mark.parametrize("text", ["", "{}", '{"schema_version": 1, "surprise": 2}', "[1]"])
def test_apply_of_what_is_no_plan_is_refused(text: str, chain: Path, here: Path) -> None:
    (here / "plan.json").write_text(text)
    ran = apply(Path("plan.json"), chain)
    assert ran.code == 2
    assert "plan.json" in ran.error


def test_recover_repairs_what_prune_left(chain: Path, pruned_chain: Path) -> None:
    ran = edgeprune("recover", pruned_chain, "--recover", "nm", "-o", "recovered")
    assert ran.code == 0
    assert {path.name for path in Path("recovered").iterdir()} == NO_EXPORT
    report = decode(Path("recovered"))
    assert [step.method for step in report.recovery] == ["nm"]
    assert Path("recovered/plan.json").read_text() == (pruned_chain / "plan.json").read_text()
    recovered, pruned = ep.load("recovered"), ep.load(pruned_chain)
    assert [t.shape for t in recovered.parameters()] == [t.shape for t in pruned.parameters()]
    assert not same_weights(recovered, pruned)


def test_recover_with_none_changes_nothing(pruned_chain: Path) -> None:
    assert edgeprune("recover", pruned_chain, "--recover", "none", "-o", "same").code == 0
    assert same_weights(ep.load("same"), ep.load(pruned_chain))


def test_recover_refuses_when_the_original_changed(here: Path) -> None:
    torch.save(zoo.build("chain"), "net.pt")
    assert edgeprune("prune", "net.pt", "--input", CHAIN_SHAPE, "-o", "run").code == 0
    torch.save(zoo.build("chain", seed=1), "net.pt")
    ran = edgeprune("recover", "run", "-o", "again")
    assert ran.code == 4
    assert "other weights" in ran.error
    Path("net.pt").unlink()
    assert edgeprune("recover", "run", "-o", "again").code == 2
    assert not (here / "again").exists()


def test_recover_needs_a_run_that_knows_its_original(pruned_chain: Path, here: Path) -> None:
    shutil.copytree(pruned_chain, "run")
    Path("run/recipe.yaml").write_text(yaml.safe_dump({"macs": "50%"}))
    ran = edgeprune("recover", "run")
    assert ran.code == 2
    assert "recipe.yaml" in ran.error


def test_a_run_directory_exports_to_what_it_computes(pruned_chain: Path, here: Path) -> None:
    shutil.copytree(pruned_chain, "run")
    ran = edgeprune("export", "run", "--opset", "17")
    assert ran.code == 0
    assert ran.out == "run/compressed.onnx\n"
    session = onnxruntime.InferenceSession("run/compressed.onnx")
    (got,) = session.run(None, {"input": np.ones(zoo.INPUT_SHAPE, dtype=np.float32)})
    np.testing.assert_allclose(got, outputs(ep.load("run")).numpy(), rtol=1e-3, atol=1e-5)
    before = Path("run/compressed.onnx").read_bytes()
    refused = edgeprune("export", "run", "--opset", "17")
    assert refused.code == 2
    assert "--overwrite" in refused.error
    assert Path("run/compressed.onnx").read_bytes() == before


def test_any_model_exports_under_its_own_name(digits: Digits, here: Path) -> None:
    flags = ("--opset", "17", "--dynamic-batch", "--input", "1x1x8x8")
    ran = edgeprune("export", digits.whole, *flags, "-o", "made/here", "-q")
    assert (ran.code, ran.out) == (0, "made/here/digits.onnx\n")
    session = onnxruntime.InferenceSession("made/here/digits.onnx")
    (got,) = session.run(None, {"input": np.ones((5, 1, 8, 8), dtype=np.float32)})
    np.testing.assert_allclose(
        got, outputs(digits.module, (5, 1, 8, 8)).numpy(), rtol=1e-3, atol=1e-5
    )
    assert [path.name for path in (here / "made" / "here").iterdir()] == ["digits.onnx"]


def test_inspect_says_what_an_independent_count_says(digits: Digits) -> None:
    ran = edgeprune("inspect", digits.whole, "--input", "1x1x8x8", "--json", "-", "-q")
    assert (ran.code, ran.err) == (0, "")
    found = json.loads(ran.out)
    layers = dict(digits.module.named_modules())
    sides = [8, 8, 4, 4]  # the third convolution has stride 2
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    macs = {
        name: layers[name].weight.numel() * side**2
        for name, side in zip(convolutions, sides, strict=True)
    }
    linear = list(layers)[-1]
    macs[linear] = layers[linear].weight.numel()
    assert {layer["name"]: layer["macs"] for layer in found["layers"] if layer["macs"]} == macs
    assert found["macs"] == sum(macs.values())
    assert found["params"] == sum(p.numel() for p in digits.module.parameters())
    assert found["unused_params"] == 0
    groups = {group["name"]: group for group in found["groups"]}
    assert [groups[name]["width"] for name in convolutions] == [32, 32, 64, 64]
    assert all(groups[name]["locked_because"] is None for name in convolutions)
    assert groups[linear]["locked_because"]
    assert set(found["reachable"]) >= {"macs", "params"}
    assert all(0 < share < 1 for share in found["reachable"].values())


def test_inspect_shows_what_keep_locks(chain: Path) -> None:
    ran = edgeprune("inspect", chain, "--input", CHAIN_SHAPE, "--keep", "1.*")
    assert ran.code == 0
    assert "--keep" in " ".join(ran.out.split())
    found = json.loads(
        edgeprune("inspect", chain, "--input", CHAIN_SHAPE, "--keep", "1.*", "--json", "-").out
    )
    locked = {group["name"] for group in found["groups"] if group["locked_because"]}
    assert "1.0" in locked
    assert "0.0" not in locked


def test_inspect_measures_what_the_network_loses_with_each_group(chain: Path) -> None:
    asked = ("inspect", chain, "--input", CHAIN_SHAPE, "--sensitivity")
    assert "What the network misses" in edgeprune(*asked).out
    found = json.loads(edgeprune(*asked, "--json", "-", "-q").out)
    free = [group["name"] for group in found["groups"] if group["locked_because"] is None]
    curves = found["sensitivity"]["curves"]
    assert [curve["group"] for curve in curves] == free
    for curve in curves:
        assert len(curve["widths"]) == len(curve["errors"]) > 1
        assert curve["errors"][0] == 0 < curve["errors"][-1]


def test_the_nearest_budget_that_inspect_names_is_reachable(chain: Path, here: Path) -> None:
    found = json.loads(edgeprune("inspect", chain, "--input", CHAIN_SHAPE, "--json", "-").out)
    for kind, share in found["reachable"].items():
        ran = edgeprune("prune", chain, "--input", CHAIN_SHAPE, f"--{kind}", str(share), "-o", kind)
        assert ran.code == 0
        budget = decode(here / kind).budget
        assert budget is not None
        assert budget.reached == pytest.approx(share, abs=0.01)


def test_inspect_writes_nothing(chain: Path, here: Path) -> None:
    assert edgeprune("inspect", chain, "--input", CHAIN_SHAPE).code == 0
    assert list(here.iterdir()) == []


def test_this_machine_has_what_edgeprune_needs() -> None:
    ran = edgeprune("doctor", "--json", "-")
    assert ran.code == 0
    assert json.loads(ran.out)["ok"] is True
