"""How often a latency gate lies: false alarms on equal models, misses of a slowdown of 5 %.

    python benchmarks/bench/gate_trust.py --runs 200 --seconds 60

Two chains of equal convolutions, of 20 and of 21: the second is slower by 5 % by construction. Each
run compares the first with a copy of itself and with the second, beside processes that burn CPU in
bursts, in two ways:

    edgeprune     bench.compare, gate `latency.ratio.low > 1.03`
    two means     the mean of 200 inferences of one model, then of the other; gates at 3 and 5 %

Every run is appended to --out as a line of JSON as soon as it is done, and a repeated command goes
on from there. Rates come with their 95 % Wilson interval (E. B. Wilson, "Probable Inference, the
Law of Succession, and Statistical Inference", JASA 22, 1927).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgeprune import bench
from edgeprune.artifacts import no_progress
from edgeprune.costs import count_onnx

if TYPE_CHECKING:
    from collections.abc import Iterator

LAYERS = {"equal": 20, "slower": 21}
CHANNELS, SIZE = 32, 32
LIMIT = 1.03
USUAL_RUNS = 200

BURNER = """
import random, sys, time
noise = random.Random(int(sys.argv[1]))
while True:
    end = time.perf_counter() + noise.expovariate(1 / 0.3)
    while time.perf_counter() < end:
        pass
    time.sleep(noise.expovariate(1 / 0.6))
"""

GATES = {
    f"edgeprune, low end above {LIMIT}": lambda run: run["low"] > LIMIT,
    f"two means, above {LIMIT}": lambda run: run["means"] > LIMIT,
    "two means, above 1.05": lambda run: run["means"] > 1.05,
}


def main() -> None:
    """Do what the file does not have yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=200, help="comparisons of each kind")
    parser.add_argument("--seconds", type=float, default=60.0, help="the most one may take")
    parser.add_argument("--burners", type=int, default=2, help="processes in the background")
    parser.add_argument("--out", type=Path, default=Path("gate_trust.jsonl"))
    options = parser.parse_args()
    settings = {"seconds": options.seconds, "burners": options.burners}
    with tempfile.TemporaryDirectory() as folder:
        models = built(Path(folder))
        for number in range(options.runs):
            for kind in LAYERS:
                if len(matching(options.out, settings, kind)) <= number:
                    with burning(options.burners, seed=number):
                        run = {"kind": kind, **settings, **compared(models, kind, options.seconds)}
                    with options.out.open("a", encoding="utf-8") as file:
                        file.write(json.dumps(run) + "\n")
                    print(json.dumps(run), file=sys.stderr, flush=True)
    print(table({kind: matching(options.out, settings, kind) for kind in LAYERS}))


def built(folder: Path) -> dict[str, Path]:
    """The chains' files, after counting that the longer one does 5 % more."""
    models = {kind: chain(folder / f"{kind}.onnx", layers) for kind, layers in LAYERS.items()}
    work = {kind: count_onnx(path).macs for kind, path in models.items()}
    if work["slower"] * 20 != work["equal"] * 21:
        raise SystemExit(f"the chains are not 5 % apart: {work}")
    return models


def chain(path: Path, layers: int) -> Path:
    """Write a chain of equal convolutions with weights that keep the signal's size."""
    noise = np.random.default_rng(0)
    scale = 1 / math.sqrt(9 * CHANNELS)
    weights = [
        (noise.standard_normal((CHANNELS, CHANNELS, 3, 3)) * scale).astype("f4")
        for _ in range(layers)
    ]
    nodes = [
        helper.make_node("Conv", [f"x{n}", f"w{n}"], [f"x{n + 1}"], pads=[1, 1, 1, 1])
        for n in range(layers)
    ]
    shape = [1, CHANNELS, SIZE, SIZE]
    graph = helper.make_graph(
        nodes,
        "chain",
        [helper.make_tensor_value_info("x0", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(f"x{layers}", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(weight, f"w{n}") for n, weight in enumerate(weights)],
    )
    opset = helper.make_opsetid("", 18)
    onnx.save(helper.make_model(graph, opset_imports=[opset], ir_version=9), path)
    return path


@contextlib.contextmanager
def burning(processes: int, seed: int) -> Iterator[None]:
    """Run processes that burn CPU a third of the time, in bursts, while the block lasts."""
    burners = [
        subprocess.Popen([sys.executable, "-c", BURNER, str(1000 * seed + n)])
        for n in range(processes)
    ]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def compared(models: dict[str, Path], kind: str, seconds: float) -> dict[str, Any]:
    """One comparison in both ways."""
    settings = bench.BenchSettings(seconds=seconds)
    start = time.perf_counter()
    found = bench.compare(models["equal"], models[kind], settings)
    wall_s = time.perf_counter() - start
    blocks = (*found.original.blocks_s, *found.compressed.blocks_s)
    timed_s = sum(map(sum, blocks))
    before, after = (usual_mean(models[name], settings) for name in ("equal", kind))
    return {
        "value": found.latency.value,
        "low": found.latency.low,
        "high": found.latency.high,
        "sessions": len(found.original.sessions),
        "wall_s": wall_s,
        "timed_s": timed_s,
        "means": after / before,
    }


def usual_mean(model: Path, settings: bench.BenchSettings) -> float:
    """The mean of many inferences in one process, after warming up; in seconds."""
    with bench.start_worker(model, settings, no_progress) as worker:
        return statistics.fmean(worker.run(USUAL_RUNS))


def matching(out: Path, settings: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    """The runs in the file that were made with these settings."""
    lines = out.read_text(encoding="utf-8").splitlines() if out.is_file() else []
    runs = [json.loads(line) for line in lines]
    wanted = {"kind": kind, **settings}
    return [run for run in runs if wanted.items() <= run.items()]


def table(runs: dict[str, list[dict[str, Any]]]) -> str:
    """Rates of lies by gate, and what a comparison takes, in Markdown."""
    lines = ["| gate | false alarms on equal models | a slowdown of 5 % caught |", "|---|---|---|"]
    for name, fires in GATES.items():
        cells = [rate(sum(map(fires, found)), len(found)) for found in runs.values()]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    every = [run for found in runs.values() for run in found]
    widths = statistics.median((run["high"] - run["low"]) / 2 / run["value"] for run in every)
    shares = statistics.median(run["wall_s"] / run["timed_s"] for run in every)
    sessions = statistics.median(run["sessions"] for run in every)
    walls = statistics.median(run["wall_s"] for run in every)
    covered = sum(run["low"] <= 1 <= run["high"] for run in runs["equal"])
    lines += [
        "",
        f"The interval of equal models holds 1 in {rate(covered, len(runs['equal']))} of the runs.",
        f"Medians of {len(every)} comparisons: half-width {widths:.2%}, {sessions:g} sessions,",
        f"{walls:.0f} s, {shares:.1f} times what the timed inferences took.",
    ]
    return "\n".join(lines)


def rate(hits: int, trials: int, z: float = 1.96) -> str:
    """A share of trials with its Wilson interval."""
    share = hits / trials
    centre = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = (
        z
        / (1 + z * z / trials)
        * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    )
    low, high = max(0.0, centre - reach), min(1.0, centre + reach)
    return f"{hits}/{trials} = {share:.1%} ({low:.1%}–{high:.1%})"


if __name__ == "__main__":
    main()
