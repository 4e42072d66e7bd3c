"""Prove that an ONNX file computes what the PyTorch module does, on many inputs.

A single input and an absolute tolerance prove little: one input in two thousand may be off, and
a network's outputs may be 1e-12 in all. So many seeded inputs are run, every output is compared
relative to its own scale, and the winning channel must be the same at every position.

Some networks round by more than others: where a file differs by more than usual, the network itself
in float32 is compared with itself in float64 on the same inputs, and the file may differ by some
times as much.
"""

from __future__ import annotations

import copy
import time
from dataclasses import dataclass
from itertools import count, cycle
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor, nn

from edgeprune.calibration.onnx_runs import session
from edgeprune.errors import VerificationFailed
from edgeprune.export.calling import in_eval_mode, input_names, named_outputs
from edgeprune.parity import NetworkComparison
from edgeprune.random_inputs import random_inputs

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from edgeprune.artifacts import InputSpec, Parity
    from edgeprune.parity import Array

Run: TypeAlias = "Callable[[list[str], dict[str, Array]], Sequence[Array]]"
"""Takes the names of the outputs and the inputs by name, gives the outputs."""

TOLERANCE = 1e-4
"""Float32 rounding gives 1e-7 to 1e-5 of an output's scale; a wrong graph gives 1e-2 and more."""
ROUNDINGS, LARGEST = 4.0, 5e-3
"""So many times a network's own rounding may a file differ, and by no more than this: two programs
in float32 are each one rounding away from the exact result, in the worst of many inputs."""
AT_LEAST = 8
"""Inputs that are compared however long they take."""


@dataclass(frozen=True, slots=True)
class Verification:
    """How a file is compared with the network that it was exported from.

    Attributes:
        dynamic_batch: Alternate between batches of 1 and 3, and not 1 only.
        n: Stop after so many inputs. More: surer, slower.
        seconds: Stop after so long, though not before ``AT_LEAST`` inputs.
        seed: Random seed of the standard normal inputs.
        tolerance: Largest difference allowed, as a share of an output's scale, where the network's
            own rounding is no larger.
    """

    dynamic_batch: bool = False
    n: int = 32
    seconds: float = 10.0
    seed: int = 0
    tolerance: float = TOLERANCE

    def __call__(self, run: Run, module: nn.Module, input: InputSpec, name: str) -> Parity:  # noqa: A002
        """Compare all outputs of a file, run on the CPU, with PyTorch's.

        Args:
            run: Runs the file; for ONNX: ``in_onnxruntime``.
            module: What it was exported from; not changed.
            input: Shapes of the inputs.
            name: Name of the file, for errors.

        Returns:
            The comparison over all outputs and inputs.

        Raises:
            VerificationFailed: When the file cannot be run, an output differs by more than the
                tolerance, or another channel wins anywhere.
        """
        reference = _on_cpu(module)
        compared = self._compared(reference, input, run, NetworkComparison(), name)
        try:
            return _verdict(compared, {}, self.tolerance, name)
        except VerificationFailed as failure:
            limits = self._limits(reference, input)
            if max(limits.values(), default=0.0) <= self.tolerance:
                raise
            wider = NetworkComparison(tie=max(limits.values()))
            compared = self._compared(reference, input, run, wider, name)
            try:
                return _verdict(compared, limits, self.tolerance, name)
            except VerificationFailed:
                raise failure from None

    def _compared(
        self,
        reference: nn.Module,
        input: InputSpec,  # noqa: A002
        run: Run,
        comparison: NetworkComparison,
        name: str,
    ) -> NetworkComparison:
        started = time.monotonic()
        with in_eval_mode(reference), torch.no_grad():
            for inputs in self._inputs(input):
                _compare(run, reference, inputs, comparison, name)
                late = time.monotonic() - started > self.seconds
                if comparison.n >= self.n or (late and comparison.n >= AT_LEAST):
                    break
        return comparison

    def _limits(self, reference: nn.Module, input: InputSpec) -> dict[str, float]:  # noqa: A002
        """What each output may differ by: some times the network's own rounding in float32.

        Nothing where the network does not run in float64.
        """
        double = copy.deepcopy(reference).double()

        def exact(names: list[str], feed: dict[str, Array]) -> list[Array]:
            inputs = [torch.from_numpy(each) for each in feed.values()]
            wide = [each.double() if each.is_floating_point() else each for each in inputs]
            found = named_outputs(double(*wide), tuple(feed))
            return [found[name].numpy() for name in names]

        try:
            with in_eval_mode(double):
                own = self._compared(reference, input, exact, NetworkComparison(), "").by_output()
        except VerificationFailed:
            return {}
        return {
            output: min(LARGEST, max(self.tolerance, ROUNDINGS * found.max_rel_diff))
            for output, found in own.items()
        }

    def _inputs(self, spec: InputSpec) -> Iterator[dict[str, Tensor]]:
        for draw, batch in zip(
            count(self.seed), cycle((1, 3) if self.dynamic_batch else (1,)), strict=False
        ):
            inputs = random_inputs(spec, batch=batch, seed=draw)
            yield dict(zip(input_names(len(inputs), spec.names), inputs, strict=True))


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


def _compare(
    run: Run, module: nn.Module, inputs: dict[str, Tensor], so_far: NetworkComparison, name: str
) -> None:
    feed = {name: tensor.numpy() for name, tensor in inputs.items()}
    wanted = named_outputs(module(*(tensor.clone() for tensor in inputs.values())), tuple(inputs))
    try:
        got = run(list(wanted), feed)
    except Exception as cause:  # runtimes' exceptions share no base
        raise VerificationFailed(f"the exported {name} cannot be run: {cause}") from cause
    references = {name: tensor.numpy() for name, tensor in wanted.items()}
    so_far.add(references, got, batch=next(iter(inputs.values())).shape[0])


def _verdict(
    comparison: NetworkComparison, limits: Mapping[str, float], tolerance: float, name: str
) -> Parity:
    """What was found, unless an output is further away than its limit, or another channel wins."""
    parity = comparison.result()
    for output, found in comparison.by_output().items():
        limit = limits.get(output, tolerance)
        if found.max_rel_diff > limit or found.argmax_agreement < 1:
            raise VerificationFailed(
                f"output {output!r} of the exported {name} is not PyTorch's: it differs by "
                f"{found.max_rel_diff:.1e} of its scale (at most {limit:.0e} is rounding), the "
                f"same channel wins at {found.argmax_agreement:.2%} of positions, {parity.n} inputs"
            )
    return parity
