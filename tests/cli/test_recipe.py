"""recipe.yaml: repeats a run, is beaten by the command line, and refuses what it does not know."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import pytest
import torch
import yaml
from invocation import CHAIN_SHAPE, QUICK, Ran, edgeprune

import edgeprune as ep
from edgeprune.cli import COMMANDS, cli
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from digits import Digits

GIVEN_ONCE = {
    *("output", "overwrite", "json_", "full", "dry_run", "recipe", "resume"),
    *("macs", "params", "ratio", "latency", "size"),
}
"""Parameters that say how to run and not what, and the budgets, of which one counts."""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def recipe(**settings: Any) -> Path:
    path = Path("settings.yaml")
    path.write_text(yaml.safe_dump({key.replace("_", "-"): v for key, v in settings.items()}))
    return path


def prune(*flags: object) -> Ran:
    return edgeprune("prune", *flags, "-o", "run")


RUNS = ("first", "second")


def state(run: Path) -> dict[str, torch.Tensor]:
    return dict(ep.load(run).state_dict())


def test_a_recipe_repeats_the_run(chain: Path, here: Path) -> None:
    settings = ("--macs", "60%", "--importance", "random", "--seed", "5", "--keep", "1.*")
    first = edgeprune("compress", chain, "--input", CHAIN_SHAPE, *QUICK, *settings, "-o", "first")
    assert first.code == 0
    second = edgeprune("compress", "--recipe", "first/recipe.yaml", "-o", "second")
    assert second.code == 0
    assert (here / "second/plan.json").read_bytes() == (here / "first/plan.json").read_bytes()
    recipes = [yaml.safe_load((here / run / "recipe.yaml").read_text()) for run in RUNS]
    assert recipes[0] == recipes[1]
    again, before = state(here / "second"), state(here / "first")
    assert again.keys() == before.keys()
    assert all(torch.equal(tensor, before[name]) for name, tensor in again.items())


def test_a_recipe_holds_every_effective_setting(digits: Digits, digits_run: Any) -> None:
    settings = yaml.safe_load((digits_run.directory / "recipe.yaml").read_text())
    command = cli.get_command(click.Context(cli), "compress")
    assert command is not None
    optional = {
        "arch",
        "forward",
        "entry",
        "opset",
        "synthesis",
    }  # no value stands for their default
    wanted = {p.name for p in command.params if p.expose_value} - GIVEN_ONCE - optional
    assert {key.replace("-", "_") for key in settings} - {"macs"} == {
        str(name).rstrip("_") for name in wanted
    }
    assert settings["model"] == str(digits.whole)
    assert settings["macs"] == "70%"
    assert settings["input"] == ["1x1x8x8"]
    assert settings["seed"] == 0
    assert settings["bench"] is False


def test_settings_of_a_recipe_count(chain: Path) -> None:
    ran = prune(
        "--recipe",
        recipe(model=str(chain), input=[CHAIN_SHAPE], ratio=0.25, seed=3, keep=["0.0"], unit=1),
    )
    assert ran.code == 0
    report = decode(Path("run"))
    assert report.budget is not None
    assert (report.budget.kind, report.budget.asked, report.seed) == ("ratio", 0.25, 3)
    plan = json.loads(Path("run/plan.json").read_text())
    assert "0.0" not in [group["group"] for group in plan["groups"]]


@pytest.mark.parametrize(
    ("flags", "kind", "asked"),
    [(("--macs", "80%"), "macs", 0.8), (("--params", "60%"), "params", 0.6)],
)
def test_the_command_line_beats_the_recipe(
    flags: tuple[str, ...], kind: str, asked: float, chain: Path
) -> None:
    settings = recipe(model="nowhere.pt", input=["1x3x8x8"], macs="50%", seed=3)
    ran = prune(chain, "--recipe", settings, "--input", CHAIN_SHAPE, "--seed", "4", *flags)
    assert ran.code == 0
    report = decode(Path("run"))
    assert report.model is not None
    assert report.model.input == ((1, 3, 16, 16),)
    assert report.budget is not None
    assert (report.budget.kind, report.budget.asked, report.seed) == (kind, asked, 4)
    written = yaml.safe_load(Path("run/recipe.yaml").read_text())
    assert [key for key in ("macs", "params", "ratio") if key in written] == [kind]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("mcas: 50%", "'mcas'"),
        ("macs: 50%\nparams: 50%", "choose one budget of --macs, --params"),
        ("seed: many", "many"),
        ("keep: 0.0", "keep"),
        ("- macs", "is not a recipe"),
        ("", "is not a recipe"),
        ("macs: [", "is not YAML"),
        ("bench: maybe", "maybe"),
        ("bench: 3", "bench"),
        ("seed: [[1]]", "'seed' to what no flag takes"),
        ("opset: {a: 1}", "'opset' to what no flag takes"),
        ("seed: [1, 2]", "'seed', which takes one value"),
        ("images: 1", "images"),
        ('images: "a\\0b"', "null"),
        ("images: true", "images"),
        ("macs: 2001-01-01", "'macs' to what no flag takes"),
        ("seed: 0x" + "f" * 9000, "is not YAML"),
    ],
)
def test_a_recipe_that_cannot_be_followed_ends_with_2(text: str, message: str, chain: Path) -> None:
    Path("settings.yaml").write_text(text)
    flags = ("--input", CHAIN_SHAPE, "--dry-run")
    ran = edgeprune("compress", chain, *flags, "--recipe", "settings.yaml")
    assert ran.code == 2
    assert message in ran.err
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("setting", ["model: [a]", "model: true", "mean: [1]", "input: 1x3x8x8"])
def test_a_run_whose_recipe_says_something_else_ends_with_2(
    setting: str, pruned_chain: Path, chain: Path
) -> None:
    shutil.copytree(pruned_chain, "edited")
    settings = {"model": str(chain), **yaml.safe_load(setting)}
    Path("edited/recipe.yaml").write_text(yaml.safe_dump(settings))
    ran = edgeprune("recover", "edited")
    assert ran.code == 2
    assert setting.partition(":")[0] in ran.error


def test_a_missing_recipe_is_named(chain: Path) -> None:
    ran = prune(chain, "--recipe", "nowhere.yaml")
    assert ran.code == 2
    assert "nowhere.yaml" in ran.error


def test_a_recipe_without_a_model_asks_for_one() -> None:
    ran = prune("--recipe", recipe(macs="50%"))
    assert ran.code == 2
    assert "MODEL" in ran.err


@pytest.mark.parametrize("command", ["compress", "prune"])
def test_commands_that_take_a_recipe_say_so(command: str) -> None:
    assert command in COMMANDS
    assert "--recipe" in edgeprune(command, "--help").out
