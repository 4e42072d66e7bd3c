"""A small file stays small: sizes that it declares are held against what it has."""

from __future__ import annotations

import struct
import zipfile
from typing import TYPE_CHECKING

import pickles_by_hand as by_hand
import pytest
import torch
import zoo
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pickles_by_hand import call, dictionary, name, number, storage, tensor, text, tupled

from edgeprune.blueprint import Allowed
from edgeprune.errors import EdgepruneError, ModelRefused, ModelUnsupported
from edgeprune.loading import pickle_machine
from edgeprune.loading.pickles import unpickle

if TYPE_CHECKING:
    from pathlib import Path

HUGE = 1 << 40


def load(path: Path) -> object:
    return unpickle(path, Allowed())


def outcome(path: Path) -> str:
    """Whether a file is read or refused; another error goes on."""
    try:
        load(path)
    except EdgepruneError:
        return "refused"
    return "read"


def test_tensors_are_what_torch_reads(tmp_path: Path) -> None:
    base = torch.arange(24.0)
    saved = {
        "plain": base,
        "view": base.view(4, 6)[1:3, ::2].t(),
        "expanded": torch.ones(1, 1).expand(3, 2),
        "empty": torch.empty(0, 3),
        "scalar": torch.tensor(3.5, dtype=torch.float64),
        "half": torch.randn(5).half(),
        "eight": torch.randn(5).to(torch.float8_e4m3fn),
        "bits": torch.tensor([True, False]),
        "complex": torch.tensor([1 + 2j]),
        "parameter": torch.nn.Parameter(torch.randn(2, 2)),
        "whole": torch.nn.Parameter(torch.arange(3), requires_grad=False),
        "buffer": torch.nn.Buffer(torch.randn(3)),
    }
    saved["parameter"].rank = 4
    for protocol in (2, 4, 5):
        torch.save(saved, tmp_path / "t.pt", pickle_protocol=protocol)
        loaded, theirs = load(tmp_path / "t.pt"), torch.load(tmp_path / "t.pt", weights_only=False)
        assert isinstance(loaded, dict)
        for key, expected in theirs.items():
            ours = loaded[key]
            assert type(ours) is type(expected), key
            assert ours.dtype == expected.dtype
            assert ours.stride() == expected.stride()
            assert ours.requires_grad == expected.requires_grad
            same = (ours.float(), expected.float()) if key == "eight" else (ours, expected)
            assert torch.equal(*same), key
        assert loaded["parameter"].rank == 4
        shared = loaded["plain"].untyped_storage().data_ptr()
        assert loaded["view"].untyped_storage().data_ptr() == shared


GROWING = {
    "a constructor": call("torch.nn.modules.linear.Linear", number(1 << 15), number(1 << 15)),
    "a storage": dictionary(w=tensor(storage(HUGE), 0, (2,), (1,))),
    "a storage without end": dictionary(w=tensor(storage(1 << 62), 0, (2,), (1,))),
    "a negative storage": dictionary(w=tensor(storage(-1), 0, (2,), (1,))),
    "a wider type": dictionary(w=tensor(storage(4, "DoubleStorage"), 0, (4,), (1,))),
    "a size": dictionary(w=tensor(storage(4), 0, (HUGE,), (1,))),
    "a stride of zero": dictionary(w=tensor(storage(4), 0, (HUGE,), (0,))),
    "many of a stride of zero": dictionary(
        **{f"w{i}": tensor(storage(4), 0, (1 << 20,), (0,)) for i in range(64)}
    ),
    "a negative stride": dictionary(w=tensor(storage(4), 3, (2,), (-1,))),
    "an offset": dictionary(w=tensor(storage(4), HUGE, (2,), (1,))),
    "shapes that differ": dictionary(w=tensor(storage(4), 0, (2, 2), (1,))),
    "a product of sizes": dictionary(w=tensor(storage(4), 0, (1 << 31, 1 << 31), (0, 0))),
    "an array of bytes": call("builtins.bytearray", number(HUGE)),
    "a bare tensor": name("torch.Tensor") + tupled(number(HUGE)) + b"\x81",
    "a parameter of nothing": call("torch.nn.parameter.Parameter", number(HUGE)),
    "a memory index": b"Nr\xff\xff\xff\xff" + b"0N",
    "a text": b"X\xff\xff\xff\xff" + b"abc",
    "bytes": b"\x8e" + struct.pack("<Q", HUGE) + b"abc",
    "an array": b"\x96" + struct.pack("<Q", HUGE) + b"abc",
    "a frame": b"\x95" + struct.pack("<Q", HUGE) + b"N",
    "a number": b"\x8b" + struct.pack("<i", 1 << 30) + b"abc",
    "a key that is a deep tuple": b"})" + b"\x85" * 5000 + b"Ns",
    "a layer with arguments": name("torch.nn.modules.linear.Linear")
    + tupled(number(HUGE), number(HUGE))
    + b"\x81",
}


