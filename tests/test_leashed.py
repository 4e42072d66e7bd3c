"""Commands that end with the process that started them, whatever they do."""

import os
import subprocess
import sys

import pytest
from waiting import ended, eventually

from edgeprune.leashed import leashed

ENDLESS = """
import ctypes, os
from pathlib import Path
Path("pid").write_text(str(os.getpid()))
ctypes.PyDLL(None).sleep(600)  # no thread of Python's runs
"""

STARTS = {
    "a command": """
import subprocess
from edgeprune.leashed import leashed
subprocess.run(leashed(ENDLESS, os.getpid()))
""",
    "the simplifier": """
from edgeprune.export.simplify import simplify
simplify(Path("in.onnx"), Path("out.onnx"), command=ENDLESS)
""",
    "a converter": """
import onnx
from edgeprune.bench.runtimes.conversion import converted
class Endless:
    makes = ("nothing",)
    version = lambda self: "1"
    command = lambda self, inputs: list(ENDLESS)
onnx.save(onnx.helper.make_model(onnx.helper.make_graph([], "none", [], [])), "in.onnx")
converted(Path("in.onnx"), "ncnn", Endless())
""",
}


def starting(what, path):
    """A program that starts a process which never ends, and writes its number into ``path``."""
    endless = ENDLESS.replace('Path("pid")', f"Path({str(path)!r})")
    begin = "import os, sys\nfrom pathlib import Path\n"
    return f"{begin}ENDLESS = (sys.executable, '-c', {endless!r})\n{STARTS[what]}"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
@pytest.mark.parametrize("what", STARTS)
def test_what_never_ends_ends_with_its_parent(what, tmp_path):
    pid = tmp_path / "pid"
    command = [sys.executable, "-c", starting(what, pid)]
    kept = os.environ | {"EDGEPRUNE_CACHE": str(tmp_path / "cache")}
    with subprocess.Popen(command, cwd=tmp_path, env=kept) as parent:
        started = eventually(lambda: pid.exists() and pid.read_text())
        parent.kill()
        parent.wait()
    assert started
    assert eventually(lambda: ended(int(pid.read_text())))


def test_a_command_gives_its_own_output_and_exit_code():
    done = subprocess.run(
        leashed([sys.executable, "-c", "print(5); raise SystemExit(7)"], os.getpid()),
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.returncode) == ("5\n", 7)


def test_where_there_is_no_such_program_the_system_says_so():
    with pytest.raises(FileNotFoundError, match="no-such-program"):
        subprocess.run(leashed(["no-such-program"], os.getpid()), check=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such call")
def test_a_command_whose_parent_has_ended_before_does_not_start(tmp_path):
    command = leashed([sys.executable, "-c", "open('ran', 'w')"], parent=1 << 22)
    assert subprocess.run(command, cwd=tmp_path, check=False).returncode == 0
    assert not list(tmp_path.iterdir())
