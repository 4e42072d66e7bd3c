"""ONNX and other runtimes' files: paths outside, endless loops, sizes beyond any memory."""

from __future__ import annotations

import io
import zipfile
from typing import TYPE_CHECKING, Any

import onnx
from hostile_networks import names
from onnx import TensorProto, helper
from sandbox import Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "ONNX and other runtimes' files"
RUNTIMES = {"pt2": "torch", "pte": "executorch", "tflite": "litert"}
SIZES = (0, -1, 2**31, 2**40, 2**62)


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Write the files, and say what takes them."""
    folder = work / "onnx"
    folder.mkdir()
    for number, (name, model) in enumerate(_models(str(canary / "ran"))):
        path = folder / f"{number}.onnx"
        path.write_bytes(model.SerializeToString() if isinstance(model, onnx.ModelProto) else model)
        at = str(path.relative_to(work))
        yield Case(name, (("bench", at, "--seconds", "0.2"), ("inspect", at)))
    for name, content in _others(str(canary / "ran")):
        (folder / name).write_bytes(content)
        at = str((folder / name).relative_to(work))
        runtime = RUNTIMES.get(name.rpartition(".")[2], "torch")
        bench = ("bench", at, "--runtime", runtime, "--seconds", "0.2")
        yield Case(name, (bench, ("inspect", at), ("compress", at, "--dry-run")))


def _models(marker: str) -> Iterator[tuple[str, Any]]:
    for name in names(marker):
        yield f"node {name[:20]!r}", _model(_node("Relu", ["x"], ["y"], name=name))
        yield f"input {name[:20]!r}", _model(_node("Relu", [name], ["y"]), value=name)
    for place in (
        marker,
        "../../canary/x",
        "/etc/passwd",
        "/dev/zero",
        "/dev/stdin",
        "",
        "x" * 5000,
    ):
        yield f"weights in {place[-20:]!r}", _external(place)
    for domain in ("com.microsoft", "ai.onnx.ml", "evil", "", "../x"):
        yield f"domain {domain!r}", _model(_node("Evil", ["x"], ["y"], domain=domain))
    for size in SIZES:
        yield f"input of {size}", _model(_node("Relu", ["x"], ["y"]), shape=[1, size])
        yield f"a constant of {size}", _model(_filled(size), _node("Relu", ["c"], ["y"]))
        yield f"a weight of {size}", _model(_node("Add", ["x", "w"], ["y"]), weight=[size])
        yield f"expanded to {size}", _model(_shape(size), _node("Expand", ["x", "s"], ["y"]))
    for count in (2**31, 2**62):
        yield f"a loop of {count}", _looping(count)
    yield "a cycle", _model(_node("Relu", ["b"], ["a"]), _node("Relu", ["a"], ["b"]))
    yield "the same output twice", _model(_node("Relu", ["x"], ["y"]), _node("Relu", ["x"], ["y"]))
    yield "an output of nothing", _model(_node("Relu", ["x"], ["z"]))
    yield "a weight computed", _model(_node("Relu", ["x"], ["w"]), weight=[1])
    yield "no operator", onnx.ModelProto()
    for opset in (0, 1, 999, -1):
        yield f"opset {opset}", _model(_node("Relu", ["x"], ["y"]), opset=opset)
    inner = _node("F", ["a"], ["b"], domain="evil")
    version = helper.make_opsetid("evil", 1)
    calling = helper.make_function("evil", "F", ["a"], ["b"], [inner], [version])
    model = _model(_node("F", ["x"], ["y"], domain="evil"))
    model.functions.append(calling)
    yield "a function that calls itself", model
    good = _model(_node("Relu", ["x"], ["y"])).SerializeToString()
    for name, content in (
        ("empty", b""),
        ("text", b"model\n"),
        ("cut", good[:-9]),
        ("zeros", bytes(99)),
    ):
        yield name, content


def _others(marker: str) -> Iterator[tuple[str, bytes]]:
    """Programs of PyTorch, TorchScript and others, a pickle in each that holds one."""
    evil = b"cos\nsystem\n(X" + len(f"touch {marker}").to_bytes(4, "little")
    evil += f"touch {marker}".encode() + b"tR."
    members = {
        "script.pt": ("a/constants.pkl", "a/data.pkl", "a/code/x.py"),
        "program.pt2": ("archive_format", "data/sample_inputs/model.pt", "models/model.json"),
        "older.pt2": ("serialized_exported_program.json", "serialized_state_dict.pt"),
        "renamed.pt2": ("archive/data.pkl",),
        "mobile.ptl": ("a/bytecode.pkl", "a/data.pkl"),
        "package.pt": ("a/.data/python_version", "a/model/model.pkl", "a/x.py"),
        "served.mar": ("MAR-INF/MANIFEST.json", "handler.py"),
        "model.keras": ("config.json", "model.weights.h5"),
        "arrays.npz": ("a.npy",),
        "bundle.pte": ("x",),
        "model.tflite": ("x",),
    }
    for name, inside in members.items():
        written = io.BytesIO()
        with zipfile.ZipFile(written, "w") as file:
            for member in inside:
                file.writestr(member, b"\x80\x02" + evil)
        yield name, written.getvalue()
        yield f"cut-{name}", written.getvalue()[:-30]
    heads = {
        "lfs.pt": b"version https://git-lfs.github.com/spec/v1\n",
        "page.pt": b"<!DOCTYPE html>",
        "keras.h5": b"\x89HDF\r\n\x1a\n" + bytes(99),
        "packed.pt": b"\x1f\x8b" + bytes(99),
        "array.npy": b"\x93NUMPY\x01\x00v\x00{'descr': '|O'}" + evil,
        "plain.pkl": b"\x80\x04" + evil,
        "flat.tflite": bytes(4) + b"TFL3" + bytes(99),
        "flat.pte": bytes(4) + b"ET12" + bytes(99),
        "model.gguf": b"GGUF" + bytes(99),
        "joblib.pkl": b"\x80\x03" + evil,
    }
    yield from heads.items()


def _node(kind: str, reads: list[str], writes: list[str], **more: Any) -> onnx.NodeProto:
    return helper.make_node(kind, reads, writes, **more)


def _model(*nodes: onnx.NodeProto, value: str = "x", shape: Any = (1, 3), opset: int = 17,
           weight: list[int] | None = None) -> onnx.ModelProto:  # fmt: skip
    x = helper.make_tensor_value_info(value, TensorProto.FLOAT, shape)
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    tensor = TensorProto(name="w", dims=weight or (), data_type=TensorProto.FLOAT)
    graph = helper.make_graph(list(nodes), "g", [x], [y], [tensor] if weight else [])
    opsets = [helper.make_opsetid("", opset), helper.make_opsetid("evil", 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=9)


def _external(place: str) -> onnx.ModelProto:
    model = _model(_node("Add", ["x", "w"], ["y"]), weight=[3])
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=place)
    return model


def _shape(size: int) -> onnx.NodeProto:
    return _node(
        "Constant", [], ["s"], value=helper.make_tensor("s", TensorProto.INT64, [2], [size, 3])
    )


def _filled(size: int) -> onnx.NodeProto:
    shape = helper.make_tensor("s", TensorProto.INT64, [1], [size])
    return _node("Constant", [], ["c"], value=shape)


def _looping(count: int) -> onnx.ModelProto:
    body = helper.make_graph(
        [_node("Identity", ["go"], ["on"]), _node("Relu", ["a"], ["b"])], "body",
        [helper.make_tensor_value_info("n", TensorProto.INT64, []),
         helper.make_tensor_value_info("go", TensorProto.BOOL, []),
         helper.make_tensor_value_info("a", TensorProto.FLOAT, [1, 3])],
        [helper.make_tensor_value_info("on", TensorProto.BOOL, []),
         helper.make_tensor_value_info("b", TensorProto.FLOAT, [1, 3])],
    )  # fmt: skip
    times = helper.make_tensor("times", TensorProto.INT64, [], [count])
    model = _model(_node("Loop", ["times", "", "x"], ["y"], body=body))
    model.graph.initializer.append(times)
    return model
