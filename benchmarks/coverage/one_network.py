"""What can be pruned of one network: prints the figures as JSON.

    python benchmarks/coverage/one_network.py timm:mixnet_s

Half of every group is cut, proved and exported. Torch-Pruning, where it is installed, halves the
same network by itself, with the layers that make the outputs left out and C2f blocks rewritten as
its users do; what became of that is a line of its own.
"""

from __future__ import annotations

import argparse
import copy
import importlib.util
import json
import os
import resource
import signal
import tempfile
import warnings
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import networks
import torch
from c2f import split_apart

import edgeprune as ep
from edgeprune.costs import count
from edgeprune.errors import EdgepruneError
from edgeprune.graph.outputs import tensors_in
from edgeprune.pruning.surgery import trial_plan
from edgeprune.report.coverage import coverage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn

    from edgeprune.artifacts import SourceModel, TracedModel


ALONE_CPU_S, ALONE_BYTES = 60, 4 << 30
"""What Torch-Pruning may take: its lists of indices grow with products of maps, without end."""


def measured(source: SourceModel, found: dict[str, Any]) -> tuple[str, ...]:
    """Put groups, coverage, proof and parity of a network into ``found``, or why it was refused.

    Returns:
        The layers that make the network's outputs, as far as they were found.
    """
    outputs: tuple[str, ...] = ()
    started = _cpu_s()
    try:
        traced, costs = ep.survey(source)
        found["tracing_cpu_s"] = _cpu_s() - started
        covered = coverage(traced, costs)
        outputs = _makers_of_outputs(traced)
        found |= {
            "attention": _attends(traced),
            "rebuilt": traced.written is not None,
            "groups": len(traced.groups),
            "prunable_macs_share": covered.prunable_macs_share,
            "fixed_width_macs_share": covered.fixed_width_macs_share,
            "reasons": _reasons(traced, dict.fromkeys(outputs, ""), covered),
        }
        found |= _halved(traced, costs.macs)
    except EdgepruneError as refusal:
        found["failed"] = f"{type(refusal).__name__}: {refusal}"
    found["cpu_s"] = _cpu_s() - started
    return outputs


def _cpu_s() -> float:
    """CPU seconds of this process and of those that it has ended."""
    return sum(os.times()[:4])


def _attends(traced: TracedModel) -> bool:
    """Whether maps are multiplied with maps, as attention does."""
    moving = traced.record.activation_bytes
    return any(
        operation.name in ("bmm", "baddbmm")
        and all(view.value in moving for view in operation.reads[-2:])
        for operation in traced.record.operations
    )


def _halved(traced: TracedModel, macs: int) -> dict[str, Any]:
    """Cut half of every group, prove it, and export it."""
    pruned = ep.prune(traced, trial_plan(traced))
    left = count(pruned.module, pruned.input)
    with tempfile.TemporaryDirectory() as folder:
        exported = ep.OnnxTarget()(pruned.module, pruned.input, Path(folder, "half.onnx"), {})
    return {
        "half_macs": left.macs / macs,
        "proof": pruned.surgery.max_rel_diff,
        "parity": exported.parity.max_rel_diff,
    }


def _makers_of_outputs(traced: TracedModel) -> tuple[str, ...]:
    """Layers that make the network's outputs."""
    return tuple(
        member.layer
        for group in traced.groups
        if "network's output" in (group.locked_because or "")
        for member in group.having("producer", "depthwise")
    )


def _reasons(traced: TracedModel, outputs: dict[str, str], covered: Any) -> dict[str, float]:
    """Why groups are locked, apart from those of outputs, with their share of MACs."""
    shares = {locked.layer: locked.macs_share for locked in covered.locked}
    found: Counter[str] = Counter()
    for group in traced.groups:
        if group.locked_because is not None and group.name not in outputs:
            found[group.locked_because] += shares[group.name]
    return dict(found.most_common(5))


def _halved_by_torch_pruning(
    network: nn.Module, source: SourceModel, outputs: tuple[str, ...]
) -> str:
    """What becomes of a network that Torch-Pruning halves, in words."""
    import torch_pruning

    example = torch.randn(source.input.shapes[0])
    macs = count(network, source.input).macs
    try:
        ignored = [network.get_submodule(name) for name in outputs]
        split_apart(network)
        before = [value.shape for value in tensors_in(network(example))]
        torch_pruning.pruner.MagnitudePruner(
            network, example, torch_pruning.importance.MagnitudeImportance(),
            pruning_ratio=0.5, ignored_layers=ignored,
        ).step()  # fmt: skip
        with torch.no_grad():
            after = [value.shape for value in tensors_in(network.eval()(example))]
    except Exception as error:  # any of a library that is measured
        return f"fails: {type(error).__name__}"
    if after != before:
        return "runs, with other outputs"
    return f"runs, {count(network, source.input).macs / macs:.0%} of the MACs"


@contextmanager
def _limited() -> Iterator[None]:
    """End what takes too long or too much, by an exception."""

    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGXCPU, stop)
    spent = int(sum(resource.getrusage(resource.RUSAGE_SELF)[:2]))
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    bounds = {
        resource.RLIMIT_CPU: spent + ALONE_CPU_S,
        resource.RLIMIT_AS: pages * resource.getpagesize() + ALONE_BYTES,
    }
    known = {kind: resource.getrlimit(kind) for kind in bounds}
    try:
        for kind, most in bounds.items():
            resource.setrlimit(kind, (most, known[kind][1]))
        yield
    finally:
        for kind, both in known.items():
            resource.setrlimit(kind, both)
        signal.signal(signal.SIGXCPU, before)


def main() -> None:
    """Measure one network."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("network")
    name = parser.parse_args().network
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # those of the networks and of the library beside ours
    built = networks.build(name)
    found: dict[str, Any] = {"network": name}
    try:
        source = ep.wrap(built.module, built.shape)
    except EdgepruneError as refusal:
        print(json.dumps(found | {"failed": f"{type(refusal).__name__}: {refusal}"}))
        return
    found["input"] = list(source.input.shapes[0])
    alone = copy.deepcopy(source.module)
    outputs = measured(source, found)
    print(json.dumps(found), flush=True)
    if importlib.util.find_spec("torch_pruning"):
        heads = (built.head,) if built.head else outputs
        with _limited():
            became = _halved_by_torch_pruning(alone, source, heads)
        print(json.dumps({"torch_pruning": became}))


if __name__ == "__main__":
    main()
