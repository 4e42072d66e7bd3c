"""Facts about the machine, and the memory of this process; the file stands alone."""

from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import platform
import re
import sys
import time
from pathlib import Path
from typing import Any


class Memory:
    """Resident memory of this process.

    Attributes:
        baseline: Resident bytes when this was created.
        source: "VmHWM", "VmHWM without reset", "ru_maxrss", or "none" where nothing is known.
    """

    def __init__(self) -> None:
        self.baseline = 0
        self.source = "VmHWM" if self.settle() else "VmHWM without reset"
        self.baseline = self.added("VmRSS")

    def added(self, mark: str) -> int:
        """Bytes above the baseline: now ("VmRSS"), or at most since ``settle`` ("VmHWM")."""
        with contextlib.suppress(IndexError, ValueError):
            kib = text_of(Path("/proc/self/status")).split(f"\n{mark}:")[1].split()[0]
            return max(0, int(kib) * 1024 - self.baseline)
        with contextlib.suppress(ImportError):  # Windows has no such module
            import resource

            self.source, unit = "ru_maxrss", 1 if sys.platform == "darwin" else 1024
            return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit - self.baseline
        self.source = "none"
        return 0

    @staticmethod
    def settle() -> bool:
        """Hand freed pages back and forget the peak; False where the peak cannot be reset."""
        gc.collect()
        with contextlib.suppress(AttributeError, OSError, TypeError):  # not glibc
            ctypes.CDLL(None).malloc_trim(0)
        with contextlib.suppress(OSError):
            return bool(Path("/proc/self/clear_refs").write_text("5"))
        return False


def facts() -> dict[str, Any]:
    """Facts about the machine; None for what the system does not say."""
    governors = Path("/sys/devices/system/cpu").glob("cpu[0-9]*/cpufreq/scaling_governor")
    return {
        "machine": platform.machine(),
        "cpu": cpu_name(),
        "cores": len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1,
        "governor": ", ".join(sorted({text_of(path).strip() for path in governors})) or None,
        "os": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load_average": load_average(),
        "clock": clock(),
    }


def clock(system: Path = Path("/sys")) -> dict[str, Any]:
    """Frequency of this process's slowest core, and the margin until heat slows it down.

    Returns:
        "hz", and "margin_c": degrees below the nearest trip point; None where unknown.
    """
    cores = os.sched_getaffinity(0) if sys.platform == "linux" else ()
    cpus = system / "devices" / "system" / "cpu"
    khz = [number(cpus / f"cpu{core}" / "cpufreq" / "scaling_cur_freq") for core in cores]
    margins = []
    for kind in system.glob("class/thermal/thermal_zone*/trip_point_*_type"):
        trip = number(kind.with_name(kind.name.replace("_type", "_temp")))
        now = number(kind.with_name("temp"))
        if text_of(kind).strip() == "passive" and trip and now:
            margins.append((trip - now) / 1000)
    slowest = min(filter(None, khz), default=None)
    return {"hz": slowest and slowest * 1000, "margin_c": min(margins, default=None)}


def number(path: Path) -> int | None:
    """The whole number in a file; None where there is none."""
    with contextlib.suppress(ValueError):
        return int(text_of(path))
    return None


def pinned(threads: int, wanted: list[int] | None) -> list[int] | None:
    """Stay on the cores wanted, or on the idlest, one a thread; None where a system has no such."""
    with contextlib.suppress(AttributeError, OSError):
        cores = wanted or idlest(sorted(os.sched_getaffinity(0)))[:threads]
        os.sched_setaffinity(0, cores)
        return sorted(cores)
    return None


def idlest(cores: list[int]) -> list[int]:
    """The cores, those first that did least in a tenth of a second, the last one in doubt."""
    before = idle_ticks()
    time.sleep(0.1)
    after = idle_ticks()
    return sorted(cores, key=lambda core: (before.get(core, 0) - after.get(core, 0), -core))


def idle_ticks() -> dict[int, int]:
    """The time that each core has been idle, in ticks of the clock; empty where unknown."""
    lines = re.findall(r"^cpu(\d+) \d+ \d+ \d+ (\d+)", text_of(Path("/proc/stat")), re.MULTILINE)
    return {int(core): int(idle) for core, idle in lines}


def cpu_name() -> str:
    """The processor's name, or the board's where the processor does not give one."""
    named = text_of(Path("/proc/cpuinfo")).partition("model name")[2].partition("\n")[0]
    board = text_of(Path("/proc/device-tree/model"))
    return named.strip("\t :") or board.strip("\0\n ") or platform.processor()


def text_of(path: Path) -> str:
    """The file's text; empty when it cannot be read."""
    with contextlib.suppress(OSError):
        return path.read_text(errors="replace")
    return ""


def load_average() -> list[float] | None:
    """Processes that wanted a core over the last 1, 5 and 15 minutes; None where unknown."""
    with contextlib.suppress(AttributeError, OSError):
        return [round(load, 2) for load in os.getloadavg()]
    return None
