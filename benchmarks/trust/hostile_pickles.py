"""Pickles that call, name, nest or swell: every opcode that acts, on every name that is dangerous.

The payload of each makes a file in the canary folder.
"""

from __future__ import annotations

import io
import pickle
import struct
import sys
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from sandbox import Case

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "tests"))

import pickles_by_hand as by_hand  # found beside the tests
from pickles_by_hand import imported, text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KIND = "pickles"

CALLS = (
    *("os.system", "posix.system", "os.popen", "subprocess.getoutput", "subprocess.call"),
    *("subprocess.Popen", "subprocess.run", "subprocess.check_output", "commands.getoutput"),
    *("pty.spawn", "os.execlp", "os.spawnlp", "platform.popen", "asyncio.create_subprocess_shell"),
    *("webbrowser.open", "ctypes.CDLL", "torch.utils.cpp_extension.load", "torch.hub.load"),
    *("torch.load", "torch.jit.load", "torch.ops.load_library", "torch.classes.load_library"),
    *("numpy.load", "pickle.loads", "_pickle.loads", "marshal.loads", "shelve.open"),
)
"""Given a shell command, a path or bytes."""

EVALUATIONS = (
    *("builtins.exec", "builtins.eval", "__builtin__.eval", "builtins.compile", "code.interact"),
    *("timeit.timeit", "cProfile.run", "profile.run", "pdb.run", "trace.Trace", "bdb.Bdb.run"),
    *("torch.fx.graph_module._exec_with_source", "torch.jit.CompilationUnit", "doctest.debug_src"),
    *("runpy._run_code", "numpy.testing._private.utils.runstring", "torch.fx.Tracer"),
    *("torch._dynamo.guards.CheckFunctionManager", "torch.fx.graph_module.reduce_graph_module"),
)
"""Given Python's source."""

WAYS: dict[str, Callable[[str, str, bytes], bytes]] = {
    "REDUCE": lambda m, n, a: imported(m, n) + b"(" + a + b"tR",
    "STACK_GLOBAL": lambda m, n, a: text(m) + text(n) + b"\x93(" + a + b"tR",
    "INST": lambda m, n, a: b"(" + a + f"i{m}\n{n}\n".encode(),
    "OBJ": lambda m, n, a: b"(" + imported(m, n) + a + b"o",
    "NEWOBJ": lambda m, n, a: imported(m, n) + b"(" + a + b"t\x81",
    "NEWOBJ_EX": lambda m, n, a: imported(m, n) + b"(" + a + b"t}\x92",
    "memo": lambda m, n, a: imported(m, n) + b"q\x050h\x05(" + a + b"tR",
    "BUILD": lambda m, n, a: _module() + _state(imported(m, n)) + a + b"b",
}

