"""Random networks: pruned, proved, exported and compared; what fails is named by its seed.

    python benchmarks/coverage/random_networks.py --count 2000
    python benchmarks/coverage/random_networks.py --seeds 17 93    # these alone, in full

Each network is made of up to five blocks of ``random_blocks.py`` and ``random_patterns.py``. A
random number of channels of every group that may lose some is cut; the cut is proved in double
precision against the original with these channels absent, and the ONNX file compared with PyTorch.
A network fails where anything but a refusal in words ends that, where a group passes the trial and
another cut of it does not, or where two cuts of one plan differ. JSON has every network: its
blocks, how many channels could go, and the reasons of those that could not.
"""

from __future__ import annotations

import argparse
import datetime
import json
import random
import re
import tempfile
import time
import traceback
import warnings
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import random_network
import torch

import edgeprune as ep
from edgeprune.artifacts import KeptChannels, PruningPlan
from edgeprune.errors import ModelUnsupported

if TYPE_CHECKING:
    from edgeprune.artifacts import TracedModel

PAGE = """\
# Random networks

Made by `python benchmarks/coverage/random_networks.py --page FILE` on {date}. Networks of up to 5
random blocks of 35 kinds (residual sums, concatenations, splits, shuffles, gates, norms of every
kind, pads, transposed convolutions, attention, written shapes): random numbers of channels of every
group are cut, the cut is proved in double precision against the original with these absent,
and the ONNX file is compared with PyTorch.

{summary}.

Why groups stay whole:

{reasons}
"""

SHAPE = (1, 3, random_network.SIDE, random_network.SIDE)


def measured(seed: int) -> dict[str, Any]:
    """What became of the network of a seed; ``failed`` where something is wrong."""
    found: dict[str, Any] = {"seed": seed}
    started = time.process_time()
    try:
        network, found["blocks"] = random_network.build(random_network.numbers_of(seed))
        found |= checked(network, seed)
    except Exception as error:  # whatever it is, it is what is looked for
        last = traceback.extract_tb(error.__traceback__)[-1]
        place = f"{Path(last.filename).name}:{last.lineno}"
        found["failed"] = f"{type(error).__name__} at {place}: {error}"[:500]
    return found | {"cpu_s": round(time.process_time() - started, 2)}


def checked(network: torch.nn.Module, seed: int) -> dict[str, Any]:
    """Prune, prove, export and compare; raises where something is wrong."""
    try:
        traced, _ = ep.survey(ep.wrap(network, SHAPE))
    except ModelUnsupported as refusal:
        return {"refused": str(refusal)}
    found: dict[str, Any] = {
        "groups": len(traced.groups),
        "free": sum(group.width for group in traced.prunable),
        "channels": sum(group.width for group in traced.groups),
        "rebuilt": traced.written is not None,
        "locked": sorted({g.locked_because for g in traced.groups if g.locked_because}),
    }
    if not traced.prunable:
        return found
    pruned = ep.prune(traced, random_plan(traced, seed))
    with tempfile.TemporaryDirectory() as folder:
        exported = ep.OnnxTarget()(pruned.module, pruned.input, Path(folder, "cut.onnx"), {})
    return found | {
        "proof": pruned.surgery.max_rel_diff,
        "compared": pruned.surgery.layers,
        "parity": exported.parity.max_rel_diff,
    }


def random_plan(traced: TracedModel, seed: int) -> PruningPlan:
    """Some channels of every group that may lose some; two stay, as deviations need them."""
    draw = random.Random(seed)
    entries = []
    for group in traced.prunable:
        partition = group.width // group.partitions
        stay = set(draw.sample(range(partition), draw.randint(min(2, partition), partition)))
        kept = tuple(i for i in range(group.width) if i % partition in stay)
        if len(kept) < group.width:
            entries.append(KeptChannels(group.name, group.width, kept))
    return PruningPlan(tuple(entries), traced.source.sha256, {})


def summary(results: list[dict[str, Any]]) -> str:
    """How many networks came through, and why channels stay."""
    proved = [each for each in results if "parity" in each]
    failed = [each for each in results if "failed" in each]
    refused = [each for each in results if "refused" in each]
    free, of = (sum(each.get(key, 0) for each in results) for key in ("free", "channels"))
    rebuilt = sum(bool(each.get("rebuilt")) for each in results)
    worst = {key: max((each[key] for each in proved), default=0.0) for key in ("proof", "parity")}
    return (
        f"{len(results)} networks: {len(proved)} pruned, proved and exported ({rebuilt} by their "
        f"recorded graph), {len(refused)} refused in words, {len(failed)} failed; "
        f"{free / max(1, of):.0%} of the channels free; largest difference of a proof "
        f"{worst['proof']:.0e}, of a file {worst['parity']:.0e}"
    )


def reasons(results: list[dict[str, Any]], most: int = 15) -> str:
    """Why channels stay, without the places, as a table: in how many networks."""
    counted: Counter[str] = Counter()
    for each in results:
        counted.update(
            {re.sub(r"(?<!\w)'[^']*'", "…", reason) for reason in each.get("locked", ())}
        )
    lines = [f"| {count} | {reason} |" for reason, count in counted.most_common(most)]
    return "\n".join(("| networks | because |", "|---|---|", *lines))


def page(results: list[dict[str, Any]]) -> str:
    """What was found, as a page."""
    today = datetime.datetime.now(datetime.UTC).date()
    return PAGE.format(date=today, summary=summary(results), reasons=reasons(results))


def main() -> None:
    """Try networks and keep all findings as JSON; exit status 1 where one failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--seeds", type=int, nargs="+", default=[], help="these alone, printed")
    parser.add_argument("--out", type=Path, default=Path("random_networks.json"))
    parser.add_argument("--page", type=Path, help="write what was found as a page there")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # of the exporter
    results = []
    for seed in options.seeds or range(options.first, options.first + options.count):
        results.append(measured(seed))
        if options.seeds or "failed" in results[-1]:
            print(json.dumps(results[-1]), flush=True)
        if len(results) % 20 == 0:
            options.out.write_text(json.dumps(results), encoding="utf-8")
    options.out.write_text(json.dumps(results), encoding="utf-8")
    print(f"{reasons(results)}\n\n{summary(results)}")
    if options.page is not None:
        options.page.write_text(page(results), encoding="utf-8")
    raise SystemExit(any("failed" in each for each in results))


if __name__ == "__main__":
    main()
