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


def first_line(error: BaseException) -> str:
    """What a stranger's error says first; its kind where it says nothing."""
    return (str(error).splitlines() or [type(error).__name__])[0]


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
