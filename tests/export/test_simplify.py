import os
import re
import signal
import subprocess
import sys

import onnx
import pytest
from onnx import TensorProto, helper

from edgeprune.export.simplify import signature, simplify


@pytest.fixture
def source(tmp_path):
    """x → Identity → Relu → y, (batch, 3)."""
    nodes = [helper.make_node("Identity", ["x"], ["i"]), helper.make_node("Relu", ["i"], ["y"])]
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ("batch", 3)) for name in ("x", "y")
    )
    graph = helper.make_graph(nodes, "graph", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "source.onnx")
    return tmp_path / "source.onnx"


def child(script):
    """A simplifier that runs ``script`` with the two paths as ``source`` and ``destination``."""
    prelude = "import sys, onnx; source, destination = sys.argv[1:]\n"
    return (sys.executable, "-c", prelude + script)


def test_a_simplified_file_has_fewer_nodes_and_the_same_signature(source, tmp_path):
    assert simplify(source, tmp_path / "out.onnx") is None
    assert [node.op_type for node in onnx.load(tmp_path / "out.onnx").graph.node] == ["Relu"]
    assert signature(source) == signature(tmp_path / "out.onnx")
    assert signature(source)[0] == [("x", TensorProto.FLOAT, (None, 3))]


@pytest.mark.parametrize(
    ("script", "reason"),
    [
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", r"crashed \(signal 11\)"),
        ("raise RuntimeError('no such operator')", "failed .*RuntimeError: no such operator"),
        ("sys.exit(3)", r"failed \(exit code 3\)"),
        ("open(destination, 'w').write('half a fi')", "left an unreadable file"),
        ("pass", "left an unreadable file"),
        (
            (
                "m = onnx.load(source); d = m.graph.input[0].type.tensor_type.shape.dim[0]\n"
                "d.dim_value = 1; onnx.save(m, destination)"
            ),
            "changed the inputs or outputs",
        ),
        (
            "m = onnx.load(source); m.graph.output[0].name = 'i'; onnx.save(m, destination)",
            "changed the inputs or outputs",
        ),
        (
            "m = onnx.load(source); m.doc_string = 'x' * 99_999; onnx.save(m, destination)",
            "file is larger",
        ),
    ],
)
def test_whatever_goes_wrong_is_a_reason_not_to_use_the_result(source, tmp_path, script, reason):
    before = source.read_bytes()
    answer = simplify(source, tmp_path / "out.onnx", command=child(script))
    assert answer is not None
    assert re.search(reason, answer), answer
    assert source.read_bytes() == before


def test_a_simplifier_that_hangs_is_killed(source, tmp_path):
    script = f"open({str(tmp_path / 'pid')!r}, 'w').write(str(__import__('os').getpid()))\n"
    script += "import time; time.sleep(600)"
    answer = simplify(source, tmp_path / "out.onnx", seconds=2, command=child(script))
    assert answer == "not simplified: the simplifier took longer than 2 s"
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


def test_an_interrupted_simplification_leaves_no_process(source, tmp_path, monkeypatch):
    def interrupted(self, *args, **kwargs):
        raise KeyboardInterrupt

    started = []
    popen_init = subprocess.Popen.__init__

    def remember(self, *args, **kwargs):
        popen_init(self, *args, **kwargs)
        started.append(self)

    monkeypatch.setattr(subprocess.Popen, "__init__", remember)
    monkeypatch.setattr(subprocess.Popen, "communicate", interrupted)
    with pytest.raises(KeyboardInterrupt):
        simplify(source, tmp_path / "out.onnx", command=child("import time; time.sleep(600)"))
    (process,) = started
    assert process.wait(timeout=30) == -signal.SIGKILL
    process.stdout.close()
    process.stderr.close()