@pytest.mark.parametrize("what", GROWING)
def test_what_would_grow_is_refused(what: str, tmp_path: Path) -> None:
    file = by_hand.archive(tmp_path / "small.pt", GROWING[what])
    if what in ("a memory index", "a frame"):  # of no harm: a table, and nothing
        assert load(file) is None
        return
    with pytest.raises(ModelRefused, match=r"'.*small\.pt'"):
        load(file)


@pytest.mark.parametrize(
    ("call_", "what"),
    [
        ("_rebuild_qtensor", "quantized"),
        ("_rebuild_sparse_tensor", "sparse"),
        ("_rebuild_meta_tensor_no_storage", "meta"),
        ("_rebuild_nested_tensor", "nested"),
    ],
)
def test_tensors_that_no_network_can_use_are_named(call_: str, what: str, tmp_path: Path) -> None:
    file = by_hand.archive(tmp_path / "odd.pt", call(f"torch._utils.{call_}"))
    with pytest.raises(ModelUnsupported, match=what):
        load(file)


def test_names_that_are_put_together_are_named(tmp_path: Path) -> None:
    """Two texts are kept and dropped; the name is taken from where they were kept."""
    hidden = text("builtins") + b"q\x00" + text("open") + b"q\x01" + b"00" + text("Linear") + b"0"
    program = hidden + b"h\x00h\x01\x93" + tupled(text(str(tmp_path / "ran")), text("w")) + b"R"
    with pytest.raises(ModelRefused, match=r"builtins\.open.*--trust"):
        load(by_hand.archive(tmp_path / "gift.pt", program))
    assert not (tmp_path / "ran").exists()


def test_an_archive_holds_one_program(tmp_path: Path) -> None:
    extra = tuple(f"more{i}/data.pkl" for i in range(3))
    with pytest.raises(ModelRefused, match="4 networks"):
        load(by_hand.archive(tmp_path / "many.pt", b"}", extra=extra))


def test_parts_that_overlap_are_refused(tmp_path: Path) -> None:
    """A central directory may list one part of the file many times."""
    file = by_hand.archive(tmp_path / "o.pt", dictionary(w=tensor(storage(4), 0, (4,), (1,))), 4096)
    data = file.read_bytes()
    end = data.rindex(b"PK\x05\x06")
    count, size, start = struct.unpack("<HII", data[end + 10 : end + 20])
    directory = data[start : start + size] * 8
    tail = struct.pack("<4s4H2IH", b"PK\x05\x06", 0, 0, count * 8, count * 8, size * 8, start, 0)
    file.write_bytes(data[:start] + directory + tail)
    with pytest.raises(ModelRefused, match=r"larger than the whole|networks"):
        load(file)


def test_a_program_of_endless_steps_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pickle_machine, "MOST_STEPS", 1000)
    with pytest.raises(ModelRefused, match="more than 1,000 values"):
        load(by_hand.archive(tmp_path / "long.pt", b"N0" * 600 + b"}"))


@pytest.mark.parametrize("zipped", [True, False])
@settings(
    deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(data=st.data())
def test_a_mutated_program_is_read_or_refused(
    zipped: bool,
    data: st.DataObject,
    tmp_path: Path,
) -> None:
    """Whatever stands in it: no other exception, no process that ends."""
    saved = zoo.build("chain") if zipped else zoo.build("chain").state_dict()
    torch.save(saved, tmp_path / "m.pt", _use_new_zipfile_serialization=zipped)
    content = bytearray((tmp_path / "m.pt").read_bytes())
    if zipped:
        with zipfile.ZipFile(tmp_path / "m.pt") as file:
            program = bytearray(file.read("m/data.pkl"))
    else:
        program = content
    for _ in range(data.draw(st.integers(1, 8))):
        place = data.draw(st.integers(2, min(len(program), 6000) - 2))
        program[place] = data.draw(st.integers(0, 255))
    if zipped:
        by_hand.archive(tmp_path / "m.pt", bytes(program[2:-1]), 1 << 14)
    else:
        (tmp_path / "m.pt").write_bytes(program)
    assert outcome(tmp_path / "m.pt") in ("read", "refused")
