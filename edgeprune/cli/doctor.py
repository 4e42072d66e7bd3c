"""``edgeprune doctor``: is everything here that edgeprune needs, and what can this machine do?"""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import click

from edgeprune import bench
from edgeprune.cli.console import common_options
from edgeprune.errors import DeviceFailed
from edgeprune.report import environment
from edgeprune.report import quantities as q

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

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
    """What was found; ``ok`` when everything needed is there."""

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
@click.option("--json", "as_json", is_flag=True, help="Print what was found as JSON.")
@common_options
def command(*, as_json: bool) -> None:
    """Show versions, CPU features, runtimes and devices; exit code 8 if something is missing."""
    found = diagnose(environment.requirements())
    click.echo(json.dumps(asdict(found), indent=2) if as_json else _as_text(found))
    if not found.ok:
        raise DeviceFailed(_remedy(found))


def diagnose(requirements: Iterable[str] | None) -> Diagnosis:
    """Look at this machine.

    Args:
        requirements: Of edgeprune, as its metadata has them; None where it is not installed.
    """
    packages = tuple(_packages(requirements or ()))
    runtimes = {name: _runtime(name) for name in bench.RUNTIMES}
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
        devices={"local": any(runtimes.values())},
        ok=complete and any(runtimes.values()),
    )


def _packages(requirements: Iterable[str]) -> Iterator[Package]:
    """Those that a plain installation needs, extras left out."""
    from packaging.requirements import Requirement

    for text in requirements:
        requirement = Requirement(text)
        if requirement.marker and not requirement.marker.evaluate({"extra": ""}):
            continue
        version = environment.installed(requirement.name)
        fits = version is not None and requirement.specifier.contains(version, prereleases=True)
        yield Package(requirement.name, str(requirement.specifier) or "any", version, fits)


def _runtime(name: str) -> str | None:
    """The version of a runtime; None when it is not installed or does not start."""
    try:
        started = bench.RUNTIMES[name](1)
    except Exception:  # whatever a broken installation raises
        return None
    return str(started.packages[name])


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
    with console.capture() as drawn:
        console.print(_package_table(found))
        for name, value in _machine(found):
            console.print(f"{name:<10}{value}", markup=False, highlight=False, soft_wrap=True)
    return drawn.get().rstrip("\n")


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
        yield "runtime", f"{name} {version or 'not installed'}"
    for name, reachable in found.devices.items():
        yield "device", f"{name} {'reachable' if reachable else 'has no runtime'}"


def _features(features: dict[str, bool] | None) -> str:
    if features is None:
        return "unknown"
    return ", ".join(name for name, there in features.items() if there) or "none of those known"
