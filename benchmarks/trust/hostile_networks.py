"""Files of nothing but classes of torch.nn, whose names and attributes are the attack.

Names would end up in the source code that exporters generate; attributes are read by forward.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from sandbox import Case
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

KIND = "networks of torch.nn"

Change: TypeAlias = "Callable[[nn.Sequential], object]"

ODD = {
    "none": None, "text": "x", "huge": 10**9, "negative": -3, "float": 1.5, "list": [1, 2, 3],
    "bool": True, "nan": float("nan"), "tuple": (10**9, 10**9), "zero": (0, 0), "larger": 10**30,
}  # fmt: skip
NUMBERS = {"nan": float("nan"), "inf": float("inf"), "subnormal": 1e-40, "zero": 0.0}

PLACES: dict[str, Callable[[nn.Sequential, str], object]] = {
    "child": lambda net, name: net._modules.update({name: nn.ReLU()}),
    "inner child": lambda net, name: net[1]._modules.update({name: nn.Identity()}),
    "parameter": lambda net, name: net[0]._parameters.update({name: nn.Parameter(torch.ones(1))}),
    "buffer": lambda net, name: net[1]._buffers.update({name: torch.ones(1)}),
    "attribute": lambda net, name: vars(net[0]).update({name: torch.ones(1)}),
}


def names(marker: str) -> tuple[str, ...]:
    """Names of children, parameters and buffers that mean something to somebody."""
    code = f"open('{marker}','w')".replace(".", "\\x2e")
    return (
        *(f'training")\rexec("{code}")\rdef g(self):\r    ("', f"x\n{code}\n#", f"'+{code}+'"),
        *(f"x); {code}; (", f"$(touch {marker})", f"`touch {marker}`", f"; touch {marker} ;"),
        *("\x1b]0;title\x07", "\x1b[2J", "\u202egnp", "a\x00b", "\r\n", "<script>x</script>"),
        *("../../canary/ran", "/etc/passwd", "a.b", "a b", "{0.__class__}", "%s%n", "a" * 100_000),
        *("-o", "__class__", "forward", "self", "training", "class", "é", "ﬁ", "0", ""),
    )


def cases(work: Path, canary: Path) -> Iterator[Case]:
    """Write the files, and say what takes them."""
    folder = work / "networks"
    folder.mkdir()
    number = 0
    for place, put in PLACES.items():
        for name in names(str(canary / "ran")):
            net = network()
            put(net, name)
            number += 1
            yield _case(work, folder / f"name{number}.pt", net, f"{place} {name[:30]!r}")
    for number, (name, change) in enumerate(_attributes()):
        net = network()
        change(net)
        yield _case(work, folder / f"attribute{number}.pt", net, name)
    for number, (name, net) in enumerate(_layers()):
        yield _case(work, folder / f"layer{number}.pt", net, name)


def network() -> nn.Sequential:
    """A small network that would be pruned."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 4, 1))
    return nn.Sequential(*layers).eval()


def _case(work: Path, path: Path, net: nn.Module, name: str) -> Case:
    torch.save(net, path)
    at, shape = str(path.relative_to(work)), ("--input", "1x3x8x8")
    run = ("compress", at, *shape, "--opset", "17", "--no-bench", "--recover", "analytic", "-o")
    return Case(name, (("inspect", at, *shape), (*run, f"out/{path.stem}")))


