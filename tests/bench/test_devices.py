"""Devices by name, and what they measure."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune import bench
from edgeprune.bench import instructions
from edgeprune.bench.devices import LocalDevice, QemuArm64Device, SshDevice, parse
from edgeprune.bench.devices.transfer import packed
from edgeprune.errors import UsageError

WORDS = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1).filter(lambda w: w[0] != "-")


def test_names_without_an_address():
    assert parse("local") == LocalDevice()
    assert parse("qemu-arm64") == QemuArm64Device()


def test_only_an_emulator_measures_instructions():
    found = {name: parse(name).measures for name in ("local", "ssh://board", "qemu-arm64")}
    assert found == {"local": "latency", "ssh://board": "latency", "qemu-arm64": "instructions"}


def test_two_models_are_compared_in_the_quantity_that_the_device_measures():
    assert instructions.comparing_on(QemuArm64Device()) is instructions.compare
    assert instructions.comparing_on(LocalDevice()) is bench.compare


@given(user=st.none() | WORDS, host=WORDS, port=st.none() | st.integers(1, 65535))
def test_the_address_of_a_machine_is_its_name(user, host, port):
    address = f"ssh://{user + '@' if user else ''}{host}{f':{port}' if port else ''}"
    device = parse(address)
    assert isinstance(device, SshDevice)
    assert device.name == address
    assert device.port == port


def test_what_follows_a_question_mark_are_settings():
    device = parse("ssh://pi@board:2222?python=/opt/py/bin/python3&folder=/data&keep=no&strict=yes")
    assert device == SshDevice(
        "pi@board", 2222, python="/opt/py/bin/python3", folder="/data", keep=False, strict=True
    )


@pytest.mark.parametrize("name", ["abacus", "", "ssh", "sshh://board", "LOCAL"])
def test_an_unknown_kind_lists_those_there_are(name):
    with pytest.raises(UsageError, match="local, ssh://, qemu-arm64"):
        parse(name)


@pytest.mark.parametrize(
    "address",
    ["local://x", "qemu-arm64://x", "ssh://", "ssh://pi@", "ssh://board:port", "ssh://board:99999",
     "ssh://board/folder", "ssh://-oProxyCommand=reboot", "ssh://board?python=",
     "ssh://board?keep=perhaps", "ssh://board?colour=red"],
)  # fmt: skip
def test_an_address_that_cannot_be_is_refused(address):
    with pytest.raises(UsageError, match=r"address|ssh://"):
        parse(address)


def test_the_digest_of_an_item_depends_on_all_that_is_in_it(tmp_path):
    def made(folder, **content):
        (tmp_path / folder / "model").mkdir(parents=True)
        for name, text in content.items():
            (tmp_path / folder / "model" / name).write_text(text)
        return packed(tmp_path / folder / "model")

    first = made("a", x="1", y="2")
    assert made("b", y="2", x="1").digest == first.digest
    others = [made("c", x="1", z="2"), made("d", x="1", y="3"), made("e", x="12", y="")]
    assert len({first.digest, *(other.digest for other in others)}) == 4
    assert b"".join(first.content()) == b"12"
    assert [name for name, _, _ in first.files] == ["model/x", "model/y"]


def test_an_item_that_cannot_be_read_is_an_error(tmp_path):
    with pytest.raises(UsageError, match="absent"):
        packed(tmp_path / "absent")
