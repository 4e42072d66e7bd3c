"""Does a refactoring leave every result as it was, bit by bit?

    python benchmarks/same_results.py --against COMMIT            # results, subject by subject
    python benchmarks/same_results.py --against COMMIT --pairs 5  # and the example's time, in turns

Compresses the example, the digits network of the tests and every network of ``tests/zoo.py`` with
fixed seeds, by this working tree and by COMMIT (checked out beside it), and compares the bytes of
``plan.json``, every weight and every ONNX initializer. Exit status 1 if any differs.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parents[1]
ALL_METHODS = ("none", "nm", "lbyl", "statistics", "analytic", "reconstruct", "auto", "supervise")
QUICK = ("lbyl", "reconstruct")
SUBJECTS = {
    "example": ("reconstruct", "auto", "distill"),
    "digits": (*ALL_METHODS, "distill", "generated"),
    "zoo:chain": ALL_METHODS,
    "zoo:residual": ALL_METHODS,
    "zoo:inverted-residual": ALL_METHODS,
    "zoo:no-norm": ("nm", "lbyl", "analytic", "auto"),
}
"""Recovery methods by subject; every other network of the zoo gets ``QUICK``."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--against", metavar="COMMIT")
    parser.add_argument("--only", nargs="*", help="subjects, or the beginnings of their names")
    parser.add_argument("--pairs", type=int, default=0, help="timed runs of the example each")
    parser.add_argument("--json", type=Path, help="write the figures here")
    parser.add_argument("--work", metavar="SUBJECT", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.work:
        print(json.dumps(fingerprints(given.work)))
        return 0
    with checkout(given.against) as before:
        differing, compared = compare(before, given.only)
        times = timed(before, given.pairs)
    print(f"{compared} results compared with {given.against}: {len(differing)} differ")
    if given.json:
        figures = {"against": given.against, "compared": compared, "differing": differing} | times
        given.json.write_text(json.dumps(figures, indent=2))
    return 1 if differing else 0


@contextlib.contextmanager
def checkout(commit: str):
    """A folder that holds ``commit``."""
    with tempfile.TemporaryDirectory() as folder:
        where = Path(folder) / "before"
        git = ["git", "-C", str(HERE), "worktree"]
        subprocess.run(
            [*git, "add", "--detach", str(where), commit], check=True, capture_output=True
        )
        try:
            yield where
        finally:
            subprocess.run([*git, "remove", "--force", str(where)], check=True)


def compare(before: Path, only: list[str] | None) -> tuple[list[str], int]:
    """Which results differ, and how many were compared."""
    differing, compared = [], 0
    for subject in subjects():
        if only and not subject.startswith(tuple(only)):
            continue
        old, new = (worked(where, subject) for where in (before, HERE))
        wrong = sorted(key for key in old.keys() | new.keys() if old.get(key) != new.get(key))
        compared += len(old)
        differing += [f"{subject} {key}" for key in wrong]
        print(f"{subject}: {len(old)} results, {len(wrong)} differ", *wrong[:5], flush=True)
    return differing, compared


def subjects() -> list[str]:
    sys.path.insert(0, str(HERE / "tests"))
    import zoo

    return ["digits", *(f"zoo:{name}" for name in zoo.NETWORKS), "example"]


def worked(where: Path, subject: str) -> dict[str, str]:
    """The results of one checkout, made in a process of its own."""
    command = [sys.executable, str(Path(__file__).resolve()), "--work", subject]
    ran = subprocess.run(command, env=environment(where), stdout=subprocess.PIPE, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


def environment(where: Path) -> dict[str, str]:
    paths = os.pathsep.join(map(str, (where, where / "tests")))
    return {**os.environ, "PYTHONPATH": paths, "OMP_NUM_THREADS": "1", "EDGEPRUNE_AT": str(where)}


def fingerprints(subject: str) -> dict[str, str]:
    """Digests of everything that compressing ``subject`` gives, by method and name."""
    import torch

    import edgeprune as ep

    torch.set_num_threads(1)
    module, shape = network(subject)
    methods = SUBJECTS.get(subject, QUICK)
    found = {}
    for name in methods:
        for budget in (0.5,) if name != "reconstruct" else (0.7, 0.4):
            with tempfile.TemporaryDirectory() as folder:
                config = ep.CompressConfig(
                    budget=ep.Macs(budget), recover=recovery(name), bench=None,
                    target=ep.OnnxTarget(opset=None if subject == "example" else 17),
                )  # fmt: skip
                try:
                    report = ep.compress(module, shape, config, directory=Path(folder))
                except Exception as error:  # the same refusal is the same result
                    found[f"{name} {budget} error"] = type(error).__name__
                    continue
                found |= {f"{name} {budget} {key}": value for key, value in digests(report, folder)}
    return found


def network(subject: str):
    if subject == "example":
        from edgeprune.loading import load

        source = load(Path(os.environ["EDGEPRUNE_AT"]) / "examples" / "cifar10_resnet.pt")
        return source, None
    if subject == "digits":
        import digits

        return digits.trained(), (1, 1, 8, 8)
    import zoo

    return zoo.build(subject.removeprefix("zoo:")), zoo.INPUT_SHAPE


def recovery(name: str):
    """A recovery method by name, short of training."""
    import edgeprune as ep
    from edgeprune.recovery import METHODS

    if name == "none":
        return ()
    inversion = ep.Inversion(steps=3)
    short = {
        "auto": lambda: ep.Auto(steps=4, images=24),
        "supervise": lambda: ep.Supervise(steps=4, images=24),
        "distill": lambda: ep.Distill(steps=3, images=16, source=inversion),
        "generated": lambda: ep.Supervise(steps=3, images=16, source=ep.Generated(steps=3)),
    }
    return ((short.get(name) or METHODS[name])(),)


def digests(report, folder: str):
    """Plan, weights and ONNX initializers of a run."""
    import onnx

    yield "plan.json", digest((Path(folder) / "plan.json").read_bytes())
    for name, tensor in report.compressed.module.state_dict().items():
        yield f"weight {name}", digest(tensor.contiguous().numpy().tobytes())
    for file in ("original.onnx", "compressed.onnx"):
        for tensor in onnx.load(Path(folder) / file).graph.initializer:
            values = onnx.numpy_helper.to_array(tensor)
            yield f"{file} {tensor.name}", digest(repr(values.shape).encode() + values.tobytes())


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:16]


def timed(before: Path, pairs: int) -> dict[str, object]:
    """Seconds that compressing the example takes, before and after in turns."""
    seconds: dict[str, list[float]] = {"before_s": [], "after_s": []}
    for _ in range(pairs):
        for key, where in zip(seconds, (before, HERE), strict=True):
            with tempfile.TemporaryDirectory() as folder:
                settings = ["--recover", "reconstruct", "--no-bench", "-o", f"{folder}/run", "-q"]
                model = str(where / "examples" / "cifar10_resnet.pt")
                command = [sys.executable, "-m", "edgeprune", "compress", model, "--target", "onnx"]
                start = time.perf_counter()
                ran = {"env": environment(where), "cwd": folder, "stdout": subprocess.DEVNULL}
                subprocess.run([*command, *settings], check=True, **ran)
                seconds[key].append(time.perf_counter() - start)
    for key, values in seconds.items():
        if values:
            print(f"{key}: median {statistics.median(values):.1f} of {len(values)}")
    return dict(seconds)


if __name__ == "__main__":
    sys.exit(main())
