"""PyTorch's two ONNX exporters: the newer one first, the older one where it fails.

Both are kept quiet: their output, warnings and log messages go to this module's logger at DEBUG
level.
"""

from __future__ import annotations

import ctypes
import inspect
import io
import logging
import os
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from edgeprune.errors import ModelUnsupported
from edgeprune.export.calling import Flat, named_outputs, without_logging
from edgeprune.layer_names import require_plain
from edgeprune.program.network import RecordedNetwork

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

logger = logging.getLogger(__name__)

NEWER_FROM_OPSET = 18
"""The newer exporter writes no older opset than this."""
MOST_BYTES = 1_800_000_000
"""Weights beyond this do not fit into one file: a protocol buffer ends at 2 GiB."""


@dataclass(frozen=True, slots=True)
class _Job:
    """Arguments of both exporters.

    Attributes:
        module: Module that takes tensors and returns a tensor or a tuple of tensors.
        inputs: Example inputs.
        inputs_named: Names of the inputs in the file.
        outputs_named: Names of the outputs in the file.
        batched: Names of inputs and outputs whose first dimension is the batch.
        opset: Opset of the default operator domain; None: the exporter's own choice.
        dynamic_batch: Whether the batch dimension stays open.
    """

    module: nn.Module
    inputs: tuple[Tensor, ...]
    inputs_named: list[str]
    outputs_named: list[str]
    batched: list[str]
    opset: int | None
    dynamic_batch: bool


def write(
    module: nn.Module,
    inputs: Mapping[str, Tensor],
    path: Path,
    *,
    opset: int | None,
    dynamic_batch: bool,
) -> tuple[str, ...]:
    """Write a module, which is in eval mode, as one ONNX file.

    Args:
        module: The network.
        inputs: Example inputs on the network's device, by their names in the file; batch 2 if the
            batch is to be dynamic.
        path: The file.
        opset: Opset of the default operator domain; None: the exporter's own choice.
        dynamic_batch: Leave the first dimension of the inputs open.

    Returns:
        Notes about fallbacks.

    Raises:
        ModelRefused: If a name in the network could become code.
        ModelUnsupported: If neither exporter can write the network, or it is too large.
    """
    require_plain(module, "the network")
    size = sum(t.numel() * t.element_size() for t in (*module.parameters(), *module.buffers()))
    if size > MOST_BYTES:
        raise ModelUnsupported(
            f"weights of {size / 1e9:.1f} GB do not fit into one ONNX file, which holds 2 GB"
        )
    job = _prepare(module, inputs, opset, dynamic_batch=dynamic_batch)
    if opset is not None and opset < NEWER_FROM_OPSET:
        try:
            _attempt(_write_older, job, path)
        except ModelUnsupported as failure:
            raise ModelUnsupported(
                f"{failure}; take a newer opset ({NEWER_FROM_OPSET} and up), or leave --opset out"
            ) from failure.__cause__
        return (f"opset {opset} was written by PyTorch's older exporter: the newer one cannot",)
    try:
        _attempt(_write_newer, job, path)
    except ModelUnsupported as failure:
        try:
            _attempt(_write_older, job, path)
        except ModelUnsupported:
            raise failure from failure.__cause__
        return (f"PyTorch's newer exporter failed, the older one was used: {failure}",)
    return ()


def _prepare(
    module: nn.Module, named: Mapping[str, Tensor], opset: int | None, *, dynamic_batch: bool
) -> _Job:
    names, inputs = list(named), tuple(named.values())
    try:
        with torch.no_grad(), _quiet():
            result = module(*inputs)
    except Exception as cause:
        raise ModelUnsupported(f"the network fails on noise: {_reason(cause)}") from cause
    outputs = named_outputs(result, tuple(names))
    if not outputs:
        raise ModelUnsupported("the network returns no tensor")
    batch = inputs[0].shape[0]
    names_its_inputs = not isinstance(module, RecordedNetwork)
    return _Job(
        module=module if isinstance(result, Tensor) and names_its_inputs else Flat(module),
        inputs=inputs,
        inputs_named=names,
        outputs_named=list(outputs),
        batched=[*names, *(name for name, t in outputs.items() if t.shape[:1] == (batch,))],
        opset=opset,
        dynamic_batch=dynamic_batch,
    )


def _attempt(exporter: Any, job: _Job, path: Path) -> None:
    try:
        with _quiet():
            exporter(job, path)
    except Exception as cause:  # whatever tracing a stranger's forward raises
        raise ModelUnsupported(f"cannot be written as ONNX: {_reason(cause)}") from cause


def _write_newer(job: _Job, path: Path) -> None:
    batch = torch.export.Dim("batch")
    each = tuple({0: batch} for _ in job.inputs)
    taken = inspect.signature(job.module.forward).parameters.values()
    any_number = any(each.kind is each.VAR_POSITIONAL for each in taken)  # *inputs: one argument
    shapes = (each,) if any_number else each
    torch.onnx.export(
        job.module,
        job.inputs,
        str(path),
        dynamo=True,
        external_data=False,
        verbose=False,
        opset_version=job.opset,
        input_names=job.inputs_named,
        output_names=job.outputs_named,
        dynamic_shapes=shapes if job.dynamic_batch else None,
    )


def _write_older(job: _Job, path: Path) -> None:
    axes = {name: {0: "batch"} for name in job.batched}
    with _native_output_dropped():
        torch.onnx.export(
            job.module,
            job.inputs,
            str(path),
            dynamo=False,
            verbose=False,
            opset_version=job.opset,
            input_names=job.inputs_named,
            output_names=job.outputs_named,
            dynamic_axes=axes if job.dynamic_batch else None,
        )


@contextmanager
def _quiet() -> Iterator[None]:
    """Send output, warnings and log messages of the block to the logger, at DEBUG level."""
    printed = io.StringIO()
    try:
        with (
            redirect_stdout(printed),
            redirect_stderr(printed),
            warnings.catch_warnings(record=True) as warned,
            without_logging(),
        ):
            warnings.simplefilter("always")
            yield
    finally:
        for text in (printed.getvalue().strip(), *(str(each.message) for each in warned)):
            if text:
                logger.debug("message of the exporter: %s", text)


@contextmanager
def _native_output_dropped() -> Iterator[None]:
    """Drop the output of C++ in the block: on failure, the graph, in spite of ``verbose``."""
    try:
        standard_output = os.dup(1)
    except OSError:  # there is none
        yield
        return
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 (a device, not a path of ours)
        os.dup2(nowhere.fileno(), 1)
    try:
        yield
    finally:
        if os.name == "posix":
            ctypes.CDLL(None).fflush(None)  # what C has buffered must not come out later
        os.dup2(standard_output, 1)
        os.close(standard_output)


def _reason(error: BaseException) -> str:
    """The first line of the error that caused the others."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines = (line.strip() for line in str(error).splitlines())
    return next((line for line in lines if line), type(error).__name__)
