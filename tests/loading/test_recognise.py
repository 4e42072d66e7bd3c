"""Files that are no model: each is refused with what it is."""

from __future__ import annotations

import zipfile

import pytest
import torch
import zoo
from torch import nn

from edgeprune.errors import ModelRefused, UsageError
from edgeprune.loading import load


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"<!DOCTYPE html><html>404</html>", "web page"),
        (b"\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid", "git lfs pull"),
        (b"\x89HDF\r\n\x1a\n", "HDF5"),
        (b"\x1f\x8b\x08", "gzip"),
        (b"\x08\x08\x12\x07pytorch", "ONNX"),
        (b"hello world", "not a PyTorch model"),
        (b"\x80\x02", "damaged"),
        (b"\x80\x02}q\x00.", "damaged|dictionary"),
        (b"PK\x03\x04 cut off", "damaged, perhaps cut off"),
        (b"\x00" * 100, "not a PyTorch model"),
    ],
)
def test_what_is_no_model_is_refused_by_its_content(content, message, tmp_path):
    (tmp_path / "net.pt").write_bytes(content)
    with pytest.raises(ModelRefused, match=message) as refusal:
        load(tmp_path / "net.pt")
    assert "net.pt" in str(refusal.value)
    assert len(str(refusal.value).splitlines()) <= 2


@pytest.mark.parametrize("share", [0.3, 0.7, 0.99])
@pytest.mark.parametrize("zipped", [True, False])
def test_a_truncated_file_is_refused(share, zipped, tmp_path):
    file = tmp_path / "net.pt"
    weights = zoo.build("chain").state_dict()
    torch.save(weights, file, _use_new_zipfile_serialization=zipped)
    content = file.read_bytes()
    file.write_bytes(content[: int(share * len(content))])
    with pytest.raises(ModelRefused, match="damaged"):
        load(file)


def test_other_formats_of_torch_are_explained(tmp_path):
    with zipfile.ZipFile(tmp_path / "script.pt", "w") as archive:
        for name in ("data.pkl", "constants.pkl", "code/__torch__.py"):
            archive.writestr(f"script/{name}", b"")
    with pytest.raises(ModelRefused, match=r"TorchScript.*torch\.save"):
        load(tmp_path / "script.pt")

    program = torch.export.export(nn.Conv2d(3, 3, 1), (torch.ones(1, 3, 4, 4),))
    torch.export.save(program, tmp_path / "net.pt2")
    with pytest.raises(ModelRefused, match=r"exported program.*torch\.save"):
        load(tmp_path / "net.pt2")

    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("readme.txt", b"")
    with pytest.raises(ModelRefused, match=r"not one that torch\.save wrote"):
        load(tmp_path / "other.zip")


def test_paths_that_lead_nowhere(tmp_path):
    with pytest.raises(UsageError, match="there is no file or directory"):
        load(tmp_path / "gone.pt")
    with pytest.raises(ModelRefused, match=r"holds no compressed\.safetensors"):
        load(tmp_path)


def test_a_file_that_may_not_be_read_is_refused(tmp_path, monkeypatch):
    def forbidden(*args, **keywords):
        raise PermissionError(13, "Permission denied")

    (tmp_path / "net.pt").write_bytes(b"x")
    monkeypatch.setattr(type(tmp_path), "open", forbidden)
    with pytest.raises(ModelRefused, match=r"cannot read .*Permission denied"):
        load(tmp_path / "net.pt")


@pytest.mark.parametrize("content", [b"junk", b"\xff" * 64, b"\x02\x00\x00\x00\x00\x00\x00\x00{}"])
def test_a_damaged_safetensors_file_is_refused(content, tmp_path):
    (tmp_path / "net.safetensors").write_bytes(content)
    with pytest.raises(ModelRefused):
        load(tmp_path / "net.safetensors")


@pytest.mark.parametrize("thing", [[1, 2], torch.ones(2), {"lr": 0.1}, {}, "text"])
def test_what_holds_no_weights_is_refused(thing, tmp_path):
    torch.save(thing, tmp_path / "net.pt")
    with pytest.raises(ModelRefused, match="neither a network nor its weights"):
        load(tmp_path / "net.pt")
