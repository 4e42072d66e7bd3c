"""Whether figures from other devices can be believed: arm64 under emulation, a machine over ssh.

    edgeprune doctor --setup qemu-arm64
    python benchmarks/bench/devices.py mobilenet_v2.onnx resnet18.onnx --repeats 5 --json out.json

counts instructions on qemu-arm64 in several processes and shows how well they repeat. Nothing is
timed: the figures are the same on any machine with the same versions of qemu and ONNX Runtime.

    python benchmarks/bench/devices.py resnet18.onnx resnet18_50.onnx --ssh --json out.json

measures over ssh what it measures here, against an sshd of its own on loopback. A model's latency
over ssh is compared with that here in sessions of both, and the ratio should be 1; that of
NAME_50.onnx to NAME.onnx should be the same over ssh as here. Behind another sshd is nothing but
the Python of the arm64 root, as on a board, and what it computes should be what this machine does.

Prints tables. --json keeps every sample, and a repeated command goes on from there; what failed is
tried again. The sshd is that of the tests: it needs pytest, openssh-server and openssh-client.
"""

from __future__ import annotations

import argparse
import contextlib
import importlib
import shlex
import statistics
import sys
import tempfile
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from runtimes import SUFFIX, Row, earlier, interval, matching, median_s, work

from edgeprune import bench, parity
from edgeprune.artifacts import no_progress
from edgeprune.bench import instructions, pairing, sessions
from edgeprune.bench.devices import LocalDevice, QemuArm64Device, SshDevice, arm64_root

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from runtimes import Job

    from edgeprune.bench import Device, Worker

TESTS = Path(__file__).parents[2] / "tests" / "bench"
"""Where ``private_sshd.py`` is."""
EMULATED_LIMIT_S = 3600.0
COUNTS = (
    "model",
    "million instructions",
    "processes",
    "they lie apart",
    "inferences apart",
    "outputs apart",
)
BESIDE = ("model", "here, ms", "over ssh, ms", "over ssh / here", "outputs apart", "on arm64")
RATIOS = ("network", "50 % / original here", "over ssh")


def main() -> None:
    """Do what --json does not have yet, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path, metavar="MODEL.onnx")
    parser.add_argument("--repeats", type=int, default=5, help="processes for each model")
    parser.add_argument("--ssh", action="store_true", help="measure over ssh, count nothing")
    parser.add_argument("--seconds", type=float, default=30.0, help="of a measurement over ssh")
    parser.add_argument("--json", type=Path, default=Path("devices.json"), metavar="FILE")
    options = parser.parse_args()
    rows = earlier(options.json)
    if options.ssh:
        work(jobs_over_ssh(options.models, options.seconds), options.json, rows)
        timed = [row for row in rows if row.get("seconds") in (None, options.seconds)]
        print(table(BESIDE, [beside_line(model, timed) for model in options.models]))
        if pairs := halved(options.models):
            print(f"\n{table(RATIOS, [ratio_line(model, timed) for model in pairs])}")
    else:
        work(jobs_counting(options.models, options.repeats), options.json, rows)
        print(table(COUNTS, [count_line(model, rows) for model in options.models]))


def jobs_counting(models: Sequence[Path], repeats: int) -> list[Job]:
    """Every model in each of so many processes."""
    return [
        ({"what": "counts", "model": model.name, "process": number}, partial(counted, model))
        for model in models
        for number in range(repeats)
    ]


def jobs_over_ssh(models: Sequence[Path], seconds: float) -> list[Job]:
    """Each model here and over ssh at once, each pair here and then over ssh, outputs on arm64."""
    timed = [("beside", model, partial(side_by_side, model, seconds)) for model in models]
    for model in halved(models):
        timed.append(("here", model, partial(ratio, model, LocalDevice(), seconds)))
        timed.append(("over ssh", model, partial(ratio_over_ssh, model, seconds)))
    return [
        *(
            ({"what": what, "model": model.name, "seconds": seconds}, measure)
            for what, model, measure in timed
        ),
        *(
            ({"what": "arm64", "model": model.name}, partial(outputs_on_arm64, model))
            for model in models
        ),
    ]


def halved(models: Sequence[Path]) -> list[Path]:
    """Those that are there compressed, too."""
    return [model for model in models if compressed(model) in models]


def compressed(model: Path) -> Path:
    """The file with half of the model's multiply-accumulates."""
    return model.with_stem(model.stem + SUFFIX)


def counted(model: Path) -> Row:
    """Counts of one process."""
    settings = bench.BenchSettings(device=QemuArm64Device())
    return asdict(instructions.measure(model, settings).measurement)


