"""``import edgeprune as ep``: the public names, and what importing them costs."""

from __future__ import annotations

import subprocess
import sys

import pytest

import edgeprune as ep


@pytest.mark.parametrize("name", ep.__all__)
def test_every_public_name_resolves_and_has_a_docstring(name: str) -> None:
    found = getattr(ep, name)
    assert callable(found)
    assert found.__doc__
    assert name in dir(ep)


def test_public_names_are_sorted_and_single() -> None:
    assert ep.__all__ == sorted(set(ep.__all__))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'compres'"):
        ep.compres  # noqa: B018


def modules_after(program: str) -> set[str]:
    """Names of the top-level modules that a fresh Python has imported after ``program``."""
    program += "; import sys; print(*(m for m in sys.modules if '.' not in m))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    return set(ran.stdout.split())


def test_importing_edgeprune_imports_nothing_heavy() -> None:
    loaded = modules_after("import edgeprune; dir(edgeprune)")
    assert "edgeprune" in loaded
    assert not loaded & {"torch", "torchvision", "torch_pruning", "numpy", "onnx", "onnxruntime"}


def test_measuring_needs_no_torch() -> None:
    loaded = modules_after("import edgeprune; edgeprune.benchmark; edgeprune.BenchSettings")
    assert not loaded & {"torch", "torchvision", "torch_pruning"}
