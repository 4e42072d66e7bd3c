"""Another machine, reached with the OpenSSH client; it needs ``python3`` with the runtime.

The client reads ``~/.ssh/config`` and asks agents and hardware keys, so an alias, a jump host or
a key that works in a terminal works here. Nothing is asked for: what would prompt is an error.
Host keys are checked strictly.

Two connections make a measurement: over the first one, ``remote_agent.py`` takes the files that the
machine does not have yet; over the second, it runs ``worker``. Both carry everything on
standard input and output, so a forced command or a shell without scp will do. The worker ends
when its standard input does, so nothing stays behind a connection that broke.
"""

from __future__ import annotations

import contextlib
import json
import shlex
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, ClassVar, Literal
from urllib.parse import parse_qsl, urlsplit

from edgeprune.bench.devices import ssh_errors
from edgeprune.bench.devices.local import WORKER
from edgeprune.bench.devices.transfer import packed
from edgeprune.bench.worker_process import Worker
from edgeprune.errors import DeviceFailed, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from edgeprune.bench.devices.transfer import Item

REMOTE_AGENT = Path(__file__).with_name("remote_agent.py")
OPTIONS = {
    "BatchMode": "yes",  # never a prompt: nobody may be there to answer
    "StrictHostKeyChecking": "yes",
    "ConnectTimeout": "15",
    "ServerAliveInterval": "5",  # with the next one: a dead link is noticed in 15 s
    "ServerAliveCountMax": "3",
    "ForwardAgent": "no",
    "ForwardX11": "no",
    "ClearAllForwardings": "yes",
    "RequestTTY": "no",
}
CHOICES = {"yes": True, "no": False}


