"""Bad input ends in one line with its exit code, within bounds, and is never called a bug."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import zoo
from invocation import CHAIN_SHAPE, edgeprune
from report_examples import full
from torch import nn
from waiting import ended, eventually

from edgeprune.bench import worker
from edgeprune.blueprint import file as stored_networks
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.report.files import as_dict, decode, save
from edgeprune.sound_modules import require_sound
from edgeprune.text_file import read_bytes


@pytest.mark.parametrize(
    ("flags", "named"),
    [
        (("--std", "0,0,0"), "--std"),
        (("--std", "1,nan,1"), "--std"),
        (("--std", "1e-320"), "--std"),
        (("--mean", "inf"), "--mean"),
        (("--mean", "1e300"), "--mean"),
        (("--unit", "9" * 400), "--unit"),
        (("--unit", "٣"), "--unit"),
        (("--input", "1x" + "9" * 5000), "--input"),
    ],
)
def test_numbers_that_cannot_be_meant_name_their_flag(
    flags: tuple[str, str], named: str, chain: Path
) -> None:
    ran = edgeprune(
        "inspect", chain, *(("--input", CHAIN_SHAPE) if named != "--input" else ()), *flags
    )
    assert ran.code == 2
    assert ran.error.startswith(f"error: {named}")
    assert len(ran.error) < 600


@pytest.mark.parametrize("value", ["-1", "9" * 30, "nan", "x"])
@pytest.mark.parametrize("flag", ["--seed", "--threads"])
def test_numbers_have_a_range(flag: str, value: str, chain: Path, tmp_path: Path) -> None:
    ran = edgeprune("compress", chain, flag, value, "-o", tmp_path / "run")
    assert ran.code == 2
    assert flag in ran.err
    assert not (tmp_path / "run").exists()


def test_an_error_is_no_longer_than_one_reads(tmp_path: Path) -> None:
    ran = edgeprune("check", tmp_path, "--fail-if", "x" * 100_000)
    assert ran.code == 2
    assert len(ran.err) < 1200


def test_an_address_that_is_none_is_named() -> None:
    ran = edgeprune("doctor", "--device", "ssh://[::1")
    assert ran.code == 2
    assert "ssh://[::1" in ran.error


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]\n", "no aliases"),
        ("macs: !!timestamp x\n", "no tags"),
        ("macs: !!bool x\n", "no tags"),
        ("!!python/object/apply:os.getcwd []\n", "no tags"),
        ("trust: " + "[" * 5000, "not YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        ("- 1\n", "one setting a line"),
    ],
)
def test_a_recipe_is_small_and_plain(text: str | bytes, what: str, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.yaml"
    recipe.write_bytes(text if isinstance(text, bytes) else text.encode())
    ran = edgeprune("compress", "nothing.pt", "--recipe", recipe)
    assert ran.code == 2
    assert what in ran.error


@pytest.mark.parametrize(
    "value", [5, 0.5, -1, True, [], [5], {}, {"a": 1}, [[1]], "x", "2001-01-01"]
)
def test_a_setting_of_any_kind_is_taken_or_refused(
    value: object, chain: Path, pruned_chain: Path, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.yaml"
    settings = ("macs", "importance", "unit", "seed", "keep", "input", "mean", "dynamic-batch")
    for key in settings:
        recipe.write_text(f"{key}: {json.dumps(value).strip(chr(34))}\n")
        flags = () if key == "input" else ("--input", CHAIN_SHAPE)
        ran = edgeprune("compress", chain, "--recipe", recipe, "--dry-run", *flags)
        assert ran.code in (0, 2, 5, 6)
    run = tmp_path / "run"
    shutil.copytree(pruned_chain, run)
    for key in ("model", "input", "mean"):
        plain = {"model": str(chain), "input": [CHAIN_SHAPE]} | {key: value}
        (run / "recipe.yaml").write_text(json.dumps(plain))
        assert edgeprune("recover", run, "--recover", "nm", "-o", tmp_path / "new").code in (
            0,
            2,
            4,
        )


def test_what_has_no_end_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "large").write_bytes(b"12345")
    for path in (tmp_path / "pipe", Path("/dev/zero"), tmp_path):
        with pytest.raises(UsageError, match="not a regular file"):
            read_bytes(path, "the plan")
    with pytest.raises(UsageError, match="larger than"):
        read_bytes(tmp_path / "large", "the plan", limit=4)
    with pytest.raises(UsageError, match="No such file"):
        read_bytes(tmp_path / "missing", "the plan")
    for command in (("check",), ("compress", "x.pt", "--recipe"), ("inspect",), ("bench",)):
        assert edgeprune(*command, tmp_path / "pipe").code in (2, 4)
    assert edgeprune("inspect", "/dev/zero").code == 4


@pytest.mark.parametrize("data", [b"\xff", b"[" * 100_000, b"{}", b"null", b""])
def test_a_report_that_is_none_is_a_usage_error(data: bytes, tmp_path: Path) -> None:
    (tmp_path / "report.json").write_bytes(data)
    assert edgeprune("check", tmp_path / "report.json").code == 2


def test_a_network_that_contains_itself_is_refused(tmp_path: Path) -> None:
    network = nn.Sequential(nn.ReLU(), nn.Sequential())
    network[1]._modules["again"] = network
    with pytest.raises(ModelRefused, match="contains itself"):
        require_sound(network, "it")
    torch.save(network, tmp_path / "cycle.pt")
    assert edgeprune("inspect", tmp_path / "cycle.pt", "--input", CHAIN_SHAPE).code == 4


def test_a_layer_used_in_many_places_is_no_cycle() -> None:
    first = nn.ReLU()
    shared: nn.Module = first
    for _ in range(60):  # 2⁶⁰ ways lead to the first
        shared = nn.Sequential(shared, shared)
    require_sound(shared, "it")
    first._modules["again"] = shared
    with pytest.raises(ModelRefused, match="contains itself"):
        require_sound(shared, "it")


@pytest.mark.parametrize("place", ["_modules", "_parameters", "_buffers"])
def test_a_module_without_its_parts_is_refused(place: str, tmp_path: Path) -> None:
    network = zoo.build("chain")
    vars(network[0])[place] = None
    torch.save(network, tmp_path / "broken.pt")
    ran = edgeprune("inspect", tmp_path / "broken.pt", "--input", CHAIN_SHAPE)
    assert ran.code == 4
    assert "is damaged" in ran.error


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EFBIG])
def test_a_disk_that_takes_no_more_is_named_whatever_stage_it_meets(
    number: int, chain: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_tensors: object, path: Path, *_: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(stored_networks.tensor_file, "save_file", full)
    ran = edgeprune("prune", chain, "--input", CHAIN_SHAPE, "-o", tmp_path / "run")
    assert ran.code == 2
    assert os.strerror(number) in ran.error
    assert "compressed.safetensors" in ran.error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("number", [2**63, -(10**30)])
def test_a_report_with_a_number_that_is_no_figure_is_refused(number: int, tmp_path: Path) -> None:
    content = as_dict(full()) | {"seed": number}
    (tmp_path / "report.json").write_text(json.dumps(content))
    ran = edgeprune("check", tmp_path / "report.json", "--write", "html", tmp_path / "page.html")
    assert ran.code == 2
    assert "digits" in ran.error
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize("closed", [(2,), (0, 2), (0, 1, 2)])
def test_a_missing_stream_is_no_failure(closed: tuple[int, ...], tmp_path: Path) -> None:
    """As under cron; what is opened next does not get the stream's number."""
    save(full(), tmp_path / "report.json")
    command = [sys.executable, "-m", "edgeprune", "check", str(tmp_path / "report.json")]
    flags = ["--fail-if", "macs.ratio > 2", "--write", "json", str(tmp_path / "copy.json")]
    ran = subprocess.run(
        [*command, *flags],
        stdout=subprocess.PIPE,
        text=True,
        preexec_fn=lambda: [os.close(number) for number in closed],
        check=False,
    )
    assert ran.returncode == 0
    assert ("passed" in ran.stdout) == (1 not in closed)
    assert decode(tmp_path / "copy.json").gates[0].passed


