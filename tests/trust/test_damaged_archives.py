"""A damaged or swollen archive is refused before anything of it is used."""

from __future__ import annotations

import shutil
import zipfile
from typing import TYPE_CHECKING

import pytest
import torch
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.errors import ModelRefused
from edgeprune.loading import LoadOptions, load

if TYPE_CHECKING:
    from pathlib import Path

SHAPE = LoadOptions(input_shapes=(zoo.INPUT_SHAPE,))


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("saved") / "chain.pt"
    torch.save(zoo.build("chain"), file)
    return file


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_flipped_bit_in_any_weight_is_seen(
    data: st.DataObject, saved: Path, tmp_path: Path
) -> None:
    whole = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        members = [m for m in archive.infolist() if "/data/" in m.filename and m.file_size > 4]
    member = data.draw(st.sampled_from(members))
    name, extra = (
        int.from_bytes(whole[member.header_offset + at :][:2], "little") for at in (26, 28)
    )
    start = member.header_offset + 30 + name + extra
    place = start + data.draw(st.integers(0, member.file_size - 1))
    whole[place] ^= 1 << data.draw(st.integers(0, 7))
    (tmp_path / "damaged.pt").write_bytes(whole)
    with pytest.raises(ModelRefused, match="is damaged: the checksum of chain/data/"):
        load(tmp_path / "damaged.pt", SHAPE)


def test_compressed_members_are_not_unpacked(saved: Path, tmp_path: Path) -> None:
    small = tmp_path / "small.pt"
    with zipfile.ZipFile(saved) as archive, zipfile.ZipFile(small, "w") as packed:
        for name in archive.namelist():
            zeros = bytes(len(archive.read(name))) if "/data/" in name else archive.read(name)
            packed.writestr(name, zeros, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelRefused, match="compressed data"):
        load(small, SHAPE)


def test_a_whole_archive_is_taken(saved: Path, tmp_path: Path) -> None:
    shutil.copy(saved, tmp_path / "chain.pt")
    assert load(tmp_path / "chain.pt", SHAPE).name == "chain"
