"""Every command explains itself, at once."""

from __future__ import annotations

import os
import subprocess
import sys

import click
import pytest
from invocation import edgeprune

from edgeprune.cli import COMMANDS, cli


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    ran = edgeprune(name, "--help")
    assert (ran.code, ran.err) == (0, "")
    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            assert parameter.opts[-1] in ran.out
            assert parameter.help, parameter.opts


@pytest.mark.parametrize("arguments", [["--help"], ["compress", "--help"], ["inspect", "--help"]])
def test_help_needs_no_torch(arguments: list[str]) -> None:
    program = (
        "import sys; from edgeprune.cli import main; code = main(sys.argv[1:]); "
        "sys.exit('torch' in sys.modules or code)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, check=False
    )
    assert ran.returncode == 0
    assert ran.stderr == b""


@pytest.mark.parametrize("given", [None, "active"])
def test_threads_that_wait_sleep_unless_the_user_says_otherwise(given: str | None) -> None:
    environment = {name: each for name, each in os.environ.items() if name != "OMP_WAIT_POLICY"}
    if given:
        environment["OMP_WAIT_POLICY"] = given
    script = (
        "import os, sys; sys.argv[1:] = ['--version']; from edgeprune.cli import main; main(); "
        "print(os.environ['OMP_WAIT_POLICY'])"
    )
    command = [sys.executable, "-c", script]
    ran = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
    assert ran.stdout.split()[-1] == (given or "passive")
