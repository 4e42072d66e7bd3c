"""The directory of a run, which appears whole or not at all, and its recipe."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import yaml

from edgeprune import checksum, disk
from edgeprune.cli import resuming
from edgeprune.cli.budgets import KINDS, chosen_budget
from edgeprune.cli.console import settings, typed_command, warn
from edgeprune.drafts import drafting, sweep
from edgeprune.errors import ModelRefused, UsageError
from edgeprune.printable import printable
from edgeprune.report.environment import version
from edgeprune.text_file import read_bytes
from edgeprune.whole_file import write_whole
from edgeprune.whole_folder import place_folder, replace_folder

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from edgeprune.artifacts import SourceModel

RECIPE = "recipe.yaml"
RECIPE_LIMIT = 1 << 20
RUNS = Path("runs")
GRANTS = ("trust", "allow", "arch", "arch_arg", "forward")
"""What lets code of somebody run; a recipe is data, and cannot."""

NOT_IN_RECIPE = ("output", "overwrite", "json_", "full", "recipe", "dry_run", "plan", "resume")


@dataclass
class NewRun:
    """A run being written.

    Attributes:
        folder: What is written; it becomes ``directory`` once it is whole.
        directory: The run directory.
        state: Where recovery keeps its state.
    """

    folder: Path
    directory: Path
    state: Path


@contextmanager
def new_run(given: Mapping[str, Any], target: Path) -> Iterator[NewRun]:
    """A folder to write into, which becomes the run directory if the block succeeds.

    Args:
        given: The command's flags; ``resume`` and ``overwrite`` count.
        target: The directory, from ``destination``.

    Yields:
        The run; it gets another ``directory`` if another process creates its own meanwhile.

    Raises:
        UsageError: If nothing can be written beside it.
    """
    made = [parent for parent in target.parents if not parent.exists()]
    with ExitStack() as stack:
        stack.callback(_remove_empty, made)
        stack.enter_context(disk.naming(target))
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            draft = stack.enter_context(drafting(target))
        except OSError as error:
            raise UsageError(disk.refusal(error, target)) from error
        keeping = resuming.keeping(target, draft, resume=bool(given.get("resume")))
        run = NewRun(draft / "run", target, stack.enter_context(keeping))
        run.folder.mkdir()
        yield run
        _put(run, draft, overwrite=given["overwrite"])


def destination(given: Mapping[str, Any], name: str) -> Path:
    """The directory of a new run; what killed runs left there is swept.

    Raises:
        UsageError: If the directory exists and may not be replaced.
    """
    wanted: Path = given["output"] or RUNS / name
    target = wanted.resolve() if wanted.is_symlink() else wanted
    sweep(target.parent)
    target = target if given["output"] else _unused(target)
    require_free(given, target)
    return target


def require_free(given: Mapping[str, Any], target: Path | None) -> None:
    """Refuse a directory that a run may not be written to; None: the run finds one itself.

    Raises:
        UsageError: If the directory exists and may not be replaced.
    """
    if target is None:
        return
    if target.exists() and not given["overwrite"]:
        raise UsageError(f"'{target}' exists already: choose another -o, or pass --overwrite")
    if target.exists() and not (target / RECIPE).is_file():
        raise UsageError(f"'{target}' is not a run directory: it is not overwritten")


def _put(run: NewRun, draft: Path, *, overwrite: bool) -> None:
    """Move the run to its directory, or to one that nobody has taken meanwhile."""
    wanted = run.directory
    while True:
        if overwrite and run.directory.exists():
            return replace_folder(run.folder, run.directory, draft)
        try:
            return place_folder(run.folder, run.directory)
        except FileExistsError:
            run.directory = wanted if overwrite else _unused(wanted)


def _remove_empty(folders: Sequence[Path]) -> None:
    for folder in folders:
        with suppress(OSError):  # it has become the home of a run
            folder.rmdir()


def write_recipe(given: Mapping[str, Any], source: SourceModel, folder: Path) -> None:
    """Write every effective setting; ``--recipe`` of the same command repeats the run."""
    settings = {
        key.rstrip("_").replace("_", "-"): _plain(value)
        for key, value in given.items()
        if key not in (*NOT_IN_RECIPE, *KINDS) and value is not None
    }
    settings["input"] = list(source.input.texts)
    settings["mean"] = ",".join(map(str, source.input.mean))
    settings["std"] = ",".join(map(str, source.input.std))
    if "macs" in given:
        kind, amount = chosen_budget(given)
        settings[kind] = amount
    command = printable(typed_command(), keep="")
    head = f"# {checksum.KEY}: {checksum.BLANK}\n# edgeprune {version()}, settings of: {command}\n"
    text = checksum.filled_in(f"{head}{yaml.safe_dump(settings)}".encode())
    write_whole(folder / RECIPE, text)


def use_recipe(context: click.Context, _: click.Parameter, path: Path | None) -> None:
    """Take options that are not on the command line from a recipe, none that let code run.

    Raises:
        UsageError: If the recipe cannot be read, or has a key that no flag has.
    """
    if path is None:
        return
    known = {parameter.name: parameter for parameter in context.command.params}
    defaults: dict[str, Any] = {}
    recipe = read_recipe(path)
    for key, value in recipe.items():
        name = key.replace("-", "_")
        name = name if name in known else f"{name}_"
        if name not in known:
            raise UsageError(f"'{path}' sets '{key}', which is no flag of this command")
        if isinstance(value, list) != known[name].multiple:
            wanted = "one value" if isinstance(value, list) else "a list"
            raise UsageError(f"'{path}' sets '{key}', which takes {wanted}")
        switched = getattr(known[name], "is_flag", False)
        defaults[name] = str(value) if isinstance(value, bool) and not switched else value
    warn_of_grants(path, recipe)
    context.default_map = {name: v for name, v in defaults.items() if name not in GRANTS}


def warn_of_grants(path: Path, recipe: Mapping[str, Any]) -> None:
    """Say which settings of a recipe would let code run: only the command line can allow that."""
    for name in GRANTS:
        key = name.replace("_", "-")
        typed = (each.partition("=")[0] == f"--{key}" for each in settings().arguments)
        if recipe.get(key) and not any(typed):
            warn(f"'{path}' sets {key}, which no recipe can grant: pass --{key} if you mean it")


class _PlainLoader(yaml.SafeLoader):
    """Reads plain values; no aliases, by which a few lines can stand for gigabytes, and no tags."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """Refuse an alias, and a tag: values are what they look like."""
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("a recipe has no aliases (*name)")
        if getattr(self.peek_event(), "tag", None):  # type: ignore[no-untyped-call]
            raise yaml.YAMLError("a recipe has no tags (!name)")
        return super().compose_node(parent, index)


def read_recipe(path: Path, *, unchanged: bool = False) -> dict[str, Any]:
    """The settings in a recipe.

    Args:
        path: The file.
        unchanged: Whether it must be as edgeprune wrote it; else a user may have edited it.

    Raises:
        UsageError: If the file is missing or is not a mapping.
        ModelRefused: If it was changed and must not be.
    """
    text = read_bytes(path, "the recipe", limit=RECIPE_LIMIT)
    if unchanged and checksum.is_changed(text):
        raise ModelRefused(checksum.complaint(path))
    try:
        return _typed(yaml.load(text.decode(), _PlainLoader), path)
    except (yaml.YAMLError, UnicodeDecodeError, RecursionError, ValueError) as error:
        raise UsageError(f"'{path}' is not YAML: {str(error).splitlines()[0]}") from error


def _typed(content: Any, path: Path) -> dict[str, bool | str | list[str]]:
    """Settings as one would type them: yes or no, texts, and lists of texts; without empty ones.

    Raises:
        UsageError: The recipe is no mapping, or sets something else.
    """
    if not isinstance(content, dict):
        raise UsageError(f"'{path}' is not a recipe: expected one setting a line")
    settings: dict[str, bool | str | list[str]] = {}
    for key, value in content.items():
        items = value if isinstance(value, list) else [value]
        if not all(isinstance(each, str | int | float | None) for each in items):
            raise UsageError(f"'{path}' sets '{key}' to what no flag takes")
        texts = [str(each) for each in items]
        if isinstance(value, list):
            settings[str(key)] = texts
        elif value is not None:
            settings[str(key)] = value if isinstance(value, bool) else texts[0]
    return settings


recipe_option = click.option(
    "--recipe",
    type=click.Path(path_type=Path),
    is_eager=True,
    expose_value=False,
    callback=use_recipe,
    metavar="FILE",
    help="Take settings from a recipe.yaml; the command line beats it.",
)


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(value)
    return [_plain(item) for item in value] if isinstance(value, tuple) else value


def _unused(wanted: Path) -> Path:
    """``wanted``, or with the first number for which no such path exists."""
    candidate, number = wanted, 2
    while candidate.exists():
        candidate, number = wanted.with_name(f"{wanted.name}-{number}"), number + 1
    return candidate
