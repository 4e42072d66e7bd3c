"""What can go wrong, and the exit code each kind of failure has on the command line.

    EdgepruneError                1  a bug of ours unless it is one of the kinds below
    ├── UsageError                2  a flag, file or combination of settings that cannot work
    ├── GateFailed                3  a --fail-if expression came true
    ├── ModelRefused              4  the model file is unreadable, or would run code
    ├── ModelUnsupported          5  the network cannot be traced, or nothing in it can be pruned
    ├── BudgetUnreachable         6  says the nearest budget that can be reached
    ├── VerificationFailed        7  surgery or export changed what the network computes
    └── DeviceFailed              8  the runtime or the device did not do its part
        └── DeviceLost            8  it died or could no longer be reached: another try may do

An interrupted run (Ctrl-C) exits with 130. A message is one or two lines: what failed, which
layer or file, what to do next.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def first_line(error: BaseException) -> str:
    """What a stranger's error says first; its kind where it says nothing, or cannot."""
    try:
        said = str(error).splitlines()
    except Exception:  # its __str__ is a stranger's too
        said = []
    return (said or [type(error).__name__])[0] or type(error).__name__


@contextmanager
def failing_as(failure: Callable[[str], Exception], what: str = "") -> Iterator[None]:
    """Run a stranger's code: a network's forward, its attributes, the state in its file.

    Whatever ends it is the stranger's fault and becomes ``failure``, SystemExit included: it must
    not end our process as if the work were done. Errors of our own, Ctrl-C and what must pass
    through any handler stay what they are.

    Args:
        failure: Makes the error from a message.
        what: What could not be done, to begin the message: "cannot trace the network".
    """
    try:
        yield
    except (EdgepruneError, KeyboardInterrupt, Unstoppable):
        raise
    except BaseException as error:
        said, kind = first_line(error), type(error).__name__
        if said != kind and not isinstance(error, RuntimeError | ValueError):
            said = f"{kind}: {said}"  # "'weight'" alone says nothing
        raise failure(f"{what}: {said}" if what else said) from error


class Unstoppable(BaseException):
    """Passes through every handler of a network's forward: time is up."""


class EdgepruneError(Exception):
    """Base of every error raised on purpose."""

    exit_code = 1


class UsageError(EdgepruneError):
    """A flag, a file or a combination of settings that cannot work."""

    exit_code = 2


class GateFailed(EdgepruneError):
    """A ``--fail-if`` expression came true."""

    exit_code = 3


class ModelRefused(EdgepruneError):
    """The model file is unreadable, of an unsupported kind, or would run code when loaded."""

    exit_code = 4


class ModelUnsupported(EdgepruneError):
    """The network cannot be traced, or nothing in it can be pruned."""

    exit_code = 5


class BudgetUnreachable(EdgepruneError):
    """No plan meets the budget; the message names the nearest that one does."""

    exit_code = 6


class VerificationFailed(EdgepruneError):
    """Surgery or export changed what the network computes."""

    exit_code = 7


class DeviceFailed(EdgepruneError):
    """The runtime or the device did not do its part."""

    exit_code = 8


class DeviceLost(DeviceFailed):
    """The process over there died, or the connection to it broke; starting again may help."""
