"""What the page of a run directory has besides: links, names on plots, and code that runs."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import onnx
import page_examples
import pytest
from onnx import TensorProto, helper
from PIL import Image

from edgeprune.report import formats
from edgeprune.report.html import beside, plots

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return page_examples.run_directory(tmp_path)


def test_links_are_to_files_that_stand_there(run: Path) -> None:
    text = formats.as_html(page_examples.compressed(), run)
    linked = set(re.findall(r'<a href="([^"]*)"', text))
    assert "compressed.onnx" in linked
    assert "original.onnx" not in linked
    assert {name for name in linked if not (run / name).exists()} <= set(beside.AFTER_THE_PAGE)


def test_a_page_that_stands_alone_links_to_nothing() -> None:
    assert "<a href" not in formats.as_html(page_examples.compressed())


def test_a_large_sheet_stays_beside_the_page(run: Path) -> None:
    (run / "images.png").write_bytes(bytes(beside.LARGEST_SHEET + 1))
    assert beside.sheets(run) == (beside.Sheet("images.png", "images.png"),)


def test_the_code_to_run_it_prepares_a_picture_as_the_report_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    values = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, (1, 3, 32, 32)) for name in "xy"
    ]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, tmp_path / "compressed.onnx")
    Image.new("RGB", (32, 32), (255, 0, 51)).save(tmp_path / "picture.jpg", quality=100)
    monkeypatch.chdir(tmp_path)
    scope: dict[str, object] = {"print": lambda found: scope.update(found=found)}
    exec(beside.snippet(page_examples.compressed()), scope)
    found = np.asarray(scope["found"])
    assert found.shape == (1, 3, 32, 32)
    expected = (np.array([1, 0, 0.2]) - (0.5, 0.4, 0.3)) / (0.25, 0.2, 0.1)
    assert found.mean(axis=(0, 2, 3)) == pytest.approx(expected, abs=0.05)


def test_code_for_other_inputs_names_what_they_are() -> None:
    report = page_examples.compressed()
    assert report.model is not None
    spectra = replace(report.model, input=((1, 1, 49, 10),), preprocessing=None)
    code = beside.snippet(replace(report, model=spectra))
    compile(code, "snippet", "exec")
    assert "1x1x49x10" in code


def test_methods_that_were_tried_stand_on_a_ladder_and_layers_have_names() -> None:
    report = page_examples.compressed()
    (ladder,) = plots.ladder(report)
    assert all(name in ladder.svg for name in ("none", "lbyl", "nm", "0.500"))
    svg = next(iter(plots.layers(report))).svg
    named = [layer.name for layer in report.layers if layer.before.macs]
    assert all(f"<title>{name} (" in svg for name in named)
