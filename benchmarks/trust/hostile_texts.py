"""Plans, recipes, reports and tables of text: wrong types, other keys, no end, and grants."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING

import yaml
from hostile_networks import names
from mutators import VALUES, json_tree
from parsers import CORPUS
from sandbox import Case

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIND = "plans, recipes, reports, yaml, csv"
SHAPELESS = (
    *(b"", b"\xff\xfe\x00", b"null", b"[]", b"{}", b"3", b"[" * 100_000, b'{"a":' * 50_000),
    *(b"\xef\xbb\xbf{}", b"{}{}", b'{"schema_version": 1}', b'{"schema_version": 1e400}'),
    *(b"9" * 100_000, b'"' + b"x" * 10_000_000 + b'"', b"\x00" * 1000, b"<xml/>", b"a,b\n1,2\n"),
)
GRANTS = {
    "trust": True, "allow": ["evil.py"], "arch": "evil.py:make", "arch-arg": ["x=1"],
    "recipe": "other.yaml", "output": "/tmp/ran", "overwrite": True, "json": "/tmp/ran",
    "device": "ssh://-oProxyCommand=touch", "model": "/dev/zero", "input": "1x3x8x8",
}  # fmt: skip


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Write the files, and say what takes them."""
    folder = work / "texts"
    folder.mkdir()
    (work / "evil.py").write_text(f"open({str(canary / 'ran')!r}, 'w')\n", encoding="utf-8")
    (work / "good.pt").write_bytes((CORPUS / "networks" / "whole.pt").read_bytes())
    for number, (kind, name, content) in enumerate(_texts(str(canary / "ran"))):
        path = folder / f"{number}.{'yaml' if kind == 'recipe' else 'json'}"
        path.write_bytes(content)
        at = str(path.relative_to(work))
        yield Case(f"{kind}: {name}", _commands(kind, at, number))


def _commands(kind: str, at: str, number: int) -> tuple[tuple[str, ...], ...]:
    quick = ("--opset", "17", "--no-bench", "-o", f"out/text{number}")
    if kind == "plan":
        return (("apply", at, "good.pt", *quick, "--other-weights"),)
    if kind == "recipe":
        return (("compress", "good.pt", "--recipe", at, "--dry-run"),)
    page = f"out/page{number}.html"
    check = ("check", at, "--fail-if", "ratio.macs > 2")
    return (check, (*check, "--baseline", at), ("check", at, "--write", "html", page))


def _texts(marker: str) -> Iterator[tuple[str, str, bytes]]:
    for kind in ("plan", "recipe", "report"):
        for number, content in enumerate(SHAPELESS):
            yield kind, f"shapeless {number}", content
    for kind, file in (("plan", "plans/plan.json"), ("report", "reports/report.json")):
        tree = json.loads((CORPUS / file).read_text(encoding="utf-8"))
        tree.pop("file_sha256", None)
        good = json.dumps(tree).encode()
        for seed in range(60):
            yield kind, f"changed {seed}", json_tree(good, Random(f"{kind} {seed}"))
        for place, key in enumerate(tree):
            for value in VALUES[place % 7 :: 7]:
                yield kind, f"{key} {str(value)[:20]!r}", json.dumps({**tree, key: value}).encode()
        for name in names(marker)[::2]:
            text = good.decode().replace('"0"', json.dumps(name)).replace('"net"', json.dumps(name))
            yield kind, f"name {name[:20]!r}", text.encode()
    yield from _plans()
    yield from _recipes(marker)


def _plans() -> Iterator[tuple[str, str, bytes]]:
    """Plans of the right form that no network fits."""
    for kept in ([], [-1], [10**9], [0, 0], [3, 1], [0.5], ["0"], list(range(9)), [True], None):
        group = {"group": "0", "width": 8, "kept": kept}
        plan = {"schema_version": 1, "model_sha256": "", "versions": {}, "groups": [group]}
        yield "plan", f"kept {str(kept)[:20]}", json.dumps(plan).encode()
        group["width"] = 10**12
        yield "plan", f"kept {str(kept)[:20]} of many", json.dumps(plan).encode()


def _recipes(marker: str) -> Iterator[tuple[str, str, bytes]]:
    """Recipes that grant, refer, call or never end."""
    for key, value in GRANTS.items():
        yield "recipe", f"grants {key}", yaml.safe_dump({key: value}).encode()
    for key in (
        "macs",
        "keep",
        "recover",
        "unit",
        "seed",
        "opset",
        "bench",
        "mean",
        "images",
        "fail-if",
    ):
        for value in VALUES[::2]:
            yield "recipe", f"{key} {str(value)[:20]!r}", yaml.safe_dump({key: value}).encode()
    for tag in (
        f"!!python/object/apply:os.system ['touch {marker}']", "!!python/name:os.system",
        "!!binary x",
        f"!!python/object/new:subprocess.Popen [[touch, {marker}]]", "!!timestamp x", "!evil x",
        "!!python/module:evil", "!!set {a, b}", "!!float x", "0x" + "f" * 100_000, "2001-99-99",
    ):  # fmt: skip
        yield "recipe", f"tag {tag[:30]}", f"macs: {tag}\n".encode()
    yield (
        "recipe",
        "aliases",
        b"a: &a [x, x]\n"
        + b"".join(
            f"{c}: &{c} [*{p}, *{p}, *{p}]\n".encode()
            for p, c in zip("abcdefghij", "bcdefghijk", strict=True)
        ),
    )
    yield "recipe", "merges", b"a: &a {b: c}\nd:\n  <<: *a\n"
    yield "recipe", "two documents", b"a: 1\n---\nb: 2\n"
    yield "recipe", "the same key twice", b"macs: 50%\nmacs: 60%\n"
    yield "recipe", "deep", b"a: " + b"[" * 5000
