"""Files as edgeprune writes them, with another blueprint, header, or description of the input.

Nothing in them is a pickle; the blueprint names classes and functions, sizes and layers.
"""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING, Any

from hostile_networks import names
from hostile_pickles import CALLS, EVALUATIONS, NAMES
from mutators import VALUES
from parsers import CORPUS
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from sandbox import Case

from edgeprune import tensor_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "stored networks"


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Write the files, each in a run directory, and say what takes them."""
    good = CORPUS / "stored" / "compressed.safetensors"
    with good.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        texts = json.loads(file.read(length))["__metadata__"]
    for mark in (tensor_file.DIGEST, tensor_file.MARK):
        del texts[mark]
    tensors = load_file(good)
    files = [(name, to_bytes(tensors, {**texts, **new})) for name, new in _texts(texts, canary)]
    for number, (name, content) in enumerate((*files, *_headers(good.read_bytes()))):
        run = work / "stored" / str(number)
        run.mkdir(parents=True)
        (run / "compressed.safetensors").write_bytes(content)
        at = str(run.relative_to(work))
        export = ("export", at, "--opset", "17", "-o", f"out/{number}")
        yield Case(name, (("inspect", f"{at}/compressed.safetensors"), export))


def _texts(texts: dict[str, str], canary: Path) -> Iterator[tuple[str, dict[str, str]]]:
    """Other texts of the header."""
    for name, change in _blueprints(str(canary / "ran")):
        blueprint = json.loads(texts["blueprint"])
        change(blueprint)
        yield name, {"blueprint": json.dumps(blueprint)}
    for text in ("", "null", "[]", "{}", "[" * 100_000, '{"modules": []}', "\x00", "9" * 10_000):
        yield f"blueprint {text[:20]!r}", {"blueprint": text}
        yield f"input {text[:20]!r}", {"input": text}
    for shape in (
        [],
        [[]],
        [[1]],
        [[0, 3, 8, 8]],
        [[1, 3, 10**9, 10**9]],
        [[1, 3, -8, 8]],
        [["x"]],
    ):
        about = {"shapes": shape, "mean": [0.5], "std": [0.0]}
        yield f"input of {shape}", {"input": json.dumps(about)}
    for version in ("", "2", "\x1b[2J", "1 "):
        yield f"version {version!r}", {"edgeprune": version}


def _blueprints(marker: str) -> Iterator[tuple[str, Any]]:
    for target in (*CALLS, *EVALUATIONS):
        module, _, name = target.rpartition(".")
        call = {"$partial": [{"$function": f"{module}:{name}"}, [f"touch {marker}"], {}]}
        yield (
            f"class {target}",
            lambda b, n=f"{module}:{name}": b["modules"][1].update({"class": n}),
        )
        yield f"call of {target}", lambda b, c=call: b["modules"][0]["attributes"].update(forward=c)
    for target in (each.replace(" ", ":") for each in NAMES):
        yield (
            f"class {target!r}",
            lambda b, n=target: b["modules"][1].update({"class": n}),
        )
    for place in ("children", "parameters", "buffers", "attributes"):
        for name in names(marker):
            yield f"{place} {name[:20]!r}", lambda b, p=place, n=name: _renamed(b, p, n)
    for key in ("class", "training", "attributes", "children", "parameters", "transient"):
        for value in VALUES[:: 3 if key != "class" else 1]:
            yield (
                f"{key} {str(value)[:20]!r}",
                lambda b, k=key, v=value: b["modules"][0].update({k: v}),
            )
    for name, value in {
        "itself": {"$module": 0}, "far": {"$module": 10**9}, "before": {"$module": -1},
        "text": {"$module": "x"}, "unknown": {"$evil": 1}, "two": {"$tuple": [], "$set": []},
        "float": {"$float": "x"}, "size": {"$size": ["x"]}, "dict": {"$dict": [[[], 1]]},
        "set": {"$set": [[]]}, "enum": {"$enum": ["os:system", "x"]}, "device": {"$device": "x"},
        "dtype": {"$dtype": "os"}, "weak": {"$weakref": 3}, "deep": _nested(400),
    }.items():  # fmt: skip
        yield f"child {name}", lambda b, v=value: b["modules"][0]["children"].update({"0": v})
        yield f"attribute {name}", lambda b, v=value: b["modules"][0]["attributes"].update(x=v)


def _renamed(blueprint: Any, place: str, name: str) -> None:
    for module in blueprint["modules"]:
        if module.get(place):
            module[place][name] = module[place].pop(next(iter(module[place])))
            return


def _nested(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = {"$tuple": [value]}
    return value


def _headers(good: bytes) -> Iterator[tuple[str, bytes]]:
    """Headers whose lengths and offsets do not fit."""
    length = int.from_bytes(good[:8], "little")
    for claimed in (0, 1, length - 1, length + 1, 2**31, 2**63 - 1, 2**64 - 1):
        yield f"header of {claimed}", struct.pack("<Q", claimed) + good[8:]
    header = json.loads(good[8 : 8 + length])
    tensor = next(name for name in header if name != "__metadata__")
    for key, value in (
        ("data_offsets", [0, 2**62]), ("data_offsets", [-4, 0]), ("data_offsets", [4, 0]),
        ("data_offsets", []), ("shape", [2**40, 2**40]), ("shape", [-1]), ("shape", "x"),
        ("dtype", "F4096"), ("dtype", "BF16"), ("dtype", None),
    ):  # fmt: skip
        changed = json.loads(json.dumps(header))
        changed[tensor][key] = value
        text = json.dumps(changed).encode()
        yield f"{key} {value}", struct.pack("<Q", len(text)) + text + good[8 + length :]
    for text in (b"", b"[]", b'{"__metadata__":{"a":3}}', b"{" * 1000, b'{"a":' * 50_000):
        yield f"header {text[:20]!r}", struct.pack("<Q", len(text)) + text
