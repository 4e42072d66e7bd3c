"""The flags that commands share, and the settings they stand for.

A flag has the same name on every command and as a key of recipe.yaml.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import reduce
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from edgeprune import choice_names
from edgeprune.cli import budgets
from edgeprune.cli.check import fail_if_option
from edgeprune.cli.console import loading_torch, say
from edgeprune.cli.measuring import (
    arena_option,
    chosen_runtimes,
    device_option,
    fraction,
    numbers,
    runtime_option,
    seconds,
    seed_option,
    threads_option,
    within_option,
)
from edgeprune.cli.model_argument import model_argument as model_argument
from edgeprune.cli.named import Named
from edgeprune.cli.quantizing import quantize
from edgeprune.cli.rendering import json_option
from edgeprune.cli.resuming import resume_option
from edgeprune.errors import UsageError

if TYPE_CHECKING:
    from edgeprune.artifacts import SourceModel
    from edgeprune.bench import BenchSettings
    from edgeprune.export import Target
    from edgeprune.images.source import ImageSource
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pruning import Allocation
    from edgeprune.recovery.method import RecoveryMethod

Command = TypeVar("Command", bound=Callable[..., Any])
Flags = Mapping[str, Any]
"""Values of a command line, by parameter name."""

FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)

GRANTING = (
    click.option("--arch", metavar="FACTORY",
                 help="For weights alone: torchvision:, timm: or smp:NAME, file.py:factory."),
    click.option("--forward", metavar="pkg.mod:fn", help="What runs it: fn(network, *inputs)."),
    click.option("--arch-arg", multiple=True, metavar="KEY=VALUE", help="Argument of the factory."),
    click.option("--allow", multiple=True, metavar="pkg.mod",
                 help="Module or file.py whose classes the model file may use."),
    click.option("--trust", is_flag=True, help="Run whatever code the model file contains."),
)  # fmt: skip
"""What lets code of somebody run: never taken from a file."""

LOADING = (
    click.option("--input", "input_", multiple=True, metavar="[NAME:]1x3x224x224[:uint8]",
                 help="Input: its name if it goes by that, shape, type. [default: inferred]"),
    *GRANTING,
    click.option("--mean", metavar="0.485,...", help="Mean of the input's channels."),
    click.option("--std", metavar="0.229,...", help="Standard deviation of the input's channels."),
    click.option("--raw-head", is_flag=True, help="End before a detector's head decodes."),
    click.option("--entry", metavar="NAME",
                 help="Entry or prefix with the network. [default: averaged weights first]"),
)  # fmt: skip

PRUNING = (
    click.option("--importance", default="rebuild", show_default=True, metavar="NAME",
                 type=Named("importance criterion", choice_names.CRITERIA),
                 help=f"How channels are ranked: {', '.join(choice_names.CRITERIA)} (auto: for "
                      "each group whichever of rebuild and l2 costs the network less)."),
    click.option("--scope", default="marginal", show_default=True, metavar="NAME",
                 type=Named("scope", choice_names.SCOPES),
                 help="How a budget is spread: by what the network loses with each group "
                      "(sensitivity), alike (local), or by importance, among all channels (global) "
                      "or for what they cost (marginal)."),
    click.option("--unit", default="auto", show_default=True, metavar="auto|N",
                 help="Remaining widths are multiples of it."),
)  # fmt: skip

KEEP = (
    click.option("--keep", multiple=True, metavar="GLOB",
                 help="Layers whose channels stay, with all coupled to them; repeat."),
)  # fmt: skip


def recovery(default: str) -> tuple[Any, ...]:
    """The flags of recovery, with the methods by default."""
    return (
        click.option("--recover", default=default, show_default=True, metavar="NAME[,NAME...]",
                     type=Named("recovery method", choice_names.RECOVERY_METHODS, several=True),
                     help=f"Methods in order: {', '.join(choice_names.RECOVERY_METHODS)}."),
        click.option("--synthesis", metavar="NAME",
                     type=Named("image source", choice_names.IMAGE_SOURCES),
                     help="Images that methods fit to, if not --images: "
                     f"{', '.join(choice_names.IMAGE_SOURCES)}. [default: each method's own]"),
        click.option("--budget-time", metavar="90s|10m|1.5h",
                     help="Time limit for recovery training. Results are no longer "
                          "bit-reproducible. [default: none]"),
        resume_option,
    )  # fmt: skip


EXPORT = (
    click.option("--target", default="onnx", show_default=True, metavar="NAME",
                 type=Named("target", choice_names.TARGETS),
                 help=f"{', '.join(choice_names.TARGETS)}."),
    click.option("--opset", type=int, metavar="N", help="ONNX opset. [default: the exporter's]"),
    click.option("--dynamic-batch", is_flag=True, help="Leave the batch dimension open."),
)  # fmt: skip

MEASURING = (
    runtime_option,
    device_option,
    threads_option,
    click.option("--seconds", default=30.0,
                 show_default=True, help="Most time to measure."),
    within_option,
    arena_option,
    click.option("--bench/--no-bench", default=True, help="Whether to measure.", show_default=True),
    click.option("--alternatives/--no-alternatives", default=True, show_default=True,
                 help="Whether to measure what one could do instead: smaller images, int8 alone."),
)  # fmt: skip

JUDGING = (
    click.option("--eval", "eval_", type=FOLDER, metavar="DIR",
                 help="Labelled images, one sub-folder a class: reports accuracy."),
    click.option("--images", type=click.Path(exists=True, path_type=Path), metavar="DIR|FILE",
                 help="Unlabelled images: recovery that fits to images takes four fifths of them; "
                 "agreement with the original is measured on the rest. Or images.safetensors of "
                 "an earlier run, to fit to the same again."),
    fail_if_option,
    json_option("the report"),
    click.option("--full", is_flag=True, help="Print all figures and findings, not the summary."),
)  # fmt: skip

OUTPUT = (
    click.option("-o", "--output", type=click.Path(path_type=Path), metavar="DIR",
                 help="Run directory to write. [default: runs/NAME]"),
    click.option("--overwrite", is_flag=True, help="Replace the run directory if it exists."),
    seed_option("Random seed."),
)  # fmt: skip


def flags(*groups: Any) -> Callable[[Command], Command]:
    """Give a command several groups of flags, listed in its help in this order."""
    options = [option for group in groups for option in (group if _many(group) else [group])]
    return lambda command: reduce(lambda done, option: option(done), reversed(options), command)


def source(given: Flags) -> SourceModel:
    """Load the model that the flags name."""
    loading_torch()
    from edgeprune.loading import LoadOptions, load, parse_arch_arg, parse_inputs

    typed = parse_inputs(given["input_"])
    options = LoadOptions(
        arch=given["arch"],
        arch_args=dict(map(parse_arch_arg, given["arch_arg"])),
        entry=given["entry"],
        raw_head=given["raw_head"],
        allow=tuple(given["allow"]),
        trust=given["trust"],
        input_shapes=typed.shapes,
        input_dtypes=typed.dtypes,
        input_names=typed.names,
        forward=given["forward"],
        **{key: numbers(key, given[key]) for key in ("mean", "std")},
    )
    loaded = load(given["model"], options)
    for note in loaded.notes:
        say(note)
    if not typed.shapes:
        say(f"input: {', '.join(loaded.input.texts)} (pass --input to change)")
    if given.get("eval_") or given.get("images"):
        say(f"images are normalised with mean {loaded.input.mean} and std {loaded.input.std}")
    return loaded


def config(given: Flags, **changes: Any) -> CompressConfig:
    """The settings that the flags stand for; ``changes`` beat them."""
    loading_torch()
    from edgeprune.pipeline.config import CompressConfig
    from edgeprune.pruning import CRITERIA

    known: dict[str, Any] = {"seed": given["seed"]}
    if "importance" in given:
        known |= {
            "budget": budgets.budget(given),
            "criterion": CRITERIA[given["importance"]](),
            "allocation": allocation(given),
            "keep": tuple(given["keep"]),
        }
    if "target" in given:
        known |= {"target": target(given), "bench": bench_settings(given)}
        known |= {"alternatives": given["alternatives"]}
        known |= {"further_runtimes": chosen_runtimes(given["runtime"])[1:]}
    if "precision" in given:
        known |= {"precision": given["precision"], "quantize": quantize(given)}
    if "fail_if" in given:
        known |= {"eval_images": given["eval_"], "images": given["images"]}
        known |= {"fail_if": tuple(given["fail_if"])}
    if "recover" in given:
        known |= {"recover": methods(given), "synthesis": synthesis(given)}
        known |= {"budget_time": seconds("budget-time", given["budget_time"])}
    return CompressConfig(**{**known, **changes})


def allocation(given: Flags) -> Allocation:
    """How the budget is spread."""
    from edgeprune.pruning import Allocation

    unit = str(given["unit"])
    if unit != "auto" and not re.fullmatch(r"[1-9][0-9]{0,8}", unit):
        raise UsageError(f"--unit {unit}: expected auto or a positive number")
    return Allocation(scope=given["scope"], unit=0 if unit == "auto" else int(unit))


def methods(given: Flags) -> tuple[RecoveryMethod, ...]:
    """The recovery methods, in order."""
    from edgeprune.recovery import METHODS

    return tuple(METHODS[name.strip()]() for name in given["recover"].split(","))


def synthesis(given: Flags) -> ImageSource | None:
    """Where images come from; None for each method's own choice."""
    from edgeprune.images.sources import SOURCES

    return None if given["synthesis"] is None else SOURCES[given["synthesis"]]()


def target(given: Flags) -> Target:
    """What to export to."""
    loading_torch()
    from edgeprune.export import TARGETS

    return TARGETS[given["target"]](opset=given["opset"], dynamic_batch=given["dynamic_batch"])


def bench_settings(given: Flags) -> BenchSettings | None:
    """Where and how to measure; None for not at all."""
    from edgeprune.bench import BenchSettings, devices, on_runtimes

    settings = BenchSettings(
        chosen_runtimes(given["runtime"])[0],
        devices.parse(given["device"]),
        given["threads"],
        given["seconds"],
        given["seed"],
        fraction("within", given["within"]),
        given["arena"] == "on",
    )
    if given["bench"]:
        on_runtimes.require(settings.runtime, settings.device)
    return settings if given["bench"] else None


def _many(group: Any) -> bool:
    return isinstance(group, tuple)
