"""Whose fault an unexpected error is: the network's, where its own code raised it.

Loading runs a network's code once, and blames it for what it raises then. Later it may still fail,
the tenth time that it runs, or on two images: the traceback tells.
"""

from __future__ import annotations

import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.errors import ModelUnsupported, first_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import TracebackType

CALLING = ("torch", "nn", "modules", "module.py")
"""The file through which PyTorch calls a module's forward."""

OURS = Path(__file__).resolve().parents[1]
LIBRARIES = tuple(
    Path(sysconfig.get_path(name)).resolve()
    for name in ("stdlib", "platstdlib", "purelib", "platlib")
)


def fault_of_network(error: BaseException) -> ModelUnsupported | None:
    """The error to report for one that a network's code or depth raised; else None.

    Args:
        error: An error that nothing foresaw.
    """
    kind = type(error).__name__
    places = list(_strangers(error.__traceback__))
    if places:
        fault = ModelUnsupported(f"the network's own code failed at {places[-1]}: {_said(error)}")
    elif isinstance(error, RecursionError):
        fault = ModelUnsupported(f"something in the network is nested too deeply: {kind}")
    else:
        return None
    fault.__cause__ = error
    return fault


def _said(error: BaseException) -> str:
    kind, said = type(error).__name__, first_line(error)
    return said if said == kind else f"{kind}: {said}"


def _strangers(traceback: TracebackType | None) -> Iterator[str]:
    """Places in files that are neither ours nor a library's, within the call of a module."""
    called = False
    while traceback is not None:
        file = Path(traceback.tb_frame.f_code.co_filename)
        called = called or file.parts[-4:] == CALLING
        if called and file.is_file():
            home = file.resolve()
            if not any(home.is_relative_to(folder) for folder in (OURS, *LIBRARIES)):
                yield f"{file.name}:{traceback.tb_lineno}"
        traceback = traceback.tb_next
