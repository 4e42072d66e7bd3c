"""Builds the system that ``qemu-arm64`` runs: Debian's Python, ONNX Runtime for ARM, a counter.

Nothing of it is installed on this machine, and nothing but downloading needs the network: apt
fetches Debian packages into a private state directory and dpkg-deb unpacks them, pip fetches
wheels for aarch64, gcc compiles the plugin that counts. The folder appears under its name when
all of it works, so an interrupted set-up leaves nothing behind.
"""

from __future__ import annotations

import importlib.metadata
import shutil
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from edgeprune.cache_folder import cache_folder
from edgeprune.drafts import drafting
from edgeprune.errors import DeviceFailed
from edgeprune.whole_folder import place_folder

if TYPE_CHECKING:
    from collections.abc import Sequence

    from edgeprune.artifacts import Progress

LAYOUT = 1
"""Counts up when what is built changes, so that an older folder is not taken for a new one."""

SUITE, PYTHON = "bookworm", "3.11"
"""Debian's release, and the Python that it has."""

KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
NEEDED: dict[str, tuple[str, ...]] = {
    "qemu-aarch64": ("qemu-user",),
    "gcc": ("gcc", "libc6-dev"),
    "apt-get": ("apt",),
    "dpkg-deb": ("dpkg",),
}
"""Programs that the set-up runs, and the Debian packages that have them."""

PLATFORMS = ("manylinux_2_28", "manylinux_2_27", "manylinux_2_17", "manylinux2014")
"""Wheels that the C library of ``SUITE`` can load; newer than 2.28 are not made of these."""

CORE = """\
processor\t: {number}
model name\t: Cortex-A76 (emulated)
BogoMIPS\t: 108.00
Features\t: fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc \
dcpop asimddp
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: 0x4
CPU part\t: 0xd0b
CPU revision\t: 1

"""
"""A Cortex-A76 in /proc/cpuinfo: reading this machine's own there crashes ONNX Runtime."""


@dataclass(frozen=True, slots=True)
class Arm64Root:
    """A finished set-up.

    Attributes:
        folder: The folder with all of its files.
    """

    folder: Path

    @property
    def system(self) -> Path:
        """Root of the Debian files."""
        return self.folder / "system"

    @property
    def packages(self) -> Path:
        """The wheels, unpacked; for PYTHONPATH."""
        return self.folder / "packages"

    @property
    def plugin(self) -> Path:
        """The qemu plugin that counts instructions."""
        return self.folder / "libcount_instructions.so"

    def command(self, *arguments: str) -> list[str]:
        """Runs its Python with ``arguments``, instructions counted."""
        variables = {
            "PYTHONPATH": str(self.packages),
            "PYTHONHASHSEED": "0",  # the order of a set's members is work, and would be counted
            "ORT_DISABLE_TELEMETRY": "1",
        }
        set_ = [word for key, value in variables.items() for word in ("-E", f"{key}={value}")]
        python = str(self.system / f"usr/bin/python{PYTHON}")
        emulator = ["qemu-aarch64", "-cpu", "cortex-a76", "-plugin", str(self.plugin)]
        unset = ["-U", "PYTHONHOME", "-L", str(self.system)]
        return [*emulator, *unset, *set_, python, "-s", "-B", *arguments]


def find() -> Arm64Root:
    """The set-up for this version of ONNX Runtime and of qemu.

    Raises:
        DeviceFailed: When there is none; the message says how to make it.
    """
    if shutil.which("qemu-aarch64") and (folder := _folder()).is_dir():
        return Arm64Root(folder)
    raise DeviceFailed("qemu-arm64 is not set up: run `edgeprune doctor --setup qemu-arm64`")


