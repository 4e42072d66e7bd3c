"""A newcomer's first hour: the commands of the tutorials and the mistakes that go with them.

Each step is a command as it is typed and how its answer begins: the exit code, and the first line
of the result, or of the error.
"""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from invocation import edgeprune

if TYPE_CHECKING:
    from pathlib import Path

QUICK = "--input 1x3x16x16 --opset 17 --no-bench --recover analytic"

STEPS: tuple[tuple[str, int, str], ...] = (
    ("--version", 0, "edgeprune "),
    ("comprss model.pt", 2, "Error: there is no command 'comprss': did you mean 'compress'?"),
    ("compress", 2, "Error: Missing argument 'MODEL'."),
    ("compress modle.pt", 2, "there is no file or directory 'modle.pt': did you mean 'model.pt'?"),
    ("compress model.pt --traget onnx", 2, "Error: No such option"),
    ("compress model.pt --target onx", 2, "no target is called 'onx': did you mean 'onnx'?"),
    ("compress model.pt --recover analytc", 2, "no recovery method is called 'analytc'"),
    ("compress model.pt --scope globl", 2, "no scope is called 'globl'"),
    ("compress model.pt --runtime onnx", 2, "no runtime is called 'onnx'"),
    ("compress model.pt --eval nowhere", 2, "Error: Invalid value for '--eval'"),
    ("compress model.pt --macs 50", 2, "--macs 50: did you mean 50%"),
    ("compress model.pt", 2, "cannot tell what the network takes: pass --input 1x3xHxW"),
    ("compress model.pt --input 1x4x16x16", 2, ""),
    ("compress model.pt --fail-if latency.ratio>0.8x", 2, "gate 'latency.ratio>0.8x'"),
    (f"compress model.pt {QUICK} --fail-if latency.ratio>0.8", 2, "gate 'latency.ratio>0.8'"),
    ("inspect model.pt --input 1x3x16x16", 0, ""),
    (f"compress model.pt {QUICK} --dry-run", 0, ""),
    (f"compress model.pt {QUICK} -o run", 0, "accuracy"),
    (f"compress model.pt {QUICK} -o run", 2, "'run' exists already: choose another -o"),
    (f"compress model.pt {QUICK} -o run --dry-run", 2, "'run' exists already"),
    ("check run", 0, "run is a valid report; it has no gates"),
    ("check run --fail-if ratio.macs>0.9", 0, "passed"),
    ("check run --fail-if ratio.macs>0.1", 3, "1 of 1 gates failed"),
    ("check run --fail-if accuracy.drop>1%", 2, "gate 'accuracy.drop>1%'"),
    ("bench run/compressed.onx", 2, "Error: Invalid value for 'A.onnx|RUN'"),
    ("export run --weights nowhere.pt", 2, "Error: Invalid value for '--weights'"),
    ("doctor --device ssh:/board", 2, ""),
)


@pytest.fixture(scope="module")
def desk(chain: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with nothing but a model in it."""
    folder = tmp_path_factory.mktemp("desk")
    shutil.copyfile(chain, folder / "model.pt")
    return folder


def test_every_step_of_the_first_hour_answers_as_it_should(
    desk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(desk)
    wrong = []
    for typed, code, begins in STEPS:
        ran = edgeprune(*typed.split())
        said = ran.out if code in (0, 3) and not ran.err.count("error: ") else ran.err
        lines = [line.removeprefix("error: ") for line in said.splitlines()]
        if ran.code != code or not any(line.startswith(begins) for line in lines):
            wrong.append((typed, ran.code, said[-300:]))
        assert "Traceback" not in ran.err
        assert "this is a bug" not in ran.err
    assert wrong == []
    assert sorted(path.name for path in desk.iterdir()) == ["model.pt", "run"]
