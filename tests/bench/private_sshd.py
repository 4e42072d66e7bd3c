"""A private sshd on loopback: its own keys, its own known hosts, nothing of the user's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

SSHD = shutil.which("sshd") or next(filter(os.path.exists, ["/usr/sbin/sshd"]), None)

SERVER = """\
Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host
PidFile none
AuthorizedKeysFile {folder}/user.pub
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
{forced}
"""

CLIENT = """\
Host board
    HostName 127.0.0.1
    Port {port}
    IdentityFile {folder}/user
    IdentitiesOnly yes
    UserKnownHostsFile {folder}/known_hosts
    GlobalKnownHostsFile none
"""


@dataclass(frozen=True)
class Sshd:
    """A running server; ``ssh -F config board`` logs in."""

    folder: Path
    port: int
    pid: int

    @property
    def config(self) -> Path:
        """For the client."""
        return self.folder / "config"

    def connections(self) -> list[int]:
        """Processes that serve a connection now."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return [int(pid) for pid in children]

    def drop(self) -> None:
        """Kill every connection, as a cable pulled out would."""
        for pid in self.connections():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)


@contextlib.contextmanager
def running(folder: Path, forced: str = "") -> Iterator[Sshd]:
    """A server for as long as the block lasts; skips the test where there can be none.

    Args:
        folder: For its keys and configuration; new and empty.
        forced: A program that every login runs instead of what it asked for.
    """
    if SSHD is None or os.name != "posix" or not hasattr(os, "geteuid") or not shutil.which("ssh"):
        pytest.skip("needs openssh-server and openssh-client")
    Path("/run/sshd").mkdir(exist_ok=True) if os.geteuid() == 0 else None
    port = _free_port()
    for key in ("host", "user"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / key)]
        subprocess.run(made, check=True)
    fields = {"folder": folder, "port": port}
    forced_line = f"ForceCommand {forced}" if forced else ""
    (folder / "sshd_config").write_text(SERVER.format(**fields, forced=forced_line))
    (folder / "config").write_text(CLIENT.format(**fields))
    kind, key = (folder / "host.pub").read_text().split()[:2]
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {kind} {key}\n")
    command = [SSHD, "-D", "-f", str(folder / "sshd_config"), "-E", str(folder / "log")]
    with subprocess.Popen(command) as server:
        sshd = Sshd(folder, port, server.pid)
        try:
            _wait_for(sshd, server)
            yield sshd
        finally:
            sshd.drop()
            server.terminate()


def _wait_for(sshd: Sshd, server: subprocess.Popen[bytes]) -> None:
    for _ in range(200):
        if server.poll() is not None:
            pytest.skip(f"sshd does not start here: {(sshd.folder / 'log').read_text()[-300:]}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", sshd.port), 1):
            return
        time.sleep(0.05)
    pytest.fail("sshd started but never listened")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
