"""Runs of the whole line that meet a fault, and the laws that hold behind it.

    survived(scene, kinds)    a call fails: an earlier run in the place is as it was, nothing lies
                              about, and the exit code is 2; or the fault did no harm
    python tests/fault_runs.py FOLDER RECOVERY KIND …   the same with a process that is killed, and
                              another one that resumes to the same bytes; prints JSON, a line for
                              each. With the kind two-renames nothing is exchanged in one step

Each run is the whole command in one process. What takes long and writes nothing is left out: the
child that simplifies, the pictures of the page, the disk's part in fsync.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import subprocess
import sys
import traceback
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import torch
from fault_injection import Injector, injected
from invocation import edgeprune
from torch import nn

import edgeprune as ep
from edgeprune import drafts, whole_folder
from edgeprune.recovery.training import feature_training

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from invocation import Ran

STEPS = 4
RESULTS = ("plan.json", "compressed.safetensors", "original.onnx", "compressed.onnx")
"""Files of a run that are the same bytes every time."""

TWO_RENAMES = "two-renames"
Files = dict[str, bytes]


@dataclass(frozen=True)
class Scene:
    """A folder with a model and an earlier run, and what a run that meets no fault makes of it.

    Attributes:
        folder: Nothing else lies in it.
        recover: The recovery of the run.
        earlier: All files in the folder, by path, before a run.
        wanted: ``RESULTS`` of a run, by name.
    """

    folder: Path
    recover: str
    earlier: Files
    wanted: Files

    def restore(self) -> None:
        """Make the folder what it was."""
        shutil.rmtree(self.folder)
        for name, content in self.earlier.items():
            path = self.folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)

    def is_as_before(self) -> bool:
        """Whether nothing in the folder has changed, and nothing has come."""
        return files(self.folder) == self.earlier

    def is_done(self) -> bool:
        """Whether the new run stands in the place of the earlier one, and nothing beside it."""
        found = files(self.folder / "run")
        names = {path.name for path in self.folder.iterdir()}
        return names == {"net.pt", "run"} and {n: found.get(n) for n in RESULTS} == self.wanted


@dataclass(frozen=True)
class Met:
    """A fault that a run met: what it was, how the run ended, and the laws that did not hold."""

    kind: str
    number: int
    stage: str
    call: str
    code: int
    broken: tuple[str, ...] = ()
    resumable: bool = False


@contextlib.contextmanager
def quick() -> Iterator[None]:
    """Leave out what takes long and writes nothing; save the state of training at every step."""
    eager = partial(feature_training.Checkpoint, every_seconds=0.0)
    with (
        mock.patch("edgeprune.export.onnx.simplify", return_value="not simplified"),
        mock.patch("edgeprune.report.formats.as_html", return_value="<html>"),
        mock.patch("os.fsync"),
        mock.patch.object(feature_training, "Checkpoint", eager),
        mock.patch.object(feature_training, "STEPS", (STEPS, STEPS)),
    ):
        yield


def scene(folder: Path, recover: str = "analytic") -> Scene:
    """A scene in a folder that is made."""
    folder.mkdir()
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    torch.save(nn.Sequential(*layers).eval(), folder / "net.pt")
    model = ("--input", "1x3x8x8", "-o", folder / "run")
    assert edgeprune("prune", folder / "net.pt", *model, "--macs", "80%").code == 0
    made = Scene(folder, recover, files(folder), {})
    ran = compress(made)
    assert ran.code == 0, ran.err
    found = files(folder / "run")
    made.restore()
    return replace(made, wanted={name: found[name] for name in RESULTS})


def compress(scene: Scene, *flags: str) -> Ran:
    """The run, in the place of the earlier one."""
    where = (scene.folder / "net.pt", "--input", "1x3x8x8", "-o", scene.folder / "run")
    how = ("--opset", "17", "--no-bench", "--overwrite", "--recover", scene.recover)
    return edgeprune("compress", *where, *how, *flags)


def survived(scene: Scene, kind: str, error: int = errno.ENOSPC) -> Iterator[Met]:
    """Let the first call of a kind fail, then the second, until a run meets no fault."""
    number = 1
    while True:
        scene.restore()
        with injected(Injector(scene.folder, (kind,), number, error)) as fault:
            ran = compress(scene)
        if not fault.met:
            return
        broken = _broken(scene, ran, error)
        yield Met(kind, number, fault.stage, _relative(fault.met, scene), ran.code, broken)
        number += 1


def _broken(scene: Scene, ran: Ran, error: int) -> tuple[str, ...]:
    """The laws that do not hold after a call failed."""
    if ran.code == 0:  # as where a folder that was to be made is there already
        return () if scene.is_done() else ("exit code 0 without the run",)
    said = ran.error if "error: " in ran.err else ""
    laws = {
        f"exit code {ran.code}": ran.code == 2,
        "the earlier run is not as it was, or something lies about": scene.is_as_before(),
        f"more or less than a line is said: {said}": len(said.splitlines()) == 1,
        f"the disk is not named: {said}": "disk at" in said,
        "another error is named": os.strerror(error) in said or os.strerror(errno.EFBIG) in said,
    }
    return tuple(law for law, holds in laws.items() if not holds)


def killed(scene: Scene, kinds: tuple[str, ...]) -> Iterator[Met]:
    """Kill a run at the first call of these kinds, then at the second, until none is left."""
    number, name = 1, "+".join(kinds)
    while True:
        scene.restore()
        log = scene.folder.with_name("met")
        code = _in_child(partial(_meet, scene, Injector(scene.folder, kinds, number, None, log)))
        if code >= 0:
            assert code == 0, f"exit code {code} without a fault"
            return
        stage, call = _relative(log.read_text(), scene).split("\n")
        resumable = any((scene.folder / "run.partial").rglob("*.pt"))
        yield Met(f"kill at {name}", number, stage, call, code, _broken_by_a_kill(scene), resumable)
        number += 1


def killed_in_a_process(folder: Path, *arguments: str) -> list[dict[str, Any]]:
    """What the kills came to, in a process of its own that may fork: arguments as for ``main``."""
    paths = (Path(ep.__file__).parents[1], Path(__file__).parent, os.environ.get("PYTHONPATH", ""))
    settings = {"OMP_NUM_THREADS": "1", "PYTHONPATH": os.pathsep.join(map(str, paths))}
    ran = subprocess.run(
        [sys.executable, __file__, folder, *arguments],
        env=os.environ | settings,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    return [json.loads(line) for line in ran.stdout.splitlines()]


def _meet(scene: Scene, injector: Injector) -> int:
    with injected(injector):
        return compress(scene).code


def _broken_by_a_kill(scene: Scene) -> tuple[str, ...]:
    """The laws that do not hold after a kill, and after the run that resumes."""
    place = scene.folder / "run"
    drafts.sweep(scene.folder)
    before = {n: c for n, c in scene.earlier.items() if n.startswith("run/")}
    found = {f"run/{n}": c for n, c in files(place).items()}
    new = {n: found.get(f"run/{n}") for n in RESULTS} == scene.wanted
    left = {path.name for path in scene.folder.iterdir()} - {"net.pt", "run", "run.partial"}
    laws = {
        "the earlier run is lost": found == before or new,
        "the run in the place does not load": _loads(place),
        f"{', '.join(sorted(left))} is left": not left,
        "the run that resumes fails": _in_child(lambda: compress(scene, "--resume").code) == 0,
        "the run that resumes has other bytes, or leaves something": scene.is_done(),
    }
    return tuple(law for law, holds in laws.items() if not holds)


def _loads(run: Path) -> bool:
    try:
        return isinstance(ep.load(run), nn.Module)
    except ep.EdgepruneError:
        return False


def _in_child(work: Callable[[], int]) -> int:
    """The exit code of work in a fork of this process; negative: the signal that ended it."""
    child = os.fork()
    if not child:
        code = 1
        try:
            code = work()
        except BaseException:  # none may come back into the parent's code
            traceback.print_exc()
        os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _relative(text: str, scene: Scene) -> str:
    return text.replace(f"{scene.folder}/", "")


def files(folder: Path) -> Files:
    """Every file below a folder, by its path there."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> None:
    """Print what the kills came to: a process of its own, as torch's threads do not fork."""
    folder, recover, *kinds = sys.argv[1:]
    torch.set_num_threads(1)
    with contextlib.ExitStack() as patches:
        patches.enter_context(quick())
        if TWO_RENAMES in kinds:
            kinds.remove(TWO_RENAMES)
            patches.enter_context(mock.patch.object(whole_folder, "exchange", return_value=False))
        log = Path(folder) / "scene.json"
        assert _in_child(lambda: _describe(Path(folder) / "work", recover, log)) == 0
        stored = json.loads(log.read_text())
        made = Scene(
            Path(folder) / "work", recover, *(_bytes(stored[k]) for k in ("earlier", "wanted"))
        )
        for met in killed(made, tuple(kinds)):
            sys.stdout.write(f"{json.dumps(asdict(met))}\n")


def _describe(folder: Path, recover: str, log: Path) -> int:
    made = scene(folder, recover)
    kept = {"earlier": made.earlier, "wanted": made.wanted}
    log.write_text(json.dumps({k: {n: c.hex() for n, c in v.items()} for k, v in kept.items()}))
    return 0


def _bytes(stored: dict[str, str]) -> Files:
    return {name: bytes.fromhex(content) for name, content in stored.items()}


if __name__ == "__main__":
    main()
