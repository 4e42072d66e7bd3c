"""Damaged and hostile files against every parser, in process: thousands in a minute.

Each input is a small good file (``tests/fuzz/corpus``) that one to three mutators have changed.
It must end well or in an error of edgeprune's own, in bounded time; where checksums cover the
content, raw damage that is taken must leave the content equal. A parser runs in a child process,
which goes on behind an input that ends it.

    python benchmarks/trust/mutations.py --count 10000
"""

from __future__ import annotations

import argparse
import contextlib
import json
import math
import multiprocessing
import os
import resource
import signal
import sys
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, NoReturn

from mutators import RAW, mutated
from parsers import PARSERS, REFUSALS, Parser, is_refusal, read_bytes

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

LIMIT_S = 10
"""Longer than this, in seconds of this process, an input counts as one that hangs."""
MOST_SHOWN = 40
UNFIT = 3
"""Exit code of a child that cannot read the good files."""


class Hung(BaseException):
    """Time is up for one input."""


def main() -> None:
    """Mutate, parse and print the table."""
    chosen = _options()
    results = {}
    names = chosen.only or list(PARSERS)
    for name in names:
        results[name] = _in_children(name, math.ceil(chosen.count / len(names)), chosen.seed)
    chosen.out.write_text(json.dumps(results, indent=1), encoding="utf-8")
    print("| parser | inputs | refused | taken | taken changed | other errors | hung | crashed |")
    print("|---|---|---|---|---|---|---|---|")
    kinds = ("refused", "taken", "changed", "error", "hung", "crashed")
    totals: Counter[str] = Counter()
    for name, found in results.items():
        totals.update(found["counts"])
        print(f"| {name} | {sum(found['counts'].values())} | {_cells(found['counts'], kinds)} |")
    print(f"| all | {totals.total()} | {_cells(totals, kinds)} |")
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"\npeak memory of a process {peak:.0f} MiB")
    failures = [each for found in results.values() for each in found["failures"]]
    for failure in failures[:MOST_SHOWN]:
        print(failure)
    sys.exit(1 if failures else 0)


def _options() -> Any:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=10_000, help="inputs in all")
    parser.add_argument("--seed", type=int, default=0, help="random seed")
    parser.add_argument("--only", nargs="*", choices=list(PARSERS), help="parsers")
    parser.add_argument("--out", type=Path, default=Path("mutations.json"), help="results")
    return parser.parse_args()


def _cells(counts: Any, kinds: tuple[str, ...]) -> str:
    return " | ".join(str(counts.get(kind, 0)) for kind in kinds)


def _in_children(name: str, count: int, seed: int) -> dict[str, Any]:
    """Try so many inputs on a parser, each child going on where the last one ended."""
    counts: Counter[str] = Counter()
    failures: list[str] = []
    place = 0
    while place < count:
        ours, theirs = multiprocessing.Pipe(duplex=False)
        arguments = (theirs, name, range(place, count), seed)
        child = multiprocessing.get_context("fork").Process(target=_work, args=arguments)
        child.start()
        theirs.close()
        for outcome, detail in _answers(ours):
            place += 1
            counts[outcome] += 1
            if outcome not in ("refused", "taken"):
                failures.append(f"{name}, input {place - 1}: {outcome}: {detail}")
        child.join()
        if child.exitcode == UNFIT:
            sys.exit(f"{name}: its good files cannot be read")
        if child.exitcode != 0:
            counts["crashed"] += 1
            failures.append(f"{name}, input {place}: ended with {child.exitcode}")
            place += 1
    return {"counts": dict(counts), "failures": failures}


def _answers(ours: Connection) -> Any:
    with contextlib.suppress(EOFError):
        while True:
            yield ours.recv()


def _work(theirs: Connection, name: str, places: range, seed: int) -> None:
    warnings.simplefilter("ignore")
    signal.signal(signal.SIGALRM, _hang)
    parser = PARSERS[name]
    try:
        good = {path: read_bytes(parser, path.name, path.read_bytes()) for path in parser.files()}
    except REFUSALS as error:
        print(error, file=sys.stderr)
        os._exit(UNFIT)
    for place in places:
        path, data, raw = made(parser, f"{seed} {name} {place}")
        expected = good[path] if parser.checked and raw else None
        theirs.send(_outcome(parser, data, path.name, expected))


def made(parser: Parser, seed: str) -> tuple[Path, bytes, bool]:
    """An input: its good file, its bytes, and whether nothing but raw damage was done."""
    draw = Random(seed)
    path = draw.choice(parser.files())
    structural = draw.random() < 0.5
    mutators = parser.structure if structural else RAW
    data = path.read_bytes()
    for _ in range(draw.choice((1, 1, 2, 3)) if structural else 1):
        data = mutated(data, draw.choice(mutators), draw)
    return path, data, not structural


def _outcome(parser: Parser, data: bytes, name: str, expected: object) -> tuple[str, str]:
    signal.setitimer(signal.ITIMER_REAL, LIMIT_S)
    started = time.process_time()
    try:
        found = read_bytes(parser, name, data)
    except Hung:
        return "hung", f"{time.process_time() - started:.0f} s of CPU"
    except BaseException as error:
        if is_refusal(error):
            return "refused", ""
        where = traceback.extract_tb(error.__traceback__)[-1]
        return "error", f"{error!r:.200} ({Path(where.filename).name}:{where.lineno})"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
    return ("taken", "") if expected is None or found == expected else ("changed", str(found)[:200])


def _hang(*_: object) -> NoReturn:
    raise Hung


if __name__ == "__main__":
    main()
