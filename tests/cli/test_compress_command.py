"""``edgeprune compress``: the files, the report, the streams, and nothing left half done."""

from __future__ import annotations

import hashlib
import json
import shutil
import statistics
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import onnx
import pytest
import torch
from invocation import CHAIN_SHAPE, QUICK, Ran, edgeprune

import edgeprune as ep
from edgeprune.cli.run_directory import new_run
from edgeprune.report.environment import version
from edgeprune.report.files import decode

if TYPE_CHECKING:
    from collections.abc import Iterator

FILES = {
    "recipe.yaml",
    "plan.json",
    "original.onnx",
    "compressed.onnx",
    "compressed.safetensors",
    "report.json",
    "report.md",
    "report.html",
}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder: Path) -> dict[str, bytes | None]:
    """All files below ``folder`` with their contents, and all folders."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


def prune(chain: Path, *flags: object) -> Ran:
    """The quickest command that writes a run directory."""
    return edgeprune("prune", chain, "--input", CHAIN_SHAPE, *flags)


def test_a_run_is_exactly_the_files_of_the_contract(whole_line: Any) -> None:
    assert {path.name for path in whole_line.directory.iterdir()} == FILES
    assert [path.name for path in whole_line.directory.parent.iterdir()] == ["run"]
    assert all(path.stat().st_size > 0 for path in whole_line.directory.iterdir())


def test_json_is_all_of_standard_output_and_quiet_says_nothing(whole_line: Any) -> None:
    assert whole_line.out == (whole_line.directory / "report.json").read_text()
    assert whole_line.err == ""


def test_the_report_has_every_block_filled(whole_line: Any, chain: Path) -> None:
    report = decode(whole_line.directory)
    content = json.loads(whole_line.out)
    assert list(content)[:5] == ["schema_version", "edgeprune", "created", "command", "seed"]
    assert content["model"]["name"] == "chain"
    assert content["model"]["input"] == [[1, 3, 16, 16]]
    assert str(chain) in report.command
    age = datetime.now(timezone.utc) - datetime.fromisoformat(report.created)
    assert timedelta() <= age + timedelta(seconds=1) < timedelta(hours=1)
    for block in ("budget", "original", "compressed", "ratio", "surgery", "parity", "coverage"):
        assert content[block] is not None, block
    assert content["accuracy"] is None
    assert content["agreement"] is None
    assert {stage["status"] for stage in content["stages"]} <= {"ok", "degraded"}
    for key in ("machine", "cpu", "cores", "threads", "os", "python", "packages", "runtime"):
        assert content["environment"][key] is not None, key


def test_surgery_and_parity_are_proved(whole_line: Any) -> None:
    report = decode(whole_line.directory)
    assert report.surgery is not None
    assert report.surgery.max_rel_diff is not None
    assert 0 <= report.surgery.max_rel_diff <= report.surgery.tolerance
    assert report.parity is not None
    assert report.parity.n >= 8
    assert report.parity.argmax_agreement == 1.0


def test_figures_are_those_of_the_files_and_the_networks(whole_line: Any, chain: Path) -> None:
    content = json.loads(whole_line.out)
    networks = {
        "original": torch.load(chain, weights_only=False),
        "compressed": ep.load(whole_line.directory),
    }
    for side, network in networks.items():
        file = (whole_line.directory / f"{side}.onnx").read_bytes()
        assert content[side]["onnx"]["bytes"] == len(file)
        assert content[side]["onnx"]["sha256"] == hashlib.sha256(file).hexdigest()
        assert content[side]["params"] == sum(p.numel() for p in network.parameters())
        latency = content[side]["latency_s"]
        assert latency["n"] == len(latency["samples"])
        assert latency["median"] == pytest.approx(statistics.median(latency["samples"]))
    for key in ("macs", "params"):
        quotient = content["compressed"][key] / content["original"][key]
        assert content["ratio"][key] == pytest.approx(quotient)
    assert content["budget"]["kind"] == "macs"
    assert content["budget"]["asked"] == 0.5
    assert content["budget"]["reached"] == pytest.approx(content["ratio"]["macs"])
    latency = content["ratio"]["latency"]
    assert 0 < latency["low"] <= latency["value"] <= latency["high"]


def test_a_run_that_people_watch_says_its_stages_and_where_it_wrote(digits_run: Any) -> None:
    log = digits_run.err
    stages = ["trace", "prune", "recover", "export original", "export compressed", "accuracy"]
    places = [log.index(stage) for stage in stages]
    assert places == sorted(places)
    assert log.endswith(f"wrote {digits_run.directory}\n")
    assert digits_run.out.startswith("accuracy")
    assert not digits_run.out.endswith("\n\n")


def test_no_bench_measures_nothing(digits_run: Any) -> None:
    report = decode(digits_run.directory)
    assert report.original.latency_s is None
    assert report.ratio is not None
    assert report.ratio.latency is None
    assert {s.name: s.status for s in report.stages}["bench"] == "skipped"


def test_runs_are_numbered_by_default(chain: Path, here: Path) -> None:
    for directory in ("runs/chain", "runs/chain-2", "runs/chain-3"):
        ran = prune(chain)
        assert ran.code == 0
        assert ran.err.endswith(f"wrote {directory}\n")
        assert (here / directory / "report.json").is_file()
    assert len(list((here / "runs").iterdir())) == 3


def test_a_dry_run_writes_nothing_and_plans_what_the_run_does(
    chain: Path, pruned_chain: Path, here: Path
) -> None:
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, "--dry-run", "--json", "-", "-q")
    assert ran.code == 0
    assert ran.err == ""
    planned = json.loads(ran.out)
    assert planned["groups"] == json.loads((pruned_chain / "plan.json").read_text())["groups"]
    assert planned["budget"]["asked"] == 0.5
    shown = edgeprune("compress", chain, "--input", CHAIN_SHAPE, "--dry-run")
    assert shown.code == 0
    assert all(group["group"] in shown.out for group in planned["groups"])
    assert everything(here) == {}


@pytest.mark.parametrize(("gate", "code"), [("macs.ratio > 10%", 3), ("macs.ratio > 90%", 0)])
def test_gates_are_judged_after_the_run_is_written(gate: str, code: int, chain: Path) -> None:
    ran = prune(chain, "--fail-if", gate, "--fail-if", "params < 1", "-o", "run")
    assert ran.code == code
    report = decode(Path("run"))
    assert [(g.expression, g.passed) for g in report.gates] == [
        (gate, code == 0),
        ("params < 1", True),
    ]
    if code:
        assert ran.error == f"error: 1 of 2 gates failed: {gate}\n"


@pytest.mark.parametrize("command", ["compress", "prune"])
def test_a_gate_on_accuracy_without_images_is_refused_before_any_work(
    command: str, chain: Path, here: Path
) -> None:
    ran = edgeprune(command, chain, "--input", CHAIN_SHAPE, "--fail-if", "accuracy.drop > 1%")
    assert ran.code == 2
    assert "--eval" in ran.error
    assert "trace" not in ran.err
    assert everything(here) == {}


def test_an_existing_directory_is_not_touched(chain: Path, here: Path) -> None:
    (here / "mine").mkdir()
    (here / "mine" / "thesis.txt").write_text("years of work")
    before = everything(here)
    for flags in ((), ("--overwrite",)):
        ran = prune(chain, "-o", "mine", *flags)
        assert ran.code == 2
        assert "'mine'" in ran.error
    assert everything(here) == before


def test_a_run_is_overwritten_only_when_asked_and_then_whole(
    chain: Path, pruned_chain: Path, here: Path
) -> None:
    shutil.copytree(pruned_chain, here / "run")
    (here / "run" / "old.txt").write_text("of the old run")
    before = everything(here)
    refused = prune(chain, "-o", "run")
    assert refused.code == 2
    assert "--overwrite" in refused.error
    assert everything(here) == before
    assert prune(chain, "-o", "run", "--overwrite", "--macs", "70%").code == 0
    assert not (here / "run" / "old.txt").exists()
    budget = decode(here / "run").budget
    assert budget is not None
    assert budget.asked == 0.7
    assert [path.name for path in here.iterdir()] == ["run"]


@pytest.mark.parametrize("accident", [(RuntimeError("out of luck"), 1), (KeyboardInterrupt(), 130)])
@pytest.mark.parametrize("output", [(), ("-o", "deep/er/run"), ("-o", "old", "--overwrite")])
def test_a_run_that_ends_early_leaves_all_as_it_was(
    accident: tuple[BaseException, int],
    output: tuple[str, ...],
    chain: Path,
    pruned_chain: Path,
    here: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    failure, code = accident

    def fail(*_: object, **__: object) -> None:
        raise failure

    shutil.copytree(pruned_chain, here / "old")
    before = everything(here)
    monkeypatch.setattr("edgeprune.export.onnx.write", fail)
    settings = (*QUICK, "--recover", "analytic")
    ran = edgeprune("compress", chain, "--input", CHAIN_SHAPE, *settings, *output)
    assert ran.code == code
    assert "export original" in ran.err
    assert everything(here) == before


def test_a_directory_that_somebody_takes_meanwhile_is_not_replaced(
    chain: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from edgeprune.report import formats

    write = formats.write

    def write_late(*arguments: Any) -> None:
        write(*arguments)
        (here / "run").mkdir()
        (here / "run" / "other.txt").write_text("of somebody else")

    monkeypatch.setattr(formats, "write", write_late)
    ran = prune(chain, "-o", "run")
    assert ran.code == 0
    assert ran.err.endswith("wrote run-2\n")
    assert [path.name for path in (here / "run").iterdir()] == ["other.txt"]
    assert decode(here / "run-2").model is not None


def test_the_old_run_comes_back_when_the_new_one_cannot_take_its_place(
    pruned_chain: Path, here: Path
) -> None:
    @contextmanager
    def vanishing() -> Iterator[None]:
        with new_run({"overwrite": True}, here / "run") as run:
            yield
            run.folder.rmdir()

    shutil.copytree(pruned_chain, here / "run")
    before = everything(here)
    with pytest.raises(FileNotFoundError), vanishing():
        pass
    assert everything(here) == before


@pytest.mark.parametrize("wrong", ["file/run", "file"])
def test_a_directory_that_cannot_be_made_is_a_usage_error(
    wrong: str, chain: Path, here: Path
) -> None:
    (here / "file").write_text("no folder")
    ran = prune(chain, "-o", wrong)
    assert ran.code == 2
    assert "file" in ran.error


def test_images_that_cannot_be_read_stop_the_run_before_it_starts(chain: Path, here: Path) -> None:
    (here / "images" / "class").mkdir(parents=True)
    ran = prune(chain, "--eval", "images")
    assert ran.code == 2
    assert "no images" in ran.error
    assert "trace" not in ran.err
    assert prune(chain, "--eval", "nowhere").code == 2


def test_every_file_of_a_run_says_or_is_said_what_it_is_and_who_wrote_it(
    whole_line: Any,
) -> None:
    folder: Path = whole_line.directory
    report = json.loads((folder / "report.json").read_text())
    assert report["edgeprune"] == version()
    for side in ("original", "compressed"):
        file = folder / f"{side}.onnx"
        assert hashlib.sha256(file.read_bytes()).hexdigest() == report[side]["onnx"]["sha256"]
        model = onnx.load(file)
        assert (model.producer_name, model.producer_version) == ("edgeprune", version())
        said = {each.key: each.value for each in model.metadata_props}
        assert said["source_sha256"] == report["model"]["sha256"]
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["model_sha256"] == report["model"]["sha256"]
    assert plan["versions"]
    assert f"edgeprune {version()}" in (folder / "recipe.yaml").read_text()