def _attributes() -> Iterator[tuple[str, Change]]:
    """Attributes of modules that are not what they should be."""
    for name, value in ODD.items():
        for key in ("stride", "padding", "dilation", "groups", "in_channels", "kernel_size"):
            yield f"{key} {name}", _attribute(0, **{key: value})
    for key in ("_modules", "_parameters", "_buffers", "_forward_hooks", "_forward_pre_hooks"):
        yield f"{key} none", _attribute(1, **{key: None})
        yield f"{key} text", _attribute(1, **{key: "x"})
    yield "forward text", _attribute(2, forward="x")
    yield "forward a function", _attribute(2, forward=nn.functional.relu)
    yield "forward another layer's", lambda net: vars(net[2]).update(forward=net[1])
    yield "eps nan", _attribute(1, eps=float("nan"))
    yield "eps text", _attribute(1, eps="x")
    yield "training text", _attribute(1, training="x")
    yield "a child none", lambda net: net._modules.update({"1": None})
    yield "a child that is a tensor", lambda net: net._modules.update({"1": torch.ones(1)})
    yield "itself inside", lambda net: net[0]._modules.update({"again": net})
    yield "example none", lambda net: vars(net).update(example_input_array=())
    yield "example odd", lambda net: vars(net).update(example_input_array=torch.ones(3))
    for key in ("default_cfg", "pretrained_cfg"):
        for name, value in ODD.items():
            yield f"{key} {name}", _configured(key, value)
    yield from _weights()


def _weights() -> Iterator[tuple[str, Change]]:
    """Weights that are no numbers, of another type or of another shape."""
    for value in ("x", None, 3, torch.ones(1)):
        yield f"a weight that is {value!r:.9}", _weight(value)
    for name, number in NUMBERS.items():
        yield f"weights {name}", _weight(nn.Parameter(torch.full((8, 3, 3, 3), number)))
        yield f"variance {name}", _variance(number)
    for dtype in ("float16", "bfloat16", "float64", "complex64", "int8", "bool", "float8_e4m3fn"):
        values = torch.ones(8, 3, 3, 3).to(getattr(torch, dtype))
        yield f"weights {dtype}", _weight(nn.Parameter(values, requires_grad=False))
    for shape in ((), (0,), (8, 3), (8, 3, 3, 3, 3), (2**20, 0), (1, 3, 3, 3)):
        yield f"weights of {shape}", _weight(nn.Parameter(torch.zeros(shape)))


def _attribute(layer: int, **values: Any) -> Change:
    return lambda net: vars(net[layer]).update(values)


def _configured(key: str, value: object) -> Change:
    return lambda net: vars(net).update({key: {"input_size": (3, value, value), "mean": value}})


def _weight(value: Any) -> Change:
    return lambda net: net[0]._parameters.update(weight=value)


def _variance(number: float) -> Change:
    return lambda net: net[1]._buffers.update(running_var=torch.full((8,), number))


def _layers() -> Iterator[tuple[str, nn.Module]]:
    """Layers that make much of little."""
    conv = nn.Conv2d(3, 4, 1)
    shared: nn.Module = nn.ReLU()
    for _ in range(25):  # 2²⁵ calls
        shared = nn.Sequential(shared, shared)
    for name, layer in {
        "upsampled by 10,000": nn.Upsample(scale_factor=10_000),
        "pooled to 100,000": nn.AdaptiveAvgPool2d(100_000),
        "padded by a billion": nn.ZeroPad2d(10**9),
        "padded by a million": nn.ReflectionPad2d(10**6),
        "shuffled": nn.PixelShuffle(2),
        "repeated 2²⁵ times": shared,
        "3,000 deep": nn.Sequential(*(nn.ReLU() for _ in range(3000))),
        "unflattened": nn.Unflatten(1, (10**6, 10**6)),
        "folded": nn.Fold((10**5, 10**5), 2),
        "embedded": nn.Embedding(3, 4),
        "recurrent": nn.LSTM(8, 8),
        "attention": nn.MultiheadAttention(8, 2),
        "a loss": nn.CrossEntropyLoss(),
        "nothing": nn.Sequential(),
        "bilinear": nn.Bilinear(3, 3, 3),
        "lazy": nn.LazyConv2d(4, 1),
    }.items():
        yield name, nn.Sequential(conv, layer)
    yield "no layers", nn.Sequential()
    yield "a bare class", nn.Module()
