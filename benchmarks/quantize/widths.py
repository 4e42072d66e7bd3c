"""Which widths 8-bit kernels like: chains of equal layers, by their number of channels.

    python benchmarks/quantize/widths.py --seconds 0.3

Six layers of one kind behind each other, in float and in 8 bits, in ONNX Runtime on one thread. The
time is the 5th percentile, which other work on the machine hardly touches. No weights are trained
and nothing is accurate: widths alone matter.
"""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import helper, numpy_helper

from edgeprune.export.float_part import FloatPart
from edgeprune.export.qdq import write_qdq

LAYERS = 6
KINDS = {"3×3, 16 pixels": (3, 16, False), "1×1, 14 pixels": (1, 14, False),
         "depthwise 3×3, 28 pixels": (3, 28, True)}  # fmt: skip
"""Size of the kernel, of the map, and whether each channel has a filter of its own."""
WIDTHS = (8, 12, 16, 20, 24, 32, 40, 48, 56, 64, 80, 96)


def chain(width: int, kernel: int, pixels: int, *, depthwise: bool) -> onnx.ModelProto:
    """Convolutions with ReLUs, in float."""
    draw, nodes, weights = np.random.default_rng(0), [], []
    filters = (width, 1 if depthwise else width, kernel, kernel)
    for n in range(LAYERS):
        values = 0.1 * draw.standard_normal(filters)
        weights.append(numpy_helper.from_array(values.astype("f4"), f"w{n}"))
        read, made = f"x{n}", [f"c{n}", f"x{n + 1}"]
        sizes = {"kernel_shape": [kernel] * 2, "pads": [kernel // 2] * 4}
        groups = width if depthwise else 1
        nodes += [
            helper.make_node("Conv", [read, f"w{n}"], made[:1], f"conv{n}", group=groups, **sizes),
            helper.make_node("Relu", made[:1], made[1:], f"relu{n}"),
        ]
    shape = [1, width, pixels, pixels]
    ends = [helper.make_tensor_value_info(f"x{n}", 1, shape) for n in (0, LAYERS)]
    graph = helper.make_graph(nodes, "chain", ends[:1], ends[1:], weights)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def in_8_bits(model: onnx.ModelProto) -> onnx.ModelProto:
    """The chain quantized, with ranges that mean nothing."""
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    weights = {tensor.name for tensor in model.graph.initializer}
    ranges = dict.fromkeys(names - weights, (0.0, 4.0))
    return write_qdq(model, ranges, FloatPart(), "u8")


def latency(model: onnx.ModelProto, seconds: float) -> float:
    """The 5th percentile of the time of an inference, in seconds."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    shape = [each.dim_value for each in model.graph.input[0].type.tensor_type.shape.dim]
    feed = {"x0": np.random.default_rng(1).random(shape).astype("f4")}
    times, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end or len(times) < 20:
        started = time.perf_counter()
        session.run(None, feed)
        times.append(time.perf_counter() - started)
    return float(np.percentile(times, 5))


def main() -> None:
    """Print a table, and write all figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=0.3, help="of each chain")
    parser.add_argument("--widths", type=int, nargs="+", default=WIDTHS)
    parser.add_argument("--out", type=Path, default=Path("widths.json"))
    options = parser.parse_args()
    columns = ("channels", *(f"{kind}: float, int8 µs" for kind in KINDS))
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)
    results: dict[str, dict[str, tuple[float, float]]] = {}
    for width in options.widths:
        row = {}
        for kind, (kernel, pixels, depthwise) in KINDS.items():
            model = chain(width, kernel, pixels, depthwise=depthwise)
            both = model, in_8_bits(model)
            row[kind] = (latency(both[0], options.seconds), latency(both[1], options.seconds))
        cells = [f"{1e6 * floats:.0f}, {1e6 * codes:.0f}" for floats, codes in row.values()]
        print(f"| {' | '.join((str(width), *cells))} |", flush=True)
        results[str(width)] = row
        options.out.write_text(json.dumps(results, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
