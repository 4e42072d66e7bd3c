"""The command line called in this process, as a shell would see it."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass

from edgeprune import cli

CHAIN_SHAPE = "1x3x16x16"
QUICK = ("--target", "onnx", "--opset", "17", "--no-bench", "--recover", "analytic")
"""The older exporter takes a second where the newer one takes five."""


@dataclass(frozen=True)
class Ran:
    """How a command ended, and what it printed."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error's lines, without what was said before."""
        return self.err[self.err.index("error: ") :]


def edgeprune(*arguments: object) -> Ran:
    """Run ``edgeprune`` with these arguments."""
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = cli.main([str(argument) for argument in arguments])
    return Ran(code, out.getvalue(), err.getvalue())
