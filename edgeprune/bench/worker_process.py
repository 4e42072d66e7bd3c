"""The ``worker`` in a child process, which is never left to hang or to stay behind.

Every answer has a time limit; every way out of a ``with`` block, Ctrl-C included, kills the
process. An error there is raised here as one ``DeviceFailed``.
"""

from __future__ import annotations

import base64
import contextlib
import json
import os
import queue
import signal
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

from edgeprune.artifacts import OperatorTimes
from edgeprune.errors import DeviceFailed, DeviceLost, UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from edgeprune.artifacts import Range

LIMIT_S = 300.0
"""The longest wait for one answer where nobody says; seconds."""


@dataclass(frozen=True, slots=True)
class Ready:
    """The state of a worker once its model is loaded and warm.

    Attributes:
        load_s: Time to load the model into the runtime; seconds.
        first_s: Latency of the first inference; seconds.
        run_s: Median latency of the warm-up; seconds.
        baseline_rss_bytes: Resident memory before the model was loaded.
        idle_rss_bytes: Memory that the loaded model adds.
        load_peak_rss_bytes: Peak memory that it added while it was loaded.
        environment: The machine, as the worker describes it.
    """

    load_s: float
    first_s: float
    run_s: float
    baseline_rss_bytes: int
    idle_rss_bytes: int
    load_peak_rss_bytes: int
    environment: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FinalState:
    """The state of a worker before its process ends.

    Attributes:
        run_peak_rss_bytes: Peak memory that the model added since it was loaded.
        profile_peak_bytes: Peak memory of one inference by the runtime's own count; None where it
            does not count, or was not asked.
        load_average: Load average at the end; None where the system has none.
        clock: Frequency and heat at the end; see ``clock`` in ``worker/machine.py``.
    """

    run_peak_rss_bytes: int
    profile_peak_bytes: int | None
    load_average: tuple[float, ...] | None
    clock: Mapping[str, Any] | None = None


class Worker:
    """A loaded model in a process of its own; a context that kills the process when left.

    Args:
        command: The command that starts ``worker``, on this machine or on another.
        request: The first request; see ``worker/__main__.py``.
        limit_s: The longest wait for one answer, in seconds; None: what the request says.

    Attributes:
        ready: Its state when the model was loaded.

    Raises:
        DeviceFailed: When the worker reports an error, dies or does not answer in time, here and in
            every method; the message is the worker's own, and the process is then gone.
    """

    def __init__(
        self, command: Sequence[str], request: Mapping[str, object], *, limit_s: float | None = None
    ) -> None:
        self._limit_s = float(str(request.get("limit_s", LIMIT_S) if limit_s is None else limit_s))
        self._has_model = "model" in request
        self._answers: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - lives as long as the process
        try:
            # A session of its own: Ctrl-C reaches only us, and we kill it with all it started.
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                encoding="utf-8",
                start_new_session=True,
            )
        except OSError as error:
            self._errors.close()
            raise DeviceFailed(f"cannot start {command[0]}: {error.strerror}") from error
        self._reader = threading.Thread(target=self._read, args=(self._process.stdout,))
        self._reader.daemon = True
        self._reader.start()
        try:
            self.ready = _ready(self._ask({**request, "limit_s": self._limit_s}))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        """Number of the process on this machine."""
        return self._process.pid

    def run(self, n: int) -> tuple[float, ...]:
        """Latencies of ``n`` runs, in seconds."""
        return tuple(self._ask({"run": n})["samples_s"])

    def outputs(self, seed: int, within: Sequence[Range | None] = ()) -> list[NDArray[Any]]:
        """Outputs of the model on inputs drawn with ``seed``, each ``within`` its range if any."""
        answer = self._ask({"outputs": seed, "within": list(within)})
        return [_decoded(output) for output in answer["outputs"]]

    def operators(self, n: int) -> tuple[OperatorTimes, ...] | None:
        """Latencies of each operator in ``n`` runs; None where the runtime does not tell them."""
        told = self._ask({"operators": n})["operators"]
        return told and tuple(OperatorTimes(name, kind, tuple(s)) for name, kind, s in told)

    def instructions(self, n: int) -> tuple[int, ...]:
        """Instructions of each of ``n`` runs; only emulators count them."""
        return tuple(self._ask({"instructions": n})["instructions"])

    def stop(self, *, profile: bool = False) -> FinalState:
        """Let the process end, and return its final state.

        Args:
            profile: Whether the runtime is asked how much memory an inference takes.
        """
        answer = self._ask({"stop": True, "profile": profile})
        self.close()
        load = answer["load_average"]
        return FinalState(
            answer["run_peak_rss_bytes"],
            answer["profile_peak_bytes"],
            None if load is None else tuple(load),
            answer["clock"],
        )

    def close(self) -> None:
        """End the process now, whatever it is doing; harmless when it has ended."""
        if self._process.poll() is None:
            with contextlib.suppress(OSError):
                _kill(self._process)
        self._process.wait()
        self._reader.join(timeout=5)
        for pipe in (self._process.stdin, self._process.stdout, self._errors):
            with contextlib.suppress(OSError):  # what was never read cannot be flushed
                pipe.close()  # type: ignore[union-attr]

    def _ask(self, request: Mapping[str, object]) -> dict[str, Any]:
        assert self._process.stdin is not None
        if self._errors.closed:
            raise DeviceFailed("the worker has ended: start another")
        with contextlib.suppress(OSError, ValueError):  # it has died: no answer will come
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        try:
            line = self._answers.get(timeout=self._limit_s)
        except queue.Empty:
            self.close()
            what = "the model" if self._has_model else "the runtime"
            raise DeviceFailed(
                f"{what} did not answer within {self._limit_s:g} s and was stopped; if it is that "
                "slow, allow more time to measure (--seconds)"
            ) from None
        return self._parsed(line)

    def _parsed(self, line: str) -> dict[str, Any]:
        if not line:
            raise DeviceLost(self._death_message())
        try:
            answer = json.loads(line)
        except ValueError:
            self.close()
            raise DeviceFailed(f"the worker answered {line.strip()[:200]!r}, not JSON") from None
        if "error" in answer:
            self.close()
            kind = UsageError if answer.get("usage") else DeviceFailed
            raise kind(str(answer["error"]))
        return dict(answer)

    def _death_message(self) -> str:
        """The message that says why the process has ended; closes it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=5)
        code = self._process.poll()
        self._errors.seek(0)
        lines = self._errors.read().decode(errors="replace").strip().splitlines()
        self.close()
        last = lines[-1] if lines else "no message"
        how = f"signal {signal.Signals(-code).name}" if code and code < 0 else f"exit code {code}"
        return f"the worker died ({how}): {last[:300]}"

    def _read(self, answers: IO[str]) -> None:
        with contextlib.suppress(OSError, ValueError):
            for line in answers:
                self._answers.put(line)
        self._answers.put("")


def _ready(answer: Mapping[str, Any]) -> Ready:
    try:
        return Ready(**answer)
    except TypeError as error:
        raise DeviceFailed(f"the worker is of another version of edgeprune: {error}") from error


def _kill(process: subprocess.Popen[str]) -> None:
    """Kill the process, and on POSIX whatever it started."""
    if hasattr(os, "killpg"):
        os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def _decoded(output: Mapping[str, Any]) -> NDArray[Any]:
    import numpy as np  # here: comparing latencies needs none

    flat: NDArray[Any] = np.frombuffer(
        base64.b64decode(output["base64"]), np.dtype(output["dtype"])
    )
    return flat.reshape(output["shape"])
