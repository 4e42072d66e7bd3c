"""Heat and governors as /sys shows them, and the notes on them."""

from __future__ import annotations

import os
import sys

import pytest

from edgeprune.bench import throttling
from edgeprune.bench.worker import machine

COOL = {"hz": 2_400_000_000, "margin_c": 30.0}
FIXED = {"governor": "performance"}


@pytest.fixture
def system(tmp_path):
    """A /sys with one thermal zone at 78 °C that throttles at 80 °C, and cores at 1.5 GHz."""
    files = {
        "class/thermal/thermal_zone0/temp": "78000\n",
        "class/thermal/thermal_zone0/trip_point_0_type": "passive\n",
        "class/thermal/thermal_zone0/trip_point_0_temp": "80000\n",
        "class/thermal/thermal_zone0/trip_point_1_type": "critical\n",
        "class/thermal/thermal_zone0/trip_point_1_temp": "79000\n",
        "class/thermal/thermal_zone1/trip_point_0_type": "passive\n",
    }
    for core in range(os.cpu_count() or 1):
        files[f"devices/system/cpu/cpu{core}/cpufreq/scaling_cur_freq"] = "1500000\n"
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has /sys")
def test_frequency_and_heat_are_read(system):
    assert machine.clock(system) == {"hz": 1_500_000_000, "margin_c": 2.0}


def test_unknown_facts_are_none(tmp_path):
    assert machine.clock(tmp_path) == {"hz": None, "margin_c": None}


def test_a_quiet_machine_needs_no_note():
    assert list(throttling.notes([(COOL, COOL)] * 3, FIXED)) == []
    assert list(throttling.notes([(None, None)], {"governor": None})) == []
    silent = {"hz": None, "margin_c": None}
    assert list(throttling.notes([(silent, silent)], FIXED)) == []


@pytest.mark.parametrize(
    ("clock", "environment", "part"),
    [
        ({"margin_c": 4.0}, {}, "4 degrees"),
        ({"margin_c": -1.0}, {}, "-1 degrees"),
        ({"hz": 1_800_000_000}, {}, "fell by 25% during 1 of 2"),
        ({}, {"governor": "ondemand, performance"}, "ondemand"),
    ],
    ids=["near", "beyond", "slower", "governor"],
)
def test_what_moved_the_clock_has_a_note(clock, environment, part):
    sessions = [(COOL, COOL), (COOL, COOL | clock)]
    (note,) = throttling.notes(sessions, FIXED | environment)
    assert part in note
