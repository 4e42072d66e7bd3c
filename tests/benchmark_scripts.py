"""Run a benchmark script in this process, as ``python benchmarks/…`` would."""

from __future__ import annotations

import importlib
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

FOLDER = Path(__file__).parents[1] / "benchmarks"
SCRIPTS = sorted(
    str(path.relative_to(FOLDER))
    for path in FOLDER.rglob("*.py")
    if "\ndef main(" in path.read_text(encoding="utf-8")
)
"""Every file in ``benchmarks/`` that can be run."""


@contextmanager
def script(name: str, *arguments: object) -> Iterator[ModuleType]:
    """The module of a script, whose ``main`` reads these arguments.

    Modules from the folder of benchmarks, or from a folder among the arguments, are forgotten
    afterwards: their names may be those of other modules (``zoo``).
    """
    file = FOLDER / name
    folders = (FOLDER, *(each for each in arguments if isinstance(each, Path)))
    path, argv, zoo = list(sys.path), list(sys.argv), sys.modules.pop("zoo", None)
    sys.path.insert(0, str(file.parent))
    sys.argv[:] = [str(file), *map(str, arguments)]
    try:
        yield importlib.import_module(file.stem)
    finally:
        for module in [name for name in sys.modules if _lies_in(folders, name)]:
            del sys.modules[module]
        if zoo is not None:
            sys.modules["zoo"] = zoo
        sys.path[:], sys.argv[:] = path, argv


def _lies_in(folders: tuple[Path, ...], module: str) -> bool:
    file = getattr(sys.modules[module], "__file__", None)
    return file is not None and any(Path(file).is_relative_to(each) for each in folders)
