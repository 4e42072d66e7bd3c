"""Laws of the house: sizes of files and functions, sentences, clocks, imports, help."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import pytest
from benchmark_scripts import SCRIPTS, script

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
PRODUCT = sorted((ROOT / "edgeprune").rglob("*.py"))
SCRIPT_FILES = [*(ROOT / "benchmarks").rglob("*.py"), *(ROOT / "examples").rglob("*.py")]

FILE_LINES = 300
FUNCTION_LINES = 40
"""Longest function without its docstring."""
WITH_DOCSTRING = 50
"""Longest function with its docstring."""

FRAGMENT = re.compile(r'(?:"""|[A-Za-z_*]+: |(?:Returns|Yields):\n\s+)(?:Of|Likewise|As above)\b.*')
"""A docstring line that needs another one: "seed: Of the images.", "std: Likewise."."""

REAL_TIME = re.compile(r"assert[^\n]*(?:perf_counter|monotonic|time\.time)\(")

LIGHT = (
    *(
        "cli",
        "bench",
        "report",
        "artifacts",
        "stats",
        "units",
        "parity",
        "printable",
        "errors",
        "python_words",
    ),
    *("cache_folder", "checksum", "choices", "choice_names", "own_files", "layer_widths"),
    *("text_file", "disk"),
    *("drafts", "whole_file", "whole_folder", "python_words"),
)
"""Rooms of the product that are used without torch, on boards and for reports."""

Function: TypeAlias = ast.FunctionDef | ast.AsyncFunctionDef


def test_no_file_is_longer_than_a_reader_can_hold() -> None:
    lengths = {path: len(_text(path).splitlines()) for path in (*PRODUCT, *SCRIPT_FILES)}
    long = [f"{_name(path)}: {n} lines" for path, n in lengths.items() if n > FILE_LINES]
    assert not long, f"files past {FILE_LINES} lines; split them by idea:\n" + "\n".join(long)


def test_no_function_is_longer_than_a_screen() -> None:
    long = []
    for path in PRODUCT:
        for function in _nodes(path, Function):
            whole, docstring = _lines(function), _lines(_docstring(function))
            if whole - docstring > FUNCTION_LINES or whole > WITH_DOCSTRING:
                long.append(f"{_name(path)}:{function.lineno} {function.name}: {whole} lines")
    limits = f"{FUNCTION_LINES} lines, or {WITH_DOCSTRING} with the docstring"
    assert not long, f"functions past {limits}; split them:\n" + "\n".join(long)


def test_docstring_lines_are_sentences_of_their_own() -> None:
    found = []
    for path in PRODUCT:
        lines = _text(path).splitlines()
        for node in _nodes(path, ast.Module | ast.ClassDef | Function):
            docstring = _docstring(node)
            if docstring is None:
                continue
            text = "\n".join(lines[docstring.lineno - 1 : docstring.end_lineno])
            for match in FRAGMENT.finditer(text):
                line = docstring.lineno + text[: match.start()].count("\n")
                found.append(f"{_name(path)}:{line} {' '.join(match.group().split())}")
    assert not found, "say what it is, as in 'seed: Random seed.':\n" + "\n".join(found)


def test_no_test_asserts_real_time() -> None:
    tests = [path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__)]
    found = [
        f"{_name(path)}:{text[: match.start()].count(chr(10)) + 1} {match.group()}"
        for path in tests
        for text in (_text(path),)
        for match in REAL_TIME.finditer(text)
    ]
    assert not found, "a busy machine fails these; pass a FakeClock:\n" + "\n".join(found)


@pytest.mark.parametrize("room", LIGHT)
def test_what_runs_without_torch_does_not_import_it(room: str) -> None:
    program = f"import edgeprune.{room}, sys; print(*sorted(sys.modules))"
    command = [sys.executable, "-c", program]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    heavy = {"torch", "torchvision", "torch_pruning"} & set(ran.stdout.split())
    assert not heavy, f"importing edgeprune.{room} imports {', '.join(sorted(heavy))}"


@pytest.mark.parametrize("name", SCRIPTS)
def test_every_benchmark_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    with script(name, "--help") as module, pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == 0
    assert capsys.readouterr().out.startswith("usage: ")


def _name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def _nodes(path: Path, kind: type) -> Iterator[ast.AST]:
    return (node for node in ast.walk(ast.parse(_text(path))) if isinstance(node, kind))


def _docstring(node: ast.AST) -> ast.stmt | None:
    """The statement that is a node's docstring."""
    return node.body[0] if ast.get_docstring(node) is not None else None


def _lines(node: ast.AST | None) -> int:
    return 0 if node is None else node.end_lineno - node.lineno + 1
