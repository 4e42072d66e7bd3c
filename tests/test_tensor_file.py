"""A file of tensors: the same bytes every time, and no bit of it changes unseen."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from edgeprune import checksum, tensor_file
from edgeprune.errors import ModelRefused

if TYPE_CHECKING:
    from pathlib import Path

TENSORS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.tensor([1, 2]), "c": torch.ones(())}
TEXTS = {name: f"{name} «é» \u2028 {{}}" for name in "zyxwvutsrq"}
on_one_folder = settings(
    deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@on_one_folder
@given(
    texts=st.dictionaries(
        st.text(st.characters(codec="utf-8"), max_size=9), st.text(st.characters(codec="utf-8"))
    )
)
def test_what_is_written_is_read_by_anyone(texts: dict[str, str], tmp_path: Path) -> None:
    texts = {k: v for k, v in texts.items() if k not in (tensor_file.DIGEST, tensor_file.MARK)}
    tensor_file.write(TENSORS, texts, tmp_path / "f.safetensors")
    tensors, found = tensor_file.read(tmp_path / "f.safetensors")
    assert found.pop(tensor_file.DIGEST) != checksum.BLANK
    assert found.pop(tensor_file.MARK) == tensor_file.DIGEST
    assert found == texts
    for name, tensor in load_file(tmp_path / "f.safetensors").items():
        assert torch.equal(tensor, TENSORS[name])
        assert torch.equal(tensors[name], tensor)
        assert tensors[name].data_ptr() % 64 == 0


def test_every_process_writes_the_same_bytes(tmp_path: Path) -> None:
    program = (
        "import sys, json, torch; from pathlib import Path; from edgeprune import tensor_file;"
        "tensor_file.write({'a': torch.ones(3)}, json.loads(sys.argv[1]), Path(sys.argv[2]))"
    )
    for name in "123":
        command = [sys.executable, "-c", program, json.dumps(TEXTS), str(tmp_path / name)]
        subprocess.run(command, check=True)
    assert len({path.read_bytes() for path in tmp_path.iterdir()}) == 1


def test_no_bit_of_the_file_changes_unseen(tmp_path: Path) -> None:
    path = tmp_path / "f.safetensors"
    tensor_file.write(TENSORS, {"note": "hello"}, path)
    whole = path.read_bytes()
    for place in range(len(whole)):
        changed = bytearray(whole)
        changed[place] ^= 1 << place % 8
        path.write_bytes(changed)
        with pytest.raises(ModelRefused, match=r"damaged|not a readable"):
            tensor_file.read(path)


def test_a_file_from_before_there_was_a_digest_is_read(tmp_path: Path) -> None:
    save_file(TENSORS, tmp_path / "old.safetensors", {"note": "hello"})
    tensors, texts = tensor_file.read(tmp_path / "old.safetensors")
    assert texts == {"note": "hello"}
    assert all(torch.equal(tensors[name], TENSORS[name]) for name in TENSORS)


def test_a_header_with_more_tensors_than_any_network_has_is_refused(tmp_path: Path) -> None:
    given = {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}
    header = json.dumps({str(n): given for n in range(tensor_file.MOST_TENSORS + 1)}).encode()
    path = tmp_path / "many.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header)
    for reading in (tensor_file.texts_of, tensor_file.read):
        with pytest.raises(ModelRefused, match="names 50,001 tensors; 50,000 are read at most"):
            reading(path)
