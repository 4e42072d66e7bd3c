"""``torchrun -m edgeprune``: processes recover together, the first alone writes and speaks."""

from __future__ import annotations

from pathlib import Path

import torch
import zoo
from invocation import CHAIN_SHAPE, QUICK
from torchrun import torchrun
from two_compressors import EACH, compressed

SCRIPT = Path(__file__).with_name("two_compressors.py")


def test_two_processes_write_one_run_and_speak_with_one_voice(tmp_path: Path) -> None:
    layers = zoo.conv_bn(3, 8, stride=2), zoo.conv_bn(8, 8), zoo.head(8)
    torch.save(torch.nn.Sequential(*layers).eval(), tmp_path / "net.pt")
    flags = (*QUICK, "--recover", "supervise", "--budget-time", "3s", "--input", "1x3x8x8")
    flags += ("--mean", "0", "--std", "1")
    ran = torchrun("-m", "edgeprune", "compress", "net.pt", *flags, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    assert ran.stdout.count("\nnext  ") == 1
    messages = [line.split("] ")[-1] for line in ran.stderr.splitlines()]
    assert messages == [
        *("loading PyTorch…", "trace", "count", "prune", "recover", "save", "compare outputs"),
        *("export original", "export compressed", "wrote runs/net"),
    ]
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["net"]


def test_an_error_that_all_meet_is_told_once(tmp_path: Path) -> None:
    torch.save(zoo.build("chain"), tmp_path / "net.pt")
    flags = ("--input", CHAIN_SHAPE, "--macs", "1%")
    ran = torchrun("-m", "edgeprune", "compress", "net.pt", *flags, folder=tmp_path)
    assert ran.returncode != 0
    assert ran.stderr.count("error: ") == 1
    assert "exitcode  : 6" in ran.stderr
    assert "exitcode  : 1 " not in ran.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["net.pt"]


def test_two_processes_recover_like_one_with_twice_the_batch(tmp_path: Path) -> None:
    ran = torchrun(SCRIPT, tmp_path, folder=tmp_path)
    assert ran.returncode == 0, ran.stderr
    first, second = (torch.load(tmp_path / f"rank{rank}.pt") for rank in (0, 1))
    reports = ["report.html", "report.json", "report.md"]
    assert first["files"] == ["compressed.safetensors", "plan.json", *reports]
    assert not Path(second["directory"]).exists()
    torch.set_num_threads(1)
    alone = compressed(2 * EACH, tmp_path / "alone").compressed.module.state_dict()
    for name, wanted in alone.items():
        torch.testing.assert_close(first["weights"][name], wanted, rtol=1e-4, atol=1e-5, msg=name)
        assert torch.equal(first["weights"][name], second["weights"][name]), name
