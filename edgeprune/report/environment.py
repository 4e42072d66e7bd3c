"""The machine and the packages that figures were made with.

Linux has most of it in /proc and /sys; what a system does not provide is None, never a guess.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import os
import platform
import re
from pathlib import Path

FEATURES: dict[str, tuple[str, ...]] = {
    "avx2": ("avx2",),
    "avx512f": ("avx512f",),
    "vnni": ("avx512_vnni", "avx_vnni"),
    "amx": ("amx_tile", "amx_int8"),
    "neon": ("asimd", "neon"),
    "dotprod": ("asimddp",),
}
"""CPU features that inference kernels choose by, and the names Linux has for each."""


def version() -> str:
    """The version of edgeprune, or "unknown" where it runs without being installed."""
    return installed("edgeprune") or "unknown"


def installed(package: str) -> str | None:
    """The version of an installed distribution; None when there is none."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def requirements() -> tuple[str, ...] | None:
    """The requirements of edgeprune, extras included; None where it is not installed."""
    try:
        return tuple(importlib.metadata.requires("edgeprune") or ())
    except importlib.metadata.PackageNotFoundError:
        return None


def packages() -> dict[str, str]:
    """Versions of the packages a run depends on, those that are installed."""
    found = {name: installed(name) for name in ("edgeprune", *_REPORTED)}
    return {name: number for name, number in found.items() if number is not None}


def host() -> dict[str, object]:
    """This machine under the keys of report.json's ``environment``."""
    return {
        "machine": platform.machine(),
        "cpu": cpu_model(),
        "cores": cores(),
        "governor": governor(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "packages": packages(),
    }


def cpu_model(cpuinfo: str | None = None) -> str | None:
    """The name of the CPU, or of the board where only that is known."""
    text = _text("/proc/cpuinfo") if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:model name|Model|Hardware)\s*:\s*(.+)$", text, re.MULTILINE)
    board = _text("/proc/device-tree/model").strip("\0\n") if cpuinfo is None else ""
    return found[1].strip() if found else board or platform.processor() or None


def cpu_features(cpuinfo: str | None = None) -> dict[str, bool] | None:
    """Which of ``FEATURES`` the CPU has; None where the system does not list them."""
    text = _text("/proc/cpuinfo") if cpuinfo is None else cpuinfo
    found = re.search(r"^(?:flags|Features)\s*:\s*(.+)$", text, re.MULTILINE)
    if not found:
        return None
    flags = set(found[1].split())
    return {name: any(flag in flags for flag in flags_of) for name, flags_of in FEATURES.items()}


def cores() -> int | None:
    """How many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count()


def governor() -> str | None:
    """The frequency governor of the first core."""
    return _text("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").strip() or None


def memory_bytes() -> int | None:
    """The machine's memory."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def _text(path: str) -> str:
    with contextlib.suppress(OSError):
        return Path(path).read_text(encoding="utf-8", errors="replace")
    return ""


_REPORTED = ("torch", "torchvision", "onnx", "onnxruntime", "onnxsim", "numpy")
