"""Pictures and graphs that no program would write are refused in words, never called a bug."""

from __future__ import annotations

import struct
import zipfile
from dataclasses import replace
from typing import TYPE_CHECKING

import onnx
import pytest
import torch
from onnx import TensorProto, helper
from pictures_by_hand import png
from report_examples import full

import edgeprune as ep
from edgeprune.bench.worker.tensors import WorkerError, inputs
from edgeprune.blueprint import Allowed
from edgeprune.costs import count_onnx
from edgeprune.errors import ModelRefused, ModelUnsupported, UsageError
from edgeprune.images.reading import unlabelled
from edgeprune.loading.pickles import unpickle
from edgeprune.loading.recognise import recognise
from edgeprune.report import formats

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (png(9_000, 9_000), "too large an image: 9000x9000"),
        (png(60_000, 60_000), "is no image that can be read"),
        (png(4, 4)[:40], "is no image that can be read"),
        (b"II*\0" + b"\xff" * 60, "is no image that can be read"),
    ],
    ids=["large", "bomb", "cut off", "nonsense"],
)
def test_a_picture_is_bounded_and_whole(content: bytes, what: str, tmp_path: Path) -> None:
    (tmp_path / "picture.png").write_bytes(content)
    images = unlabelled(tmp_path, ep.wrap(torch.nn.Conv2d(3, 4, 1), (1, 3, 8, 8)).input)
    with pytest.raises(UsageError, match=what):
        images[0]


def graph(node: onnx.NodeProto, kind: int = TensorProto.FLOAT) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, 3, 4, 4])
    result = helper.make_tensor_value_info("y", TensorProto.FLOAT, None)
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weight.data_type = kind
    made = helper.make_graph([node], "g", [value], [result], [weight])
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)


@pytest.mark.parametrize(
    "model",
    [
        graph(helper.make_node("Relu", ["x"], ["w"])),
        graph(helper.make_node("Conv", ["x"], ["y"])),
        graph(helper.make_node("Flatten", ["x"], [])),
        graph(helper.make_node("Add", ["x", "w"], ["y"]), kind=999),
    ],
    ids=["weight computed", "no filter", "no output", "no such type"],
)
def test_a_graph_whose_wires_lead_nowhere_is_not_counted(
    model: onnx.ModelProto, tmp_path: Path
) -> None:
    (tmp_path / "model.onnx").write_bytes(model.SerializeToString())
    with pytest.raises(ModelUnsupported, match="cannot count"):
        count_onnx(tmp_path / "model.onnx")


def test_an_archive_behind_something_else_is_no_archive(tmp_path: Path) -> None:
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt", _use_new_zipfile_serialization=False)
    disks = struct.pack("<4sLQL", b"PK\x06\x07", 0, 0, 9)  # of nine
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0, 0, 0, 0, 0)
    with (tmp_path / "w.pt").open("ab") as file:
        file.write(disks + end)
    with pytest.raises(ModelRefused, match="is damaged"):
        unpickle(tmp_path / "w.pt", Allowed())


def test_a_member_whose_name_is_no_text_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "w.pt", "w") as file:
        file.writestr("w/ä", b"")
    content = (tmp_path / "w.pt").read_bytes()
    (tmp_path / "w.pt").write_bytes(content.replace("ä".encode(), b"\xff\xff"))
    with pytest.raises(ModelRefused, match="is damaged"):
        recognise(tmp_path / "w.pt")


def test_inputs_beyond_any_memory_are_not_drawn() -> None:
    with pytest.raises(WorkerError, match=r"'x' is 1x2147483648: too large"):
        inputs([("x", "float32", [1, 2**31])], 0)
    assert inputs([("x", "float32", [1, 2])], 0)["x"].shape == (1, 2)


def test_a_report_of_no_time_is_no_junit() -> None:
    with pytest.raises(UsageError, match="is no time"):
        formats.as_junit(replace(full(), created="0.1.0"))