def build(progress: Progress) -> Arm64Root:
    """Build the system, unless it is there.

    Args:
        progress: Called with the share done and what is being done.

    Raises:
        DeviceFailed: When packages are missing or a step fails; the message names them.
    """
    _require_programs()
    target = _folder()
    if target.is_dir():
        return Arm64Root(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    with drafting(target) as draft:
        made = Arm64Root(draft / "root")
        made.folder.mkdir()
        progress(0.0, "fetching Debian packages")
        _unpack_system(made.system, draft / "apt")
        progress(0.4, "fetching ONNX Runtime")
        _fetch_wheels(made.packages)
        progress(0.9, "compiling the counter")
        _compile_plugin(made)
        with suppress(FileExistsError):  # another set-up was faster: what it made is the same
            place_folder(made.folder, target)
    progress(1.0, str(target))
    return Arm64Root(target)


def missing_packages() -> tuple[str, ...]:
    """The Debian packages that the set-up still needs on this machine."""
    lacking = [names for program, names in NEEDED.items() if not shutil.which(program)]
    keyring = () if KEYRING.is_file() else ("debian-archive-keyring",)
    return (*(name for names in lacking for name in names), *keyring)


def _require_programs() -> None:
    if not shutil.which("apt-get"):
        raise DeviceFailed("qemu-arm64 can be set up on Debian and Ubuntu alone: there is no apt")
    if missing := missing_packages():
        raise DeviceFailed(
            f"setting up qemu-arm64 needs more packages: apt-get install {' '.join(missing)}"
        )


def _folder() -> Path:
    """The folder, named by the versions in it: outputs are compared with the same ONNX Runtime."""
    printed = _run(["qemu-aarch64", "--version"], "asking for the version of qemu")
    emulator = printed.split()[2]
    name = f"{LAYOUT}-{SUITE}-onnxruntime-{_onnxruntime()}-qemu-{emulator}"
    return cache_folder() / "qemu-arm64" / name


def _onnxruntime() -> str:
    return importlib.metadata.version("onnxruntime")


def _unpack_system(system: Path, state: Path) -> None:
    """Fetch and unpack Python with all it needs; no package's script runs."""
    for folder in ("lists/partial", "archives/partial"):
        (state / folder).mkdir(parents=True)
    for folder in ("sources", "preferences"):
        (state / folder).mkdir()
    (state / "status").touch()
    source = f"deb [signed-by={KEYRING}] http://deb.debian.org/debian {SUITE} main\n"
    (state / "sources.list").write_text(source)
    apt = ["apt-get", "-qq", *_apt_options(state)]
    _run([*apt, "update"], "fetching Debian's list of packages")
    wanted = ["python3-minimal", "python3", "libstdc++6"]
    fetch = [*apt, "--yes", "--no-install-recommends", "--download-only", "install"]
    _run([*fetch, *wanted], "fetching Debian packages")
    for package in sorted((state / "archives").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(system)], f"unpacking {package.name}")
    (system / "proc").mkdir(exist_ok=True)
    cores = "".join(CORE.format(number=number) for number in range(4))
    (system / "proc" / "cpuinfo").write_text(cores)


def _apt_options(state: Path) -> list[str]:
    """Let apt know of nothing but ``state``, an empty ARM system."""
    options = {
        "Dir::State": state,
        "Dir::State::status": state / "status",
        "Dir::State::lists": state / "lists",
        "Dir::Cache": state,
        "Dir::Cache::archives": state / "archives",
        "Dir::Etc::SourceList": state / "sources.list",
        "Dir::Etc::SourceParts": state / "sources",
        "Dir::Etc::PreferencesParts": state / "preferences",
        "APT::Architecture": "arm64",
        "APT::Architectures": "arm64",
        "APT::Sandbox::User": "",  # its own user cannot enter a private folder
        "Acquire::Languages": "none",
        "Debug::NoLocking": "true",
    }
    return [word for key, value in options.items() for word in ("-o", f"{key}={value}")]


def _fetch_wheels(packages: Path) -> None:
    platforms = [word for name in PLATFORMS for word in ("--platform", f"{name}_aarch64")]
    abis = [
        word for abi in (f"cp{PYTHON.replace('.', '')}", "abi3", "none") for word in ("--abi", abi)
    ]
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    target = ["--target", str(packages), "--no-compile", "--only-binary=:all:"]
    python = ["--python-version", PYTHON, "--implementation", "cp"]
    wanted = ["numpy", f"onnxruntime=={_onnxruntime()}"]
    _run([*command, *target, *platforms, *python, *abis, *wanted], "fetching wheels for aarch64")


def _compile_plugin(made: Arm64Root) -> None:
    """Compile the counter for the version of the interface that this qemu has, and try it.

    qemu refuses a plugin of another version before it runs anything.
    """
    source = Path(__file__).with_name("count_instructions.c")
    for version in range(1, 10):
        flags = ["-shared", "-fPIC", "-O2", f"-DAPI={version}", "-o", str(made.plugin)]
        _run(["gcc", *flags, str(source)], "compiling the counter")
        with suppress(DeviceFailed):
            _run(made.command("-c", ""), "trying the counter")
            break
    _run(made.command("-c", "import onnxruntime"), "starting ONNX Runtime under emulation")


def _run(command: Sequence[str], doing: str) -> str:
    """Run a step; returns its standard output."""
    try:
        ran = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL)
    except OSError as error:
        raise DeviceFailed(f"qemu-arm64: {doing}: cannot start {command[0]}") from error
    if ran.returncode:
        message = (ran.stderr.strip().splitlines() or [f"exit code {ran.returncode}"])[-1]
        raise DeviceFailed(f"qemu-arm64: {doing} failed: {message[:300]}")
    return ran.stdout