@dataclass(frozen=True, slots=True)
class Visit:
    """Result of the first connection.

    Attributes:
        folder: The folder with the files on the remote machine; absolute.
        facts: Facts about the machine; see ``facts`` in ``remote_agent.py``.
    """

    folder: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class SshDevice:
    """A machine behind ssh.

    Attributes:
        host: The machine, as one types it after ``ssh``: a name, ``user@name`` or an alias.
        port: Port of the server; None for that of the configuration.
        python: The interpreter there that has the runtime; a path is absolute or below the home.
        folder: The folder for files there, below ``edgeprune-bench``; "" for the user's cache.
        keep: Whether files stay for a next run, a week at most, so that it copies nothing.
        config: An ssh_config file in place of the user's.
        strict: Whether a machine is refused whose frequency governor is not "performance".
        limit_s: The longest wait for one answer, in seconds; None: the time asked for and some
            more. Larger: slower models.
    """

    measures: ClassVar[Literal["latency"]] = "latency"
    host: str
    port: int | None = None
    python: str = "python3"
    folder: str = ""
    keep: bool = True
    config: str = ""
    strict: bool = False
    limit_s: float | None = None

    @classmethod
    def parse(cls, address: str) -> SshDevice:
        """Parse what follows ``ssh://``: ``[user@]host[:port][?python=/path&folder=/path&…]``.

        Raises:
            UsageError: When it is no such address.
        """
        try:
            url = urlsplit(f"ssh://{address}")
            port = url.port
        except ValueError as error:
            raise UsageError(f"ssh://{address}: {error}") from None
        host = url.netloc.rpartition(":")[0] if port is not None else url.netloc.rstrip(":")
        if not host.rpartition("@")[2] or host.startswith("-") or url.path.strip("/"):
            raise UsageError(f"ssh://{address}: expected ssh://[user@]host[:port]")
        return cls(host, port, **_options(address, parse_qsl(url.query, keep_blank_values=True)))

    @property
    def name(self) -> str:
        """Name in reports."""
        return f"ssh://{self.host}" + (f":{self.port}" if self.port else "")

    def start(self, request: Mapping[str, object]) -> Worker:
        """Bring what is missing there, and load ``request["model"]`` in a fresh process."""
        paths = {key: Path(str(request[key])) for key in ("model", "adapter") if key in request}
        items = {key: packed(path) for key, path in {**paths, "worker": WORKER}.items()}
        visit = self.visit(tuple(items.values()))
        self._require_performance(visit.facts)
        there = {key: f"{visit.folder}/{item.digest}/{item.name}" for key, item in items.items()}
        script = shlex.join((self.python, "-B", there.pop("worker")))
        if not self.keep:  # also when the connection breaks: the worker ends, and this goes on
            script += f"; code=$?; rm -rf -- {shlex.quote(visit.folder)}; exit $code"
        return Worker(self._command(script), {**request, **there}, limit_s=self.limit_s)

    def reach(self, request: Mapping[str, object]) -> None:
        """Connect, and start the runtime there once."""
        self.start(request).close()

    def visit(self, items: Sequence[Item] = (), packages: Sequence[str] = ()) -> Visit:
        """Bring the items that are missing there, and look around.

        Args:
            items: Files that must be there afterwards.
            packages: Packages whose versions the facts shall have.

        Raises:
            DeviceFailed: When it cannot; the message is one line and says what to do.
            DeviceLost: When the connection broke.
        """
        source = REMOTE_AGENT.read_bytes()
        run = f"import sys; exec(sys.stdin.buffer.read({len(source)}))"
        order = {
            "folder": self.folder,
            "keep": self.keep,
            "packages": list(packages),
            "items": [item.listing() for item in items],
        }
        command = self._command(shlex.join((self.python, "-c", run)))
        with tempfile.TemporaryFile() as errors:
            process = _started(command, errors)
            try:
                _send(process, source + json.dumps(order).encode() + b"\n")
                first = self._answer(process, errors)
                for item in items:
                    if item.digest in first["missing"]:
                        for chunk in item.content():
                            _send(process, chunk)
                return Visit(self._answer(process, errors)["folder"], first["facts"])
            finally:
                process.kill()
                process.communicate()

    def _answer(self, process: subprocess.Popen[bytes], errors: IO[bytes]) -> dict[str, Any]:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line:
            code = process.wait()
            errors.seek(0)
            message = errors.read().decode("utf-8", "replace")
            raise ssh_errors.explained(self.name, self.python, code, message)
        try:
            answer: dict[str, Any] = json.loads(line)
        except ValueError:
            printed = line.decode("utf-8", "replace").strip()[:200]
            raise DeviceFailed(
                f"{self.name}: its shell prints {printed!r} before it runs a command; "
                "let its start-up files print to terminals only"
            ) from None
        if "error" in answer:
            raise ssh_errors.refused(self.name, answer["error"])
        return answer

    def _require_performance(self, facts: Mapping[str, Any]) -> None:
        others = [governor for governor in facts["governors"] if governor != "performance"]
        if self.strict and others:
            raise DeviceFailed(
                f"{self.name}: the frequency governor is {', '.join(others)}; set it to "
                "performance there (cpupower frequency-set -g performance), or leave out strict"
            )

    def _command(self, script: str) -> list[str]:
        """The command that runs a POSIX shell script there, whatever the user's own shell is."""
        options = [word for key, value in OPTIONS.items() for word in ("-o", f"{key}={value}")]
        config = ["-F", self.config] if self.config else []
        port = ["-p", str(self.port)] if self.port else []
        return ["ssh", *config, *options, *port, "--", self.host, f"sh -c {shlex.quote(script)}"]


def _options(address: str, given: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """The query of an address as fields of ``SshDevice``."""
    known: dict[str, Any] = {}
    for key, value in given:
        if key in ("keep", "strict") and value in CHOICES:
            known[key] = CHOICES[value]
        elif key in ("python", "folder", "config") and value:
            known[key] = value
        else:
            raise UsageError(
                f"ssh://{address}: cannot use {key}={value}; there are python=, folder=, config=, "
                "keep=yes|no, strict=yes|no"
            )
    return known


def _started(command: Sequence[str], errors: IO[bytes]) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            start_new_session=True,  # Ctrl-C reaches only us, and we end it
        )
    except OSError as error:
        raise DeviceFailed(f"cannot start ssh: {error.strerror}; install openssh-client") from error


def _send(process: subprocess.Popen[bytes], data: bytes) -> None:
    """Write; a process that has died is found out when its answer is missing."""
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError):
        process.stdin.write(data)
        process.stdin.flush()
