"""The help of a flag names every choice that its table has: both are lists that people read."""

from __future__ import annotations

from typing import Any

import click
import pytest

from edgeprune.bench import DEVICES, RUNTIMES
from edgeprune.calibration.observers import OBSERVERS
from edgeprune.cli.compress import command
from edgeprune.export import TARGETS
from edgeprune.export.roundings import ROUNDINGS
from edgeprune.images.sources import SOURCES
from edgeprune.pruning import BUDGETS, CRITERIA
from edgeprune.recovery import METHODS


def option(name: str) -> click.Option:
    return next(p for p in command.params if isinstance(p, click.Option) and name in p.opts)


@pytest.mark.parametrize(
    ("flag", "table"),
    [
        ("--importance", CRITERIA),
        ("--recover", METHODS),
        ("--synthesis", SOURCES),
        ("--ranges", OBSERVERS),
        ("--rounding", ROUNDINGS),
    ],
)
def test_help_names_every_choice(flag: str, table: Any) -> None:
    text = option(flag).help or ""
    assert [name for name in table if name not in text] == []


@pytest.mark.parametrize(
    ("flag", "table"),
    [
        ("--importance", CRITERIA),
        ("--recover", METHODS),
        ("--target", TARGETS),
        ("--runtime", RUNTIMES),
        ("--device", DEVICES),
        ("--ranges", OBSERVERS),
        ("--rounding", ROUNDINGS),
    ],
)
def test_default_is_a_choice(flag: str, table: Any) -> None:
    assert option(flag).default in table


def test_every_budget_has_its_flag() -> None:
    assert all(option(f"--{kind}") for kind in BUDGETS)
