"""What the OpenSSH client and the far shell say when something is wrong, in one helpful line."""

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
"""Words of ssh, in lower case, and what they mean; the first that fits counts."""

NO_PYTHON = (126, 127)
"""Exit codes of a shell that cannot run or cannot find a command."""

REFUSED: tuple[tuple[str, str], ...] = (
    ("no space left", "its disk is full; free some, or name another folder with ?folder=/path"),
    ("quota", "its disk quota is used up; free some, or name another folder with ?folder=/path"),
    ("permission denied", "its folder cannot be written; name another with ?folder=/path"),
    ("read-only", "its folder cannot be written; name another with ?folder=/path"),
)
"""Words of ``far_side.py``'s errors, in lower case, and what they mean."""


def explained(name: str, python: str, code: int, words: str) -> DeviceFailed:
    """Why a connection ended without an answer.

    Args:
        name: Of the device.
        python: The interpreter that was to run there.
        code: The exit code of ssh.
        words: What it wrote to standard error.
    """
    said = (words.strip().splitlines() or ["it said nothing"])[-1].strip()
    if code in NO_PYTHON:
        return DeviceFailed(
            f"{name}: there is no {python} there ({said}); install it, or name another with "
            "?python=/path"
        )
    if code != SSH_FAILED:
        return DeviceFailed(f"{name}: {python} ended with exit code {code}: {said}")
    for words_of_ssh, help_text in HELP:
        if words_of_ssh in words.lower():
            return DeviceFailed(f"{name}: {help_text} ({said})")
    return DeviceLost(f"{name}: the connection broke ({said})")


def refused(name: str, error: str) -> DeviceFailed:
    """Why the far side could not take the files."""
    for words, help_text in REFUSED:
        if words in error.lower():
            return DeviceFailed(f"{name}: {help_text} ({error})")
    return DeviceFailed(f"{name}: {error}")
