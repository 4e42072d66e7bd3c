"""Where a model is measured: a device starts ``worker`` there and talks to it.

    local.py       this machine
    ssh.py         another one, with nothing but Python and the runtime; remote_agent.py
                   runs there, transfer.py is how files get there
    qemu_arm64.py  an emulated ARM processor, which counts instructions instead of time;
                   arm64_root.py builds what it runs, count_instructions.c does the counting

A device is anything with a ``name``, the quantity that it ``measures``, and ``start(request)``,
which copies the worker, the adapter and the model if it must, replaces their paths in the request
by those on the device, and returns a ``Worker`` that it reaches through a command of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, Protocol, runtime_checkable

from edgeprune.bench.devices.local import LocalDevice
from edgeprune.bench.devices.qemu_arm64 import QemuArm64Device
from edgeprune.bench.devices.ssh import SshDevice
from edgeprune.choices import Choices
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from edgeprune.bench.worker_process import Worker

__all__ = [
    "DEVICES",
    "Device",
    "LocalDevice",
    "QemuArm64Device",
    "ReachableDevice",
    "SshDevice",
    "parse",
]


class Device(Protocol):
    """A machine that can run ``worker``."""

    @property
    def name(self) -> str:
        """Name in reports."""

    @property
    def measures(self) -> Literal["latency", "instructions"]:
        """The quantity that it measures: time, or instructions where time means nothing."""

    def start(self, request: Mapping[str, object]) -> Worker:
        """Load ``request["model"]``, a file or a directory, in a fresh process there.

        Raises:
            DeviceFailed: When the device, the runtime or the model fails; ``DeviceLost`` when it
                was the connection.
        """


@runtime_checkable
class ReachableDevice(Device, Protocol):
    """A device that can be tried before long work; one of your own need not be."""

    def reach(self, request: Mapping[str, object]) -> None:
        """Find out whether ``start`` will work: a request without a model.

        Raises:
            UsageError: When it does not do what is asked.
            DeviceFailed: When the device or the runtime is not there.
        """


def parse(text: str) -> Device:
    """The device that a user names: ``local``, ``ssh://user@host:22?python=/path``, ….

    Raises:
        UsageError: When no device is of that kind (lists those that are), or the address is wrong.
    """
    kind, separator, address = text.partition("://")
    return DEVICES[kind + separator](address)


def _without_address(device: Callable[[], Device]) -> Callable[[str], Device]:
    """A function that makes ``device``, which takes no address."""

    def make(address: str) -> Device:
        if address:
            raise UsageError(f"{device().name} takes no address, not {address!r}")
        return device()

    return make


DEVICES: Choices[Callable[[str], Device]] = Choices(
    "device",
    {
        "local": _without_address(LocalDevice),
        "ssh://": SshDevice.parse,
        "qemu-arm64": _without_address(QemuArm64Device),
    },
)
"""The part of an address up to ``://``, and the function that makes the device from the rest."""
