"""Many runs at once, many checks in a row, one large checkpoint: time, memory, nothing mixed up.

Runs share a working directory and a name, so they also compete for the names of their folders. Each
must leave the very bytes that a run alone leaves.

    python benchmarks/trust/load.py
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch
from torch import nn

from edgeprune import cli

FILES = ("plan.json", "compressed.safetensors", "compressed.onnx", "original.onnx")
QUICK = ("--opset", "17", "--no-bench", "--recover", "analytic", "--input", "1x3x16x16", "-q")


def main() -> None:
    """Measure all three, print them, and end with 1 if something is mixed up."""
    chosen = _options()
    with tempfile.TemporaryDirectory() as folder:
        runs = _many_runs(Path(folder), chosen.runs, chosen.at_once)
        checks = _many_checks(Path(folder) / "alone" / "runs" / "net", chosen.checks)
        large = _large_checkpoint(Path(folder) / "large.pt", chosen.mebibytes)
    found = {"runs": runs, "checks": checks, "large": large}
    chosen.out.write_text(json.dumps(found, indent=1), encoding="utf-8")
    print("| load | time | memory | wrong |\n|---|---|---|---|")
    wrong = f"{runs['other']} with other bytes, {runs['failed']} failed, {runs['left']} drafts left"
    print(
        f"| {chosen.runs} runs, {chosen.at_once} at a time | {runs['seconds']:.0f} s, of CPU "
        f"{runs['cpu_s']:.1f} s each | peak {runs['peak_mib']:.0f} MiB | {wrong} |"
    )
    print(
        f"| {chosen.checks} checks in one process | {checks['first_ms']:.1f} ms, at the end "
        f"{checks['last_ms']:.1f} ms | grown by {checks['grown_mib']:.1f} MiB | "
        f"{checks['failed']} failed |"
    )
    above = f"{large['times']:.2f} files above importing"
    print(
        f"| inspect of a checkpoint of {large['file_mib']:.0f} MiB | {large['seconds']:.0f} s, "
        f"of CPU {large['cpu_s']:.0f} s | peak {large['peak_mib']:.0f} MiB: {above} | "
        f"exit code {large['code']} |"
    )
    sys.exit(1 if runs["other"] or runs["failed"] or runs["left"] or large["code"] else 0)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=50, help="runs of compress")
    parser.add_argument("--at-once", type=int, default=8, help="of them at the same time")
    parser.add_argument("--checks", type=int, default=1000, help="checks of a report in a row")
    parser.add_argument("--mebibytes", type=int, default=1024, help="size of the checkpoint")
    parser.add_argument("--out", type=Path, default=Path("load.json"), help="results")
    return parser.parse_args()


def _many_runs(folder: Path, count: int, at_once: int) -> dict[str, Any]:
    """Run the same command alone, then many times at once; compare what they leave."""
    for name in ("alone", "together"):
        (folder / name).mkdir()
        torch.save(_network(), folder / name / "net.pt")
    command = ("compress", "net.pt", *QUICK)
    alone = _timed(command, folder / "alone")
    wanted = _digests(folder / "alone" / "runs" / "net")
    started = time.perf_counter()
    with ThreadPoolExecutor(at_once) as pool:
        ran = list(pool.map(lambda _: _timed(command, folder / "together"), range(count)))
    places = [each for each in (folder / "together" / "runs").iterdir() if each.name[0] != "."]
    return {
        "seconds": time.perf_counter() - started,
        "cpu_s": statistics.mean(each["cpu_s"] for each in ran),
        "peak_mib": max(each["peak_mib"] for each in (alone, *ran)),
        "failed": sum(each["code"] != 0 for each in (alone, *ran)) + count - len(places),
        "other": sum(_digests(each) != wanted for each in places),
        "left": len(list((folder / "together").rglob(".*"))),
    }


def _many_checks(run: Path, count: int) -> dict[str, Any]:
    """Check one report many times in this process."""
    codes, times, sizes = [], [], []
    for _ in range(count):
        started = time.perf_counter()
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            codes.append(cli.main(["check", str(run), "--fail-if", "ratio.macs > 2"]))
        times.append(1000 * (time.perf_counter() - started))
        sizes.append(_resident_mib())
    tenth = max(1, count // 10)
    return {
        "first_ms": statistics.median(times[:tenth]),
        "last_ms": statistics.median(times[-tenth:]),
        "grown_mib": sizes[-1] - sizes[tenth - 1],
        "failed": sum(code != 0 for code in codes),
    }


def _large_checkpoint(path: Path, mebibytes: int) -> dict[str, Any]:
    """Inspect a checkpoint of convolutions of one pixel: much weight, little arithmetic."""
    width = 2048 if mebibytes >= 64 else 256
    layers = max(2, round(mebibytes * 2**20 / (4 * width * width)))
    chain = [nn.Conv2d(3, width, 1, bias=False)]
    chain += [nn.Conv2d(width, width, 1, bias=False) for _ in range(layers)]
    torch.save(nn.Sequential(*chain), path)
    size = path.stat().st_size / 2**20
    importing = _timed(("inspect", "--help"), path.parent, "import edgeprune.pipeline.compress")
    found = _timed(("inspect", str(path), "--input", "1x3x2x2", "-q"), path.parent)
    times = (found["peak_mib"] - importing["peak_mib"]) / size
    return {**found, "file_mib": size, "importing_mib": importing["peak_mib"], "times": times}


def _network() -> nn.Module:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in ((3, 16), (16, 32), (32, 32)):
        layers += [nn.Conv2d(before, after, 3, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, 5)).eval()


def _timed(arguments: tuple[str, ...], folder: Path, first: str = "pass") -> dict[str, Any]:
    """A command in a process of its own: exit code, time, CPU time and peak memory."""
    program = f"import sys\n{first}\nfrom edgeprune.cli import main\nsys.exit(main())"
    known = {**os.environ, "OMP_NUM_THREADS": "1"}
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-c", program, *arguments],
        cwd=folder, env=known, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "code": process.returncode,
        "seconds": time.perf_counter() - started,
        "cpu_s": usage.ru_utime + usage.ru_stime,
        "peak_mib": usage.ru_maxrss / 1024,
    }


def _digests(run: Path) -> dict[str, str]:
    return {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in FILES}


def _resident_mib() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 2**20


if __name__ == "__main__":
    main()