class Raising(nn.Module):
    """Raises whatever it was told to, when it runs."""

    def __init__(self, error: str) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 16, 3)
        self.error = error

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        raise RAISED[self.error]


class Silent(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError


class Stubborn(BaseException):
    """Passes through handlers of Exception."""


RAISED: dict[str, BaseException] = {
    "exit": SystemExit(0),
    "stubborn": Stubborn("no"),
    "generator": GeneratorExit(),
    "memory": MemoryError(),
    "recursion": RecursionError("deep"),
    "silent": Silent(),
    "empty": Exception(),
    "lines": Exception("\n\none\ntwo"),
    "foreign": UnicodeDecodeError("utf-8", b"x", 0, 1, "bad"),
    "ours": ModelRefused("as if it were ours"),
    "os": OSError(5, "Input/output error"),
    "assertion": AssertionError(),
}


@pytest.mark.parametrize("error", RAISED)
@pytest.mark.parametrize("command", ["inspect", "export"])
def test_whatever_a_networks_forward_raises_is_its_fault(
    command: str, error: str, tmp_path: Path
) -> None:
    torch.save(Raising(error), tmp_path / "raising.pt")
    output = ("-o", tmp_path / "out") if command == "export" else ()
    flags = ("--input", CHAIN_SHAPE, "--allow", __name__, *output)
    ran = edgeprune(command, tmp_path / "raising.pt", *flags)
    assert ran.code in (2, 4, 5)
    assert len(ran.error.splitlines()) <= 2
    assert not (tmp_path / "out").exists()


ENDLESS = """
from pathlib import Path

class Adapter:
    def __init__(self, threads):
        Path(__file__).with_name("busy").touch()
        while True:
            pass
"""


def test_a_worker_that_never_answers_ends_with_its_parent(tmp_path: Path) -> None:
    """The parent is killed; nobody tells the worker, and it listens to nobody."""
    (tmp_path / "endless_adapter.py").write_text(ENDLESS)
    request = {"runtime": "endless", "adapter": str(tmp_path / "endless_adapter.py"), "model": "x"}
    program = (
        "import subprocess, sys, time;"
        f"child = subprocess.Popen([sys.executable, {str(Path(worker.__file__).parent)!r}],"
        " stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True);"
        f"child.stdin.write({json.dumps(request)!r} + chr(10)); child.stdin.flush();"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        assert eventually((tmp_path / "busy").exists)
        assert not ended(child)
        parent.send_signal(signal.SIGKILL)
        parent.wait()
    assert eventually(lambda: ended(child))
