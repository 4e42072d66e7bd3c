"""Calls from Python: arguments that do not fit are explained, in the words of the call.

Errors below name the flags of the command line, because most users type those. Whoever calls a
function is told of its keywords instead, and of the closest one where a keyword is misspelt.
"""

from __future__ import annotations

import difflib
import inspect
import re
from functools import wraps
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from edgeprune.errors import EdgepruneError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Arguments = ParamSpec("Arguments")
Result = TypeVar("Result")

KEYWORDS = {
    "input": "example_input",
    "eval": "eval_images",
    "importance": "criterion",
    "unit": "allocation=ep.Allocation(unit=…)",
    "scope": "allocation=ep.Allocation(scope=…)",
    "opset": "target=ep.OnnxTarget(opset=…)",
    "dynamic-batch": "target=ep.OnnxTarget(dynamic_batch=…)",
    "seconds": "bench=ep.BenchSettings(seconds=…)",
    "runtime": "bench=ep.BenchSettings(runtime=…)",
    "shape": "shapes",
    "no-bench": "bench=False",
    **{flag: flag.replace("-", "_") for flag in (
        "macs", "params", "ratio", "keep", "recover", "synthesis", "budget-time", "images",
        "mean", "std", "precision", "fail-if", "seed", "raw-head", "allow", "within", "threads",
    )},
}  # fmt: skip
"""Flags of the command line, and what says the same in Python."""

_FLAG = re.compile(r"--([a-z]+(?:-[a-z]+)*)( (?=[^\s:;,.]))?")


def explained(function: Callable[Arguments, Result]) -> Callable[Arguments, Result]:
    """The same function; its errors name keywords, and unknown keywords are explained.

    Args:
        function: A public function.
    """
    signature = inspect.signature(function)
    name = function.__name__

    @wraps(function)
    def call(*args: Arguments.args, **keywords: Arguments.kwargs) -> Result:
        try:
            signature.bind(*args, **keywords)
        except TypeError as error:
            known = [each.name for each in signature.parameters.values()]
            require_known(name, keywords, known)
            raise UsageError(f"{name}(): {error}") from None
        try:
            return function(*args, **keywords)
        except EdgepruneError as error:
            said = str(error)
            if (better := in_python(said)) == said:
                raise
            translated: Any = type(error)(better)
            raise translated from error

    return call


def require_known(call: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse a keyword that there is not.

    Args:
        call: Name of what is called.
        given: The keywords.
        known: Those that it takes.

    Raises:
        UsageError: Names the closest one, or all.
    """
    known = list(known)
    for keyword in given:
        if keyword not in known:
            close = difflib.get_close_matches(keyword, known, n=1, cutoff=0.5)
            hint = f"did you mean {close[0]}=?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"{call}() takes no {keyword}=: {hint}")


def in_python(message: str) -> str:
    """A message with keywords where it names flags that have one."""

    def keyword(found: re.Match[str]) -> str:
        word = KEYWORDS.get(found[1])
        if word is None:
            return found[0]
        return word + " " * bool(found[2]) if "=" in word else f"{word}="

    return _FLAG.sub(keyword, message)