NAMES = (
    *("torch.nn.modules.os system", "torch.nn.modules.module.torch.os system"),
    *("torch.nn Module.__init__.__globals__", "torch.nn.modules.conv Conv2d.__init__.__globals__"),
    *("torch.nn.modules.module Module.__class__.__subclasses__", "torch.nn os", "torch os.system"),
    *("torch.nn.functional torch.os.system", "torch.nn.functional handle_torch_function"),
    *("torch.nn.functional _verify_batch_size", "torch.nn.functional importlib.import_module"),
    *("torchvision.models get_model", "torchvision.models._api get_model"),
    *("torchvision.models resnet18", "torchvision.ops misc.torch.os.system"),
    *("torch.nn.modules.lazy LazyModuleMixin", "torch.jit._script RecursiveScriptModule"),
    *("torch.fx.graph_module GraphModule", "torch.export.unflatten InterpreterModule"),
    *("torch.nn.modules.module register_module_forward_hook", "torch._utils _rebuild_wrapper"),
    *("torch._tensor _rebuild_from_type_v2", "torch.nn.parameter UninitializedParameter"),
    *(
        "builtins\x00 exec",
        "ｂｕｉｌｔｉｎｓ exec",
        "os\x1b]0;x\x07 system",
        "../os system",
        " os system",
    ),
    *("torch.serialization add_safe_globals", "edgeprune.cli main", "edgeprune.loading load"),
    *(
        "__main__ Evil",
        "torch.nn.modules.container Sequential.__reduce__",
        "torch.nn.Module __new__",
    ),
)


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Write the files, and say what takes them."""
    folder = work / "pickles"
    folder.mkdir()
    for number, (name, program) in enumerate(_programs(str(canary / "ran"))):
        path = folder / f"{number}.pt"
        (_older if name.startswith("older") else by_hand.archive)(path, program)
        at = str(path.relative_to(work))
        yield Case(name, (("inspect", at), ("compress", at, "--dry-run")))
    for name, content in _shapes():
        path = folder / f"{name}.pt"
        path.write_bytes(content)
        yield Case(name, (("inspect", str(path.relative_to(work))),))


def _programs(marker: str) -> Iterator[tuple[str, bytes]]:
    shell, source = text(f"touch {marker}"), text(f"open({marker!r}, 'w')")
    for targets, argument in ((CALLS, shell), (EVALUATIONS, source)):
        for target in targets:
            module, _, name = target.rpartition(".")
            for way, write in WAYS.items():
                yield f"{way} {target}", write(module, name, argument)
            yield f"older {target}", WAYS["REDUCE"](module, name, argument)
    for target in NAMES:
        module, _, name = target.rpartition(" ")
        for way in ("REDUCE", "STACK_GLOBAL"):
            yield f"name {target!r} {way}", WAYS[way](module, name, shell)
    for name, program in _bombs():
        yield name, program


def _bombs() -> Iterator[tuple[str, bytes]]:
    """Programs that call nothing and grow, nest or never fit."""
    yield "a million marks", b"(" * 1_000_000
    yield "deep lists", b"]" * 300_000 + b"a" * 299_999
    yield "doubled tuples", b")" + b"\x85" + b"2\x86" * 60
    yield "doubled lists", b"](l" + b"(22l" * 40
    yield "a list in itself", b"]q\x00h\x00a"
    yield "a dictionary in itself", b"}q\x00" + text("x") + b"h\x00s"
    yield "a huge number", b"\x8b" + struct.pack("<i", 2**31 - 1) + b"\x01"
    yield "a negative length", b"\x8b" + struct.pack("<i", -1)
    yield "a huge text", b"\x8d" + struct.pack("<Q", 2**62) + b"x"
    yield "a huge frame", b"\x95" + struct.pack("<Q", 2**63) + b"N"
    yield "a memo far away", b"Nr" + struct.pack("<I", 2**32 - 1)
    yield "nothing on the stack", b"R"
    yield "an extension", b"\x82\x01"
    yield "a persistent name", b"Pos.system\n"
    yield "a buffer out of band", b"\x97"
    yield "digits without end", b"I" + b"9" * 400_000 + b"\n"
    ordered = by_hand.name("collections.OrderedDict")
    yield "an ordered dictionary of a huge list", ordered + b"(" + b"N" * 200_000 + b"ltR"
    for count, offset, size, stride in (
        (4, 0, (2**40,), (0,)), (4, 2**40, (2,), (1,)), (4, -1, (2,), (1,)), (4, 0, (-2,), (1,)),
        (2**40, 0, (4,), (1,)), (-4, 0, (4,), (1,)), (4, 0, (2, 2), (2**62, 1)), (4, 0, (9,), (1,)),
        (4, 0, (0,) * 70, (1,) * 70), (4, 0, (1,), (2**70,)),
    ):  # fmt: skip
        made = by_hand.tensor(by_hand.storage(count), offset, size, stride)
        yield f"tensor {count} {offset} {size[:2]} {stride[:2]}", by_hand.dictionary(weight=made)


def _shapes() -> Iterator[tuple[str, bytes]]:
    """Archives and files of odd shapes around a good program."""
    buffer = io.BytesIO()
    torch.save(torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1)), buffer)
    good = buffer.getvalue()
    yield "twice", good + good
    yield "prefixed", b"#!/bin/sh\n" + good
    yield "cut", good[:-40]
    yield "end-alone", good[-22:]
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        members = {each: archive.read(each) for each in archive.namelist()}
    twenty = {f"{n}/data.pkl": members["archive/data.pkl"] for n in range(20)}
    for name, method, more in (
        ("packed", zipfile.ZIP_DEFLATED, {}),
        ("two-programs", zipfile.ZIP_STORED, {"b/data.pkl": b"N."}),
        ("twenty-programs", zipfile.ZIP_STORED, twenty),
        ("climbing", zipfile.ZIP_STORED, {"../../canary/ran": b"x", "/tmp/ran": b"x"}),
        ("code-inside", zipfile.ZIP_STORED, {"archive/code/x.py": b"open('ran', 'w')"}),
        ("zeros", zipfile.ZIP_DEFLATED, {"archive/data/9": bytes(40_000_000)}),
    ):
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w", method) as archive:
            for member, content in {**members, **more}.items():
                archive.writestr(member, content)
        yield name, written.getvalue()
    yield from (
        ("empty", b""),
        ("zeros-only", bytes(4096)),
        ("mz", b"MZ" * 99),
        ("elf", b"\x7fELF"),
    )
    for value in (None, 3, "text", [], {}, {"state_dict": {}}, {"model": {"model": {}}}, b"x"):
        yield (
            f"value-{len(str(value))}-{type(value).__name__}",
            b"\x80\x02" + pickle.dumps(value)[2:],
        )


def _older(path: Path, program: bytes) -> None:
    head = (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})
    start = b"".join(pickle.dumps(each, 2) for each in head)
    path.write_bytes(start + b"\x80\x02" + program + b"." + pickle.dumps([], 2))


def _module() -> bytes:
    return imported("torch.nn.modules.activation", "ReLU") + b")\x81"


def _state(value: bytes) -> bytes:
    return b"}" + text("__setstate__") + value + b"sb"
