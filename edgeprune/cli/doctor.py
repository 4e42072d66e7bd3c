"""``edgeprune doctor``: requirements of edgeprune, and capabilities of this machine or a device."""

from __future__ import annotations

import json
import platform
import shutil
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from edgeprune import bench
from edgeprune import units as q
from edgeprune.bench import devices
from edgeprune.bench.devices import arm64_root
from edgeprune.choices import Choices
from edgeprune.cli.console import common_options, progress_bar, warn
from edgeprune.cli.rendering import json_option, write_json
from edgeprune.errors import DeviceFailed
from edgeprune.report import environment

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from rich.table import Table


@dataclass(frozen=True, slots=True)
class Package:
    """A requirement of edgeprune, and what is installed; None where nothing is."""

    name: str
    required: str
    installed: str | None
    ok: bool


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """State of this machine; ``ok`` if everything needed is installed."""

    edgeprune: str
    python: str
    packages: tuple[Package, ...]
    machine: str
    os: str
    cpu: str | None
    cores: int | None
    features: dict[str, bool] | None
    governor: str | None
    memory_bytes: int | None
    runtimes: dict[str, str | None]
    devices: dict[str, bool]
    ok: bool


@click.command("doctor")
@json_option("what was found")
@click.option("--device", metavar="ADDRESS", help="Look at one device instead, as ssh://board.")
@click.option("--setup", metavar="NAME", help="Make a device here first: qemu-arm64.")
@common_options
def command(*, json_: Path | None, device: str | None, setup: str | None) -> None:
    """Show versions, CPU features, runtimes and devices; exit code 8 if something is missing."""
    if setup is not None:
        with progress_bar() as stages:
            SETUPS[setup](stages("setup"))
    if device is not None or setup is not None:
        facts = _facts_about(devices.parse(device or str(setup)))
        lines = (f"{key:<12}{value}" for key, value in facts.items())
        if not write_json(json.dumps(facts, indent=2), json_):
            click.echo("\n".join(lines))
        return
    found = diagnose(environment.requirements())
    if not write_json(json.dumps(asdict(found), indent=2), json_):
        click.echo(_as_text(found))
    if not found.ok:
        raise DeviceFailed(_remedy(found))


def diagnose(requirements: Iterable[str] | None) -> Diagnosis:
    """Check this machine.

    Args:
        requirements: Requirements in edgeprune's metadata; None if edgeprune is not installed.

    Returns:
        Installed packages, hardware, runtimes and devices.
    """
    packages = tuple(_packages(requirements or ()))
    runtimes = {name: row.installed() for name, row in bench.RUNTIMES.items()}
    complete = requirements is not None and all(package.ok for package in packages)
    return Diagnosis(
        edgeprune=environment.version(),
        python=platform.python_version(),
        packages=packages,
        machine=platform.machine(),
        os=platform.platform(),
        cpu=environment.cpu_model(),
        cores=environment.cores(),
        features=environment.cpu_features(),
        governor=environment.governor(),
        memory_bytes=environment.memory_bytes(),
        runtimes=runtimes,
        devices={
            "local": any(runtimes.values()),
            "ssh://": shutil.which("ssh") is not None,
            "qemu-arm64": _is_set_up(),
        },
        ok=complete and any(runtimes.values()),
    )


def _is_set_up() -> bool:
    try:
        arm64_root.find()
    except DeviceFailed:
        return False
    return True


def _facts_about(device: devices.Device) -> dict[str, object]:
    """Facts about one device, by name.

    Raises:
        DeviceFailed: The device cannot be reached, is not set up or has no runtime; the message
            says what to do.
    """
    named: dict[str, object] = {"device": device.name}
    if isinstance(device, devices.QemuArm64Device):
        return {**named, "folder": str(arm64_root.find().folder)}
    if not isinstance(device, devices.SshDevice):
        runtimes = {name: row.installed() for name, row in bench.RUNTIMES.items()}
        return {**named, **environment.host(), "packages": _present(runtimes)}
    facts = device.visit(packages=[row.package for row in bench.RUNTIMES.values()]).facts
    present = _present(facts["packages"])
    if not present:
        raise DeviceFailed(
            f"{device.name}: {facts['executable']} there has no runtime; run there: "
            f"{facts['executable']} -m pip install onnxruntime"
        )
    governor = ", ".join(facts["governors"]) or None
    if governor not in (None, "performance"):
        warn(f"{device.name}: the governor {governor} changes the clock; performance does not")
    return {**named, **facts, "governors": governor, "packages": present}


def _present(versions: dict[str, str | None]) -> str:
    return ", ".join(f"{name} {version}" for name, version in versions.items() if version)


def _packages(requirements: Iterable[str]) -> Iterator[Package]:
    """Packages that a plain installation needs, without extras."""
    from packaging.requirements import Requirement

    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = environment.installed(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        yield Package(requirement.name, str(requirement.specifier) or "any", version, fits)


def _remedy(found: Diagnosis) -> str:
    if not found.packages:
        return (
            "edgeprune runs from its source and is not installed, so what it needs is unknown; "
            "pip install it"
        )
    wanted = [package for package in found.packages if not package.ok]
    if not wanted:
        return f"no runtime is installed; pip install one of {', '.join(found.runtimes)}"
    pinned = " ".join(f"'{p.name}{p.required}'" for p in wanted)
    return f"{len(wanted)} packages are missing or too old or new; pip install {pinned}"


def _as_text(found: Diagnosis) -> str:
    from rich.console import Console

    console = Console(force_terminal=True)
    with console.capture() as captured:
        console.print(_package_table(found))
        for name, value in _machine(found):
            console.print(f"{name:<10}{value}", markup=False, highlight=False, soft_wrap=True)
    return captured.get().rstrip("\n")


def _package_table(found: Diagnosis) -> Table:
    from rich.table import Table

    table = Table(title=f"edgeprune {found.edgeprune}", title_justify="left")
    for heading in ("package", "needed", "installed", ""):
        table.add_column(heading)
    for package in found.packages:
        verdict = "[green]ok[/]" if package.ok else "[bold red]missing[/]"
        if package.installed and not package.ok:
            verdict = "[bold red]does not fit[/]"
        table.add_row(package.name, package.required, package.installed or q.UNKNOWN, verdict)
    return table


def _machine(found: Diagnosis) -> Iterator[tuple[str, str]]:
    yield "Python", found.python
    yield "system", found.os
    yield "CPU", f"{found.cpu or 'unknown'}, {found.machine}, {found.cores or 'unknown'} cores"
    yield "features", _features(found.features)
    yield "governor", found.governor or "unknown"
    yield "memory", q.size(found.memory_bytes)
    for name, version in found.runtimes.items():
        missing = f"not installed: {bench.RUNTIMES[name].install}"
        yield "runtime", f"{name} {version or missing}"
    for name, usable in found.devices.items():
        yield "device", f"{name} {'can be used' if usable else UNUSABLE[name]}"


def _features(features: dict[str, bool] | None) -> str:
    if features is None:
        return "unknown"
    return ", ".join(name for name, there in features.items() if there) or "none of those known"


SETUPS = Choices("device to set up", {"qemu-arm64": arm64_root.build})
"""Devices that ``--setup`` can make."""

UNUSABLE = {
    "local": "has no runtime",
    "ssh://": "needs the OpenSSH client: install openssh-client",
    "qemu-arm64": "is not set up: edgeprune doctor --setup qemu-arm64",
}
"""Reason, by device, why it cannot be used."""
