"""Damage to files: of their bytes, and of what their formats are made of.

A mutator takes the bytes of a good file and a random number generator, and gives other bytes.
Those of ``RAW`` know no format; the others change the structure and leave the rest right,
checksums and lengths included, so that what lies behind these is reached.
"""

from __future__ import annotations

import io
import json
import pickletools
import struct
import zipfile
from collections.abc import Callable
from random import Random
from typing import Any, TypeAlias

import onnx

Mutator: TypeAlias = Callable[[bytes, Random], bytes]

NUMBERS = (0, 1, -1, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1, -(2**63), 2**64 - 1, 2**70)
TEXTS = (
    *("", "x" * 5000, "\x00", "\x1b]0;title\x07", "\u202egnp", "../../../canary", "/etc/passwd"),
    *('training")\rexec("', "$(touch canary)", "a.b", "0", "NaN", "__class__", "self", "forward"),
)
SIZES = (0, 1, -1, 7, 2**31, 2**62)
VALUES: tuple[Any, ...] = (*NUMBERS, *TEXTS, None, True, 1e308, -0.0, [], {}, [[]], [[[[[]]]]])
GLOBALS = (
    *("os system", "builtins exec", "builtins getattr", "torch load", "torch.nn Module"),
    *("torch.nn.modules.conv Conv2d", "torch.nn.modules.container Sequential", "torch add"),
    *("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "functools partial"),
    *(
        "torch.nn.functional relu",
        "torch FloatStorage",
        "nowhere nothing",
        "torch.jit ScriptModule",
    ),
)


def mutated(data: bytes, mutator: Mutator, draw: Random) -> bytes:
    """The bytes changed by a mutator; with flipped bits where they are not of its format."""
    try:
        changed = mutator(data, draw)
    except Exception:  # of the libraries that take a format apart, each with its own
        changed = flip(data, draw) if data else b"\x00"
    return changed


def flip(data: bytes, draw: Random) -> bytes:
    """Flip one to three bits."""
    changed = bytearray(data)
    for _ in range(draw.randint(1, 3)):
        changed[draw.randrange(len(changed))] ^= 1 << draw.randrange(8)
    return bytes(changed)


def cut(data: bytes, draw: Random) -> bytes:
    """Cut the file off."""
    return data[: draw.randrange(len(data))]


def splice(data: bytes, draw: Random) -> bytes:
    """Put a piece of the file at another place, over what is there or between."""
    start, place = draw.randrange(len(data)), draw.randrange(len(data))
    piece = data[start : start + draw.randint(1, 64)]
    over = len(piece) if draw.random() < 0.5 else 0
    return data[:place] + piece + data[place + over :]


def number(data: bytes, draw: Random) -> bytes:
    """Write an extreme number, of one to eight bytes, somewhere."""
    size = draw.choice((1, 2, 4, 8))
    place = draw.randrange(max(1, len(data) - size))
    value = draw.choice(NUMBERS) % (1 << 8 * size)
    return data[:place] + value.to_bytes(size, "little") + data[place + size :]


def lines(data: bytes, draw: Random) -> bytes:
    """Lose, double, swap or indent lines of a text, or change a word of one."""
    text = data.decode(errors="replace").splitlines(keepends=True) or [""]
    place = draw.randrange(len(text))
    kind = draw.randrange(4)
    if kind == 0:
        del text[place]
    elif kind == 1:
        text.insert(place, draw.choice(text))
    elif kind == 2:
        text[place] = " " * draw.randint(1, 9) + text[place]
    else:
        words = text[place].split(" ")
        words[draw.randrange(len(words))] = str(draw.choice(VALUES))
        text[place] = " ".join(words)
    return "".join(text).encode(errors="replace")


def json_tree(data: bytes, draw: Random) -> bytes:
    """Put something else in the place of a value of a JSON text, or take a key away."""
    tree = json.loads(data)
    _change(tree, draw)
    return json.dumps(tree).encode()


def header(data: bytes, draw: Random) -> bytes:
    """Change the header of a safetensors file, or a JSON text in it; its length is right."""
    length = int.from_bytes(data[:8], "little")
    content = json.loads(data[8 : 8 + length])
    texts = {k: v for k, v in content.get("__metadata__", {}).items() if v[:1] in ("{", "[")}
    if texts and draw.random() < 0.6:
        name = draw.choice(sorted(texts))
        tree = json.loads(texts[name])
        _change(tree, draw)
        content["__metadata__"][name] = json.dumps(tree)
    else:
        _change(content, draw)
    if isinstance(content.get("__metadata__"), dict):
        for name in ("sha256", "checked-by"):  # as if another program had written it
            content["__metadata__"].pop(name, None)
    written = json.dumps(content).encode()
    return struct.pack("<Q", len(written)) + written + data[8 + length :]


def archive(data: bytes, draw: Random) -> bytes:
    """Lose, double, rename, pack or change a member of a zip archive; checksums are right."""
    with zipfile.ZipFile(io.BytesIO(data)) as old:
        members = [(each.filename, old.read(each)) for each in old.infolist()]
    place = draw.randrange(len(members))
    name, content = members[place]
    kind, packed = draw.randrange(6), zipfile.ZIP_STORED
    if kind == 0:
        del members[place]
    elif kind == 1:
        members.insert(place, draw.choice(members))
    elif kind == 2:
        members[place] = (draw.choice((*TEXTS, "archive/data.pkl", "a/code/x")) or "-", content)
    elif kind == 3:
        packed = zipfile.ZIP_DEFLATED
    else:
        change = program if name.endswith(".pkl") else draw.choice(RAW)
        members[place] = (name, change(content, draw) if content else b"x")
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", packed) as new:
        for name, content in members:
            new.writestr(zipfile.ZipInfo(name.replace("\x00", "0") or "-"), content, packed)
    return written.getvalue()


def program(data: bytes, draw: Random) -> bytes:
    """Lose, double, swap or replace an opcode of a pickle, or name something else in it."""
    found = [(each.name, place) for each, _, place in pickletools.genops(data)]
    ends = [place for _, place in found[1:]] + [len(data)]
    pieces = [data[place:end] for (_, place), end in zip(found, ends, strict=True)]
    named = [place for place, (name, _) in enumerate(found) if name == "GLOBAL"]
    place, kind = draw.randrange(len(pieces)), draw.randrange(6)
    if kind == 0:
        del pieces[place]
    elif kind == 1:
        pieces.insert(place, draw.choice(pieces))
    elif kind == 2:
        pieces[place], pieces[place - 1] = pieces[place - 1], pieces[place]
    elif kind == 3 and named:
        module, _, name = draw.choice(GLOBALS).partition(" ")
        pieces[draw.choice(named)] = f"c{module}\n{name}\n".encode()
    elif kind == 4:
        pieces[place] = draw.choice((b"R", b"b", b"o", b"\x81", b"\x93", b"t", b"0", b"2", b"Q"))
    else:
        pieces[place] = _other_argument(pieces[place], draw)
    return b"".join(pieces)


def protobuf(data: bytes, draw: Random) -> bytes:
    """Change a field of an ONNX model: a name, a size, an operator, a wire of the graph."""
    model = onnx.ModelProto.FromString(data)
    draw.choice((_wire, _operator, _weight, _sizes, _attribute))(model.graph, draw)
    return bytes(model.SerializeToString())


RAW: tuple[Mutator, ...] = (flip, cut, splice, number)
"""What transport, disks and careless editors do; checksums see it."""


def _change(tree: Any, draw: Random) -> None:
    """Change one place of a JSON value, chosen evenly among all of them; in place."""
    places = list(_places(tree))
    if not places:
        return
    holder, key = draw.choice(places)
    kind = draw.randrange(4)
    if kind == 0:
        del holder[key]
    elif kind == 1 and isinstance(holder, dict):
        holder[draw.choice(TEXTS)] = holder.pop(key)
    elif kind == 2:
        other, name = draw.choice(places)
        holder[key] = json.loads(json.dumps(other[name]))
    else:
        holder[key] = draw.choice(VALUES)


def _places(tree: Any) -> list[tuple[Any, Any]]:
    """Every container and key in a JSON value."""
    found, stack = [], [tree]
    while stack:
        holder = stack.pop()
        if isinstance(holder, dict | list):
            keys = list(holder) if isinstance(holder, dict) else range(len(holder))
            found += [(holder, key) for key in keys]
            stack += [holder[key] for key in keys]
    return found


def _other_argument(piece: bytes, draw: Random) -> bytes:
    """The same opcode with another argument, of the same length."""
    if len(piece) < 2:
        return piece * draw.randint(2, 40)
    rest = bytes(draw.randrange(256) for _ in piece[1:])
    return piece[:1] + rest


def _wire(graph: onnx.GraphProto, draw: Random) -> None:
    node = draw.choice(graph.node)
    names = [name for each in graph.node for name in (*each.input, *each.output)]
    ends = draw.choice((node.input, node.output))
    ends[draw.randrange(len(ends))] = draw.choice((*names, ""))


def _operator(graph: onnx.GraphProto, draw: Random) -> None:
    kinds = ("Loop", "If", "Scan", "Nothing", "", "Conv", "Shape", "Where", "Reshape", "Expand")
    if draw.random() < 0.8:
        draw.choice(graph.node).op_type = draw.choice(kinds)
    else:
        del graph.node[draw.randrange(len(graph.node))]


def _weight(graph: onnx.GraphProto, draw: Random) -> None:
    tensor = draw.choice(graph.initializer)
    if draw.random() < 0.5:
        tensor.dims[:] = [draw.choice(SIZES) for _ in range(draw.randint(0, 5))]
    else:
        tensor.data_type = draw.choice((*range(25), 999))


def _sizes(graph: onnx.GraphProto, draw: Random) -> None:
    for dim in draw.choice((*graph.input, *graph.output)).type.tensor_type.shape.dim:
        dim.dim_value = draw.choice(SIZES)


def _attribute(graph: onnx.GraphProto, draw: Random) -> None:
    attributes = [each for node in graph.node for each in node.attribute]
    draw.choice(attributes).ints[:] = [draw.choice(SIZES) for _ in range(3)]