def side_by_side(model: Path, seconds: float) -> Row:
    """One model here and over ssh, as ``bench.compare`` measures two models on one device."""
    with board(sys.executable) as there:
        settings = [bench.BenchSettings(device=each) for each in (LocalDevice(), there)]

        def start(number: int, cores: list[int] | None) -> Worker:
            return bench.start_worker(model, settings[number], no_progress, cores=cores)

        series = sessions.gather(
            partial(pairing.run_session, start, len(settings)),
            seconds=seconds,
            within=settings[0].within,
            progress=no_progress,
        )
        differ = apart(model, there)
    here, over_ssh = ([asdict(one) for one in side] for side in sides(series))
    return {"here": here, "over ssh": over_ssh, **asdict(series.ratio), "max_rel_diff": differ}


def sides(series: sessions.Series) -> Iterator[tuple]:
    """The sessions' first sides, and their second."""
    return zip(*(session.sides for session in series.sessions), strict=True)


def ratio(model: Path, device: Device, seconds: float) -> Row:
    """The model and its compressed namesake on a device, as ``edgeprune bench`` compares them."""
    settings = bench.BenchSettings(device=device, seconds=seconds)
    return asdict(bench.compare(model, compressed(model), settings))


def ratio_over_ssh(model: Path, seconds: float) -> Row:
    """The model and its compressed namesake over ssh, on loopback."""
    with board(sys.executable) as there:
        return ratio(model, there, seconds)


def outputs_on_arm64(model: Path) -> Row:
    """Difference of outputs on arm64 over ssh from those on this machine."""
    with board(*arm64_root.find().command()) as there:
        return {"max_rel_diff": apart(model, there)}


def apart(model: Path, device: Device) -> float:
    """The largest difference of outputs on a device from those here, relative to the largest."""
    here = bench.outputs(model)
    there = bench.outputs(model, bench.BenchSettings(device=device))
    pairs = zip(here, there, strict=True)
    return max(parity.compare(one, other).max_rel_diff for one, other in pairs)


@contextlib.contextmanager
def board(*python: str) -> Iterator[SshDevice]:
    """A machine behind ssh, on loopback, while the block lasts.

    Args:
        python: The command that is ``python3`` there.
    """
    if str(TESTS) not in sys.path:
        sys.path.append(str(TESTS))
    private_sshd = importlib.import_module("private_sshd")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = f'PATH={shlex.quote(name)}:"$PATH"'
        script(folder / "python3", f'exec {shlex.join(python)} "$@"')
        script(folder / "shell", f'{path} exec /bin/sh -c "$SSH_ORIGINAL_COMMAND"')
        (folder / "sshd").mkdir()
        with private_sshd.running(folder / "sshd", str(folder / "shell")) as server:
            config = str(server.config)
            yield SshDevice("board", folder=name, config=config, limit_s=EMULATED_LIMIT_S)


def script(path: Path, line: str) -> None:
    """Write a shell script of one line."""
    path.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
    path.chmod(0o755)


def table(header: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    rules = ["---"] * len(header)
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (header, rules, *lines))


def count_line(model: Path, rows: list[Row]) -> list[str]:
    """Ranges of the counts over processes and over inferences."""
    found = matching(rows, {"what": "counts", "model": model.name})
    if problems := [row["why_not"] for row in found if "why_not" in row]:
        return [model.name, problems[0]]
    medians = [statistics.median(row["samples"]) for row in found]
    samples = [sample for row in found for sample in row["samples"]]
    centre = statistics.median(medians)
    spreads = [(max(counts) - min(counts)) / centre for counts in (medians, samples)]
    differ = max(row["host_max_rel_diff"] for row in found)
    return [
        model.name,
        f"{centre / 1e6:.2f}",
        str(len(found)),
        *(f"{100 * spread:.4f} %" for spread in spreads),
        f"{differ:.1e}",
    ]


def beside_line(model: Path, rows: list[Row]) -> list[str]:
    """One model here and over ssh, and what arm64 computes."""
    (found,) = matching(rows, {"what": "beside", "model": model.name})
    (arm64,) = matching(rows, {"what": "arm64", "model": model.name})
    outputs = arm64.get("why_not") or f"{arm64['max_rel_diff']:.0e}"
    if "why_not" in found:
        return [model.name, "", "", found["why_not"], "", outputs]
    medians = (f"{1000 * median_s(found[place]):.1f}" for place in ("here", "over ssh"))
    return [model.name, *medians, interval(found), f"{found['max_rel_diff']:.0e}", outputs]


def ratio_line(model: Path, rows: list[Row]) -> list[str]:
    """The ratio that compression gives here and over ssh."""
    places = ("here", "over ssh")
    found = [matching(rows, {"what": place, "model": model.name})[0] for place in places]
    return [model.stem, *(row.get("why_not") or interval(row["latency"]) for row in found)]


if __name__ == "__main__":
    main()
