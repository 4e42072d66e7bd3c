"""Reference pages whose content the code holds: written when the documentation is built.

Each function below gives the text of one file in ``reference/generated``, which a page of the
reference includes; ``report.schema.json`` is offered as it is.
"""

from __future__ import annotations

import inspect
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

import edgeprune
from edgeprune import cli, errors
from edgeprune.report import paths
from edgeprune.report.document import ReportDocument

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

GENERATED = Path(__file__).parent / "reference" / "generated"


def table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """A table of Markdown."""
    cells = [list(header), *map(list, rows)]
    cells.insert(1, ["---"] * len(cells[0]))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells) + "\n"


def exit_codes() -> str:
    """Every exit code and what it means: those of errors, and of ends that are none."""
    kinds: list[type[errors.EdgepruneError]] = [
        errors.EdgepruneError,
        *errors.EdgepruneError.__subclasses__(),
    ]
    meanings = {0: "All went well."}
    meanings |= {kind.exit_code: (kind.__doc__ or "").splitlines()[0] for kind in kinds}
    meanings |= {
        1: "A bug of ours: please report it with what `-v` prints.",
        cli.INTERRUPTED: "Interrupted: Ctrl-C, SIGTERM, SIGHUP.",
        cli.CLOSED_PIPE: "Who reads the output has closed the pipe; nothing is said.",
    }
    names = {kind.exit_code: f"`{kind.__name__}`" for kind in kinds[1:]}
    rows = [(str(code), text, names.get(code, "")) for code, text in sorted(meanings.items())]
    return table(("code", "meaning", "in Python"), _plain(rows))


def gates() -> str:
    """Short names of figures, and every dotted path that a gate may ask for."""
    short = [
        (f"`{alias}`", f"`{path}`", paths.dimension(path)) for alias, path in paths.ALIASES.items()
    ]
    every = [
        (f"`{path}`", paths.dimension(path), _code_of_flags(paths.filled_by(path)))
        for path in sorted(paths.numeric_paths())
    ]
    return (
        f"## Short names\n\n{table(('name', 'stands for', 'kind'), short)}\n"
        f"## All numbers of a report\n\n{table(('path', 'kind', 'where it is null'), every)}"
    )


def api() -> str:
    """A directive of autodoc for every public name: functions first, then what they take."""
    functions = [name for name in edgeprune.__all__ if name.islower()]
    classes = [name for name in edgeprune.__all__ if not name.islower()]
    lines = ["```{eval-rst}", ".. module:: edgeprune", ""]
    for name in (*functions, *classes):
        kind = "class" if inspect.isclass(getattr(edgeprune, name)) else "function"
        lines += [f".. auto{kind}:: edgeprune.{name}"]
        lines += ["   :members:"] if kind == "class" else []
        lines += [""]
    return "\n".join([*lines, "```", ""])


def schema() -> str:
    """report.json as JSON Schema, draft 2020-12."""
    found = msgspec.json.schema(ReportDocument)
    found = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "report.json of edgeprune",
        **found,
    }
    return json.dumps(found, indent=1) + "\n"


def write(_app: Any = None) -> None:
    """Write the files that have changed."""
    GENERATED.mkdir(parents=True, exist_ok=True)
    made = {
        "exit-codes.md": exit_codes(),
        "gates.md": gates(),
        "api.md": api(),
        "report.schema.json": schema(),
    }
    for name, text in made.items():
        path = GENERATED / name
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


def _plain(rows: Iterable[Iterable[str]]) -> Iterator[list[str]]:
    """Cells without the marks of reStructuredText."""
    for row in rows:
        yield [cell.replace("``", "`") for cell in row]


def _code_of_flags(text: str) -> str:
    """A sentence whose flags are set as code."""
    words = text.replace("|", "\\|").split(" ")
    return " ".join(f"`{word}`" if word.startswith("--") else word for word in words)


def as_typed(_app: Any, _context: Any, lines: list[str]) -> None:
    """Keep a star of a command's help a star; it would begin an emphasis."""
    lines[:] = [line.replace("*", "\\*") for line in lines]


def setup(app: Any) -> dict[str, bool]:
    """Have Sphinx write the files before it reads the pages, and keep help as it is typed."""
    app.connect("builder-inited", write)
    app.connect("sphinx-click-process-options", as_typed)
    return {"parallel_read_safe": True}
