"""Prove that an ONNX file computes what the PyTorch module does, on many inputs.

A single input and an absolute tolerance prove little: one input in two thousand may be off, and
a network's outputs may be 1e-12 in all. So many seeded inputs are run, every output is compared
relative to its own scale, and the winning channel must be the same at every position.
"""

from __future__ import annotations

import copy
import time
from itertools import count, cycle
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.calibration.onnx_runs import session
from edgeprune.errors import VerificationFailed
from edgeprune.export.calling import in_eval_mode, input_names, named_outputs
from edgeprune.parity import Closeness, NetworkComparison
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from edgeprune.artifacts import InputSpec, Parity
    from edgeprune.parity import Array

Run: TypeAlias = "Callable[[list[str], dict[str, Array]], Sequence[Array]]"
"""Takes the names of the outputs and the inputs by name, gives the outputs."""

TOLERANCE = 1e-4
"""Float32 rounding gives 1e-7 to 1e-5 of an output's scale; a wrong graph gives 1e-2 and more."""
AT_LEAST = 8
"""Inputs that are compared however long they take."""


def check(  # noqa: PLR0913
    run: Run,
    module: nn.Module,
    input: InputSpec,  # noqa: A002 (the field's word)
    *,
    dynamic_batch: bool = False,
    n: int = 32,
    seconds: float = 10.0,
    seed: int = 0,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Compare all outputs of a file, run on the CPU, with PyTorch's.

    Args:
        run: Runs the file; for ONNX: ``in_onnxruntime``.
        module: What it was exported from; not changed.
        input: Shapes of the inputs.
        dynamic_batch: Alternate between batches of 1 and 3, and not 1 only.
        n: Stop after so many inputs. More: surer, slower.
        seconds: Stop after so long, though not before ``AT_LEAST`` inputs.
        seed: Random seed of the standard normal inputs.
        tolerance: Largest difference allowed, as a share of the output's scale.

    Returns:
        The comparison over all outputs and inputs.

    Raises:
        VerificationFailed: When the file cannot be run, an output differs by more than
            ``tolerance`` of its scale, or another channel wins anywhere.
    """
    reference = _on_cpu(module)
    comparison = NetworkComparison()
    started = time.monotonic()
    with in_eval_mode(reference), torch.no_grad():
        for inputs in _inputs(input, seed, (1, 3) if dynamic_batch else (1,)):
            names = input_names(len(inputs), input.names)
            _compare(run, reference, dict(zip(names, inputs, strict=True)), comparison)
            late = time.monotonic() - started > seconds
            if comparison.n >= n or (late and comparison.n >= AT_LEAST):
                break
    return _verdict(comparison, tolerance)


def in_onnxruntime(path: Path) -> Run:
    """ONNX Runtime, with the file loaded.

    Raises:
        VerificationFailed: When it cannot be.
    """
    run: Run = session(path).run
    return run


def _on_cpu(module: nn.Module) -> nn.Module:
    """The module itself if it is on the CPU: GPUs round convolutions to 10 bits by default."""
    device = next((parameter.device for parameter in module.parameters()), torch.device("cpu"))
    return module if device.type == "cpu" else copy.deepcopy(module).cpu()


def _inputs(spec: InputSpec, seed: int, batches: tuple[int, ...]) -> Iterator[tuple[Tensor, ...]]:
    for draw, batch in zip(count(seed), cycle(batches), strict=False):
        yield random_inputs(spec, batch=batch, seed=draw)


def _compare(
    run: Run, module: nn.Module, inputs: dict[str, Tensor], so_far: NetworkComparison
) -> None:
    feed = {name: tensor.numpy() for name, tensor in inputs.items()}
    wanted = named_outputs(module(*(tensor.clone() for tensor in inputs.values())), tuple(inputs))
    try:
        got = run(list(wanted), feed)
    except Exception as cause:  # runtimes' exceptions share no base
        raise VerificationFailed(f"the exported file cannot be run: {cause}") from cause
    references = {name: tensor.numpy() for name, tensor in wanted.items()}
    so_far.add(references, got, batch=next(iter(inputs.values())).shape[0])


def _verdict(comparison: NetworkComparison, tolerance: float) -> Parity:
    parity, outputs = comparison.result(), comparison.by_output()
    if parity.max_rel_diff > tolerance:
        worst = max(
            outputs, key=lambda name: (outputs[name].max_rel_diff, -outputs[name].argmax_agreement)
        )
        raise _failed(worst, outputs[worst], parity.n, tolerance)
    if parity.argmax_agreement < 1:
        worst = min(outputs, key=lambda name: outputs[name].argmax_agreement)
        raise _failed(worst, outputs[worst], parity.n, tolerance)
    return parity


def _failed(name: str, closeness: Closeness, n: int, tolerance: float) -> VerificationFailed:
    return VerificationFailed(
        f"the exported file's output {name!r} is not PyTorch's: it differs by "
        f"{closeness.max_rel_diff:.1e} of its scale (at most {tolerance:.0e} is rounding), "
        f"the same channel wins at {closeness.argmax_agreement:.2%} of positions, {n} inputs"
    )
