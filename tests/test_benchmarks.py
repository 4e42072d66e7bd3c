"""Every benchmark script runs on a toy input, in seconds; its figures mean nothing here."""

from __future__ import annotations

import json
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import digits
import numpy as np
import page_examples
import pytest
import torch
import zoo
from benchmark_scripts import SCRIPTS, script
from invocation import edgeprune
from PIL import Image

import edgeprune as ep
from edgeprune.report import files

if TYPE_CHECKING:
    from collections.abc import Callable

TOY = "resnet8"
"""Name of the toy network: one of those that scripts know."""

ZOO = f'''
from types import SimpleNamespace

import torch
from torch import nn

ROW = dict(input_shape=(3, 16, 16), colour="RGB", scale=1 / 255, mean=(127.5,), std=(63.75,))
TABLE = {{"{TOY}": SimpleNamespace(**ROW, dataset="toy", metric="top-1")}}


def load(name):
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    layers += [nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4)).eval()


def predictor(network):
    @torch.no_grad()
    def predict(inputs):
        return network(torch.from_numpy(inputs)).numpy()

    return predict
'''

METRICS = """
import numpy as np


def samples(name):
    draw = np.random.default_rng(0)
    inputs = draw.standard_normal((40, 3, 16, 16)).astype(np.float32)
    return inputs, draw.integers(0, 4, 40).tolist()


def top1(outputs, truth):
    return 100 * float((outputs.argmax(1) == np.array(truth)).mean())


def evaluate(predict, name, limit=None, batch_size=40):
    inputs, truth = (each[:limit] for each in samples(name))
    batches = [inputs[n : n + batch_size] for n in range(0, len(inputs), batch_size)]
    guesses = np.concatenate([predict(batch).argmax(1) for batch in batches])
    return 100 * float((guesses == np.array(truth)).mean())
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of trained networks, as ``--models`` takes it: one toy with random weights."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "zoo.py").write_text(ZOO, encoding="utf-8")
    (folder / "metrics.py").write_text(METRICS, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Labelled images for the toy: two in each of four classes."""
    folder, draw = tmp_path_factory.mktemp("images"), np.random.default_rng(0)
    for label in "abcd":
        (folder / label).mkdir()
        for number in range(2):
            pixels = draw.integers(0, 256, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / label / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with chain.onnx and, half as large, chain_50.onnx."""
    folder = tmp_path_factory.mktemp("pair")
    settings = {"recover": (), "bench": None, "target": ep.OnnxTarget(opset=17)}
    config = ep.CompressConfig(**settings)
    ep.compress(zoo.build("chain"), zoo.INPUT_SHAPE, config, directory=folder / "run")
    (folder / "run" / "original.onnx").rename(folder / "chain.onnx")
    (folder / "run" / "compressed.onnx").rename(folder / "chain_50.onnx")
    return folder


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """Run a script in an empty folder, with some of its globals replaced; what it printed."""
    monkeypatch.chdir(tmp_path)

    def run(name: str, *arguments: object, **replaced: object) -> str:
        with script(name, *arguments) as module:
            for key, value in replaced.items():
                monkeypatch.setattr(module, key, value)
            module.main()
        return capsys.readouterr().out

    return run


def rows(printed: str) -> list[list[str]]:
    """Cells of the Markdown tables in a text, headings and rules left out."""
    lines = [line for line in printed.splitlines() if line.startswith("|")]
    tables = [line for line in lines if not set(line) <= set("|- :")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in tables[1:]]


def saved(name: str) -> Any:
    return json.loads(Path(name).read_text(encoding="utf-8"))


def test_lbyl(run):
    printed = run("lbyl.py", "--channels", 64, "--repeats", 1, "--out", Path("all.json"))
    (row,) = rows(printed)
    assert row[:2] == ["64", "32"]
    (result,) = saved("all.json")
    assert result["difference"] < 1e-6


def test_selection(run, models, images):
    choice = ("--macs", 0.7, "--importance", "l2", "--scope", "local", "--recover", "none")
    printed = run(
        "selection.py", "--models", models, "--networks", TOY, "--images", images, *choice
    )
    (row,) = rows(printed)
    assert row[:4] == [TOY, "70%", "l2", "local"]
    assert saved("selection.json")[0][0] == TOY


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of ONNX Runtime's own quantizers
def test_accuracy(run, models):
    printed = run("quantize/accuracy.py", "--models", models, "--networks", TOY, "--seeds", 2)
    assert f"| {TOY} |" in printed
    found = saved("accuracy.json")[TOY]
    assert list(found) == ["fp32", "data-free", "image-free", "images", "static", "dynamic", "nncf"]
    assert len(found["data-free"]["draws"]) == 2
    assert all(found[row]["error"] >= 0 for row in ("images", "static", "dynamic"))


def test_weights(run, models):
    printed = run("quantize/weights.py", "--models", models, "--networks", TOY, "--count", 16)
    (row,) = rows(printed)
    found = saved("weights.json")[TOY]
    assert found["int4"]["size"] < found["fp16"]["size"] < 1
    assert found["int4"]["relative_error"] <= found["int4 n"]["relative_error"]
    assert row[0] == TOY


def test_widths(run):
    printed = run("quantize/widths.py", "--seconds", 0.001, "--widths", 4, 8)
    assert [each[0] for each in rows(printed)] == ["4", "8"]


def test_page(run, models):
    printed = run("quantize/weights.py", "--models", models, "--networks", TOY, "--count", 16)
    run("quantize/widths.py", "--seconds", 0.001, "--widths", 4, 8)
    (row,) = rows(printed)
    page = Path("page.md")
    empty = "<!-- widths -->\n<!-- end -->\nAfter.\n"
    page.write_text(f"Before.\n<!-- weights -->\nold\n<!-- end -->\n{empty}", encoding="utf-8")
    run("quantize/page.py", page, "--weights", "weights.json")
    text = page.read_text(encoding="utf-8")
    assert text.startswith("Before.\n<!-- weights -->\n| network |")
    assert text.endswith(f"|\n<!-- end -->\n{empty}")
    assert " | ".join(row) in text
    run("quantize/page.py", page, "--widths", "widths.json")
    assert page.read_text(encoding="utf-8").startswith(text.removesuffix(empty))
    assert [each[0] for each in rows(page.read_text(encoding="utf-8"))][-2:] == ["4", "8"]


def test_latency(run, models):
    printed = run("quantize/latency.py", "--models", models, "--networks", TOY, "--seconds", 0.2)
    (row,) = rows(printed)
    assert (row[0], len(row)) == (TOY, 5)
    found = saved("latency.json")[TOY]
    assert all(found[key]["low"] <= found[key]["value"] for key in ("all int8", "mixed"))


def test_pruned(run, models):
    options = ("--macs", 1, 0.7, "--recover", "analytic", "--seconds", 0.2)
    found = rows(run("quantize/pruned.py", "--models", models, "--networks", TOY, *options))
    assert [row[0] for row in found] == [TOY, TOY]
    whole, cut = saved("pruned.json").values()
    assert whole["macs"] == 1 > cut["macs"]
    assert cut["int8"]["size"] < cut["float"]["size"] < whole["float"]["size"]


def test_input_normalisation(run, models):
    (row,) = rows(run("input_normalisation.py", "--models", models, "--networks", TOY))
    assert (row[0], len(row)) == (TOY, 6)
    assert float(row[3]) <= float(row[5])


def test_image_kind(run, models):
    (row,) = rows(run("image_kind.py", "--models", models, "--networks", TOY))
    assert (row[0], len(row)) == (TOY, 4)
    found = saved("image_kind.json")[TOY]
    ratio = found["statistics_shift"] / found["noise_shift"]
    assert float(row[3]) == pytest.approx(ratio, abs=0.005)
    assert found["of_its_kind"] == (ratio < 0.75)


def test_outputs_kept(run, models):
    chosen = ("--models", models, "--networks", TOY, "--macs", 0.9, 0.5)
    found = rows(run("outputs_kept.py", *chosen))
    assert [row[:2] for row in found] == [[TOY, "90%"], [TOY, "50%"]]
    assert all(0 <= int(row[2].rstrip("%")) <= 100 for row in found)


def test_whole_line(run, models):
    short = ("--seconds", 0.1, "--budget-time", 1)
    (row,) = rows(run("whole_line.py", "--models", models, "--only", TOY, *short))
    assert (row[0], len(row)) == (TOY, 8)
    (result,) = saved("whole_line.json")
    assert len(result["metric"]) == 2


def test_milliseconds(run, models):
    chosen = ("--networks", TOY, "--shares", 0.7, "--seconds", 0.2)
    (row,) = rows(run("budgets/milliseconds.py", "--models", models, *chosen))
    assert (row[:2], len(row)) == ([TOY, "70%"], 8)
    (found,) = saved("milliseconds.json").values()
    assert set(found) == {"latency", "macs"}


def test_ladder(run, models):
    chosen = ("--cells", f"{TOY}:50", "--methods", "none", "analytic")
    found = rows(run("recovery/ladder.py", "--models", models, *chosen))
    assert [(row[0], row[2]) for row in found] == [(TOY, "none"), (TOY, "analytic")]
    assert all(float(row[4]) > 0 for row in found)


def test_table(run, models):
    chosen = ("--budgets", "inner-50", "--methods", "none", "analytic", "supervise")
    short = ("--seeds", 1, "--steps", 2, "--images", 80, "--threads", 1)
    printed = run(
        "recovery/table.py",
        "--models",
        models,
        "--data",
        models,
        "--networks",
        TOY,
        *chosen,
        *short,
    )
    assert "analytic" in printed
    assert [record["row"] for record in saved("recovery.json")] == [
        *("dense", "none", "analytic", "supervise")
    ]


def test_papers(run, models):
    chosen = ("--networks", TOY, "--criteria", "l2", "--ratios", 50, "--threads", 1)
    printed = run("recovery/papers.py", "--models", models, "--data", models, *chosen)
    (row,) = rows(printed)
    assert row[:3] == [TOY, "l2", "50 %"]
    assert saved("papers.json").keys() == {f"{TOY} l2 50"}


def test_inversion(run, models):
    steps = ("--ours", 2, "--generator", 2, "--theirs", 2, "--images", 8, "--threads", 1)
    chosen = ("--models", models, "--data", models, "--networks", TOY)
    printed = run("recovery/inversion.py", *chosen, *steps)
    assert [row[1] for row in rows(printed)] == [
        *("dead leaves", "inversion", "generator", "DeepInversion")
    ]
    assert len(saved("inversion.json")) == 4


def test_keypoints(run):
    printed = run("recovery/keypoints.py", "--images", 16, "--steps", 1, "--held-out", 16)
    assert "PCK" in printed
    assert torch.load("keypoints.pt", weights_only=True)


def test_speed(run):
    printed = run("recovery/speed.py", "--networks", "chain-64", "--threads", 1)
    (row,) = rows(printed)
    assert (row[0], row[2]) == ("chain-64", "analytic")


def test_models(run):
    toy = [(TOY, digits.network((8, 8, 8, 8)).eval(), (1, 1, 8, 8), None)]
    with script("bench/models.py", "--out", Path("made")) as module:
        module.NETWORKS, module.whole_line.networks = (TOY,), lambda *_: iter(toy)
        module.main()
    assert {path.name for path in Path("made").glob("*.onnx")} == {f"{TOY}.onnx", f"{TOY}_50.onnx"}
    assert len(saved("made/models.json")) == 6


def test_runtimes(run, pair):
    known = {"onnxruntime": ep.bench.RUNTIMES["onnxruntime"]}
    one = SimpleNamespace(**{**vars(ep.bench), "RUNTIMES": known})
    (row,) = rows(run("bench/runtimes.py", pair, "--seconds", 0.2, bench=one))
    assert row[1] == "chain"
    assert saved("runtimes.json")[0]["runtime"] == "onnxruntime"


def test_devices(run, pair, monkeypatch):
    monkeypatch.setenv("EDGEPRUNE_CACHE", str(Path.cwd()))
    printed = run("bench/devices.py", pair / "chain.onnx", "--repeats", 1)
    (row,) = rows(printed)
    assert row[0] == "chain.onnx"


def test_gate_trust(run):
    printed = run("bench/gate_trust.py", "--runs", 1, "--seconds", 0.2, "--burners", 0)
    assert "edgeprune" in printed
    assert len(Path("gate_trust.jsonl").read_text(encoding="utf-8").splitlines()) == 2


def test_interval_coverage(run):
    short = ("--trials", 20, "--confidence", 0.95)
    assert rows(run("bench/interval_coverage.py", *short, "--json", Path("coverage.json")))
    assert saved("coverage.json")


def test_one_network(run):
    printed = run("coverage/one_network.py", "block:spatial-gate").splitlines()
    found, alone = map(json.loads, printed)
    assert (found["groups"], found["proof"] <= 1e-12) == (4, True)
    assert 0.9 < found["prunable_macs_share"] < 1
    assert 0.25 < found["half_macs"] < 0.3
    assert list(found["reasons"].values()) == [pytest.approx(0.0098, abs=0.01)]
    assert alone["torch_pruning"]
    assert not found["attention"]


def test_network_coverage(run):
    chosen = ("--networks", "block:grouped", "block:no-such-block")
    printed = run("coverage/network_coverage.py", *chosen, "--page", Path("networks.md"))
    known, unknown = rows(printed)
    assert known[:3] == ["block:grouped", "4", "100.0%"]
    assert "KeyError" in unknown[-1]
    assert "2 networks: 1 proved and exported, 1 of them" in printed
    assert [each["network"] for each in saved("network_coverage.json")] == list(chosen[1:])
    page = Path("networks.md").read_text(encoding="utf-8")
    assert "Without products of maps: 1, with 90 % of the MACs 1 (100.0%)" in page
    assert "Refused or failed: 1 crashed" in page
    assert "Measured until then: 2 of the" in page


def test_network_coverage_goes_on(run):
    measured = {"network": "block:grouped", "failed": "as measured before"}
    Path("known.json").write_text(json.dumps([measured]), encoding="utf-8")
    with script(
        "coverage/network_coverage.py", "--kinds", "block", "--out", "known.json"
    ) as module:
        module.networks.names = lambda kinds: ["block:grouped"]
        module.main()
    assert saved("known.json") == [measured]


def test_random_networks(run):
    with pytest.raises(SystemExit) as ended:
        run("coverage/random_networks.py", "--seeds", 3, "--page", Path("random.md"))
    assert ended.value.code == 0
    assert "1 pruned, proved and exported" in Path("random.md").read_text(encoding="utf-8")
    (found,) = saved("random_networks.json")
    assert found["seed"] == 3
    assert found["proof"] <= 1e-12
    assert found["parity"] <= 1e-4


def test_random_networks_fail_by_their_seed(run, monkeypatch):
    with script("coverage/random_networks.py", "--count", 1) as module:
        monkeypatch.setattr(module.ep, "survey", lambda source: 1 / 0)
        with pytest.raises(SystemExit) as ended:
            module.main()
    assert ended.value.code == 1
    assert "ZeroDivisionError at" in saved("random_networks.json")[0]["failed"]


def test_yolo(run):
    pytest.importorskip("ultralytics")
    flags = "--flags=--recover none --no-bench"
    run("coverage/yolo.py", "--networks", "yolov8n", "--side", 64, flags, "--page", Path("y.md"))
    (found,) = saved("yolo.json")
    assert "failed" not in found
    assert found["averaged"]
    assert "| yolov8n | 64 |" in Path("y.md").read_text(encoding="utf-8")


def test_same_results(run, monkeypatch):
    monkeypatch.setenv("EDGEPRUNE_AT", "")
    with script("same_results.py") as module:
        module.SUBJECTS = {"zoo:no-norm": ("nm",)}
        found = module.fingerprints("zoo:no-norm")
    assert "nm 0.5 plan.json" in found


def test_depth(run):
    printed = run(
        "trust/depth.py", "--kinds", "chain", "nested", "--depths", 4, 8, "--until", "save"
    )
    assert "growth of nested" in printed
    assert "Error" not in printed


def test_seeds(run):
    assert "files" in run("trust/seeds.py", Path("corpus"))
    assert Path("corpus/networks/whole.pt").is_file()


def test_mutations(run):
    with pytest.raises(SystemExit) as ended:
        run("trust/mutations.py", "--count", 6, "--only", "plan", "recipe")
    assert ended.value.code == 0
    assert saved("mutations.json").keys() == {"plan", "recipe"}


def test_corpus(run):
    with pytest.raises(SystemExit) as ended:
        run("trust/corpus.py", "--only", "pickles", "--every", 150)
    assert ended.value.code == 0
    assert {seen["code"] for seen in saved("corpus.json")["pickles"]} == {4}


def test_load(run, monkeypatch):
    here = Path.cwd()

    def timed(arguments, folder, *_):
        monkeypatch.chdir(folder)
        code = edgeprune(*arguments).code
        monkeypatch.chdir(here)
        return {"code": code, "seconds": 1.0, "cpu_s": 1.0, "peak_mib": 1.0}

    small = ("--runs", 2, "--at-once", 1, "--checks", 20, "--mebibytes", 1)
    with pytest.raises(SystemExit) as ended:
        run("trust/load.py", *small, _timed=timed)
    assert ended.value.code == 0
    assert saved("load.json")["runs"]["other"] == 0


def test_faults(run):
    printed = run("trust/faults.py", "--kinds", "rename: full")
    (row,) = rows(printed)
    assert row[0] == "rename: full"
    assert row[-3:] == ["0", "", "0 broken"]
    assert len(saved("faults.json")) >= 10


def test_start_up(run, monkeypatch):
    here = nullcontext(Path(__file__).parents[1])
    chosen = ("--against", "this", "--pairs", 2, "--only", "import edgeprune.cli")
    (found,) = rows(run("start_up.py", *chosen, checkout=lambda commit: here))
    assert found[0] == "`import edgeprune.cli`"
    assert float(found[1]) > 0


def test_picture(run):
    files.save(page_examples.compressed(), Path("report.json"))
    run("picture.py", Path("report.json"), "--out", Path("picture.svg"))
    drawn = Path("picture.svg").read_text(encoding="utf-8")
    assert "79.6 %" in drawn
    assert "61 %  (60–62)" in drawn


def test_every_script_is_run_here():
    tests = {name.removeprefix("test_") for name in globals() if name.startswith("test_")}
    missing = {name for name in SCRIPTS if Path(name).stem not in tests}
    assert not missing, f"no test runs {', '.join(sorted(missing))} on a toy input"
