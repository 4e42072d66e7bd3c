"""Messages of the OpenSSH client and the remote shell, turned into one line that helps."""

from __future__ import annotations

from edgeprune.errors import DeviceFailed, DeviceLost

SSH_FAILED = 255
"""The exit code of ssh itself, as opposed to that of what it ran."""

HELP: tuple[tuple[str, str], ...] = (
    (
        "identification has changed",
        "its host key has changed; if that is right, `ssh-keygen -R HOST` and log in once with ssh",
    ),
    (
        "host key verification failed",
        "its host key is unknown; log in once with ssh, or add what `ssh-keyscan HOST` prints",
    ),
    (
        "permission denied",
        "it refuses the login; `ssh -o BatchMode=yes HOST true` must do (ssh-copy-id, ssh-agent)",
    ),
    ("could not resolve", "there is no machine of that name"),
    ("connection refused", "nothing answers at that port; is sshd running there?"),
    ("no route to host", "it cannot be reached"),
    ("network is unreachable", "it cannot be reached"),
    ("connection timed out", "it cannot be reached"),
    ("no such file or directory", "a file that ssh was told to use does not exist"),
)
"""Parts of ssh's messages, in lower case, and their meaning; the first that fits counts."""

NO_PYTHON = (126, 127)
"""Exit codes of a shell that cannot run or cannot find a command."""

REFUSED: tuple[tuple[str, str], ...] = (
    ("no space left", "its disk is full; free some, or name another folder with ?folder=/path"),
    ("quota", "its disk quota is used up; free some, or name another folder with ?folder=/path"),
    ("permission denied", "its folder cannot be written; name another with ?folder=/path"),
    ("read-only", "its folder cannot be written; name another with ?folder=/path"),
)
"""Parts of ``remote_agent.py``'s errors, in lower case, and their meaning."""


def explained(name: str, python: str, code: int, message: str) -> DeviceFailed:
    """The error that stands for a connection that ended without an answer.

    Args:
        name: Name of the device.
        python: The interpreter that was to run there.
        code: Exit code of ssh.
        message: Standard error of ssh.
    """
    last = (message.strip().splitlines() or ["no message"])[-1].strip()
    if code in NO_PYTHON:
        return DeviceFailed(
            f"{name}: there is no {python} there ({last}); install it, or name another with "
            "?python=/path"
        )
    if code != SSH_FAILED:
        return DeviceFailed(f"{name}: {python} ended with exit code {code}: {last}")
    for part, help_text in HELP:
        if part in message.lower():
            return DeviceFailed(f"{name}: {help_text} ({last})")
    return DeviceLost(f"{name}: the connection broke ({last})")


def refused(name: str, error: str) -> DeviceFailed:
    """The error that stands for files that the remote agent could not take."""
    for part, help_text in REFUSED:
        if part in error.lower():
            return DeviceFailed(f"{name}: {help_text} ({error})")
    return DeviceFailed(f"{name}: {error}")
