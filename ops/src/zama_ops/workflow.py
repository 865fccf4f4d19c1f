"""Reads GitHub workflows and evaluates their expressions, to run their steps on this machine.

It supports the subset of GitHub's expressions that the workflows use: a value by its path,
`join(needs.*.result, ' ')`, and as conditions `always()` and comparisons of a value with a string
or another value, joined by `&&`. GitHub replaces a misspelt path with an empty string; here it is
an error.
https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

import yaml

from zama_ops.errors import CommandError
from zama_ops.paths import ROOT

WORKFLOWS: Final = ROOT / ".github" / "workflows"
ALWAYS: Final = "always()"

_EXPRESSION: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PATH: Final = re.compile(r"[a-z]+(?:\.[A-Za-z_][\w-]*)+")
_RESULTS: Final = "join(needs.*.result, ' ')"
_COMPARISON: Final = re.compile(rf"({_PATH.pattern}) (==|!=) ('[^']*'|{_PATH.pattern})")

Values = Mapping[str, str]
"""The values of expressions, by path, such as `github.sha`, or by pattern, such as `vars.*`."""


class ExpressionError(CommandError):
    """An expression that is not supported, or whose value nothing sets."""


@dataclass(frozen=True)
class Step:
    """A step of a job; it has either `uses` or `run`."""

    name: str
    identity: str
    condition: str
    uses: str
    arguments: Mapping[str, Any]
    run: str
    environ: Mapping[str, str]

    @property
    def action(self) -> str:
        """The action's name, without its version."""
        return self.uses.partition("@")[0]


@dataclass(frozen=True)
class Job:
    """A job of a workflow; a job that calls another workflow has no steps."""

    workflow: str
    name: str
    needs: tuple[str, ...]
    condition: str
    environ: Mapping[str, str]
    outputs: Mapping[str, str]
    steps: tuple[Step, ...]
    contents: Mapping[str, Any]


def read(path: Path) -> dict[str, Any]:
    """Return a workflow's contents, with the key `on`, which YAML 1.1 reads as true."""
    contents = yaml.safe_load(path.read_text())
    return {"on" if key is True else str(key): value for key, value in contents.items()}


def jobs(path: Path) -> Iterator[Job]:
    """Yield a workflow's jobs in file order, which puts each job after its `needs`."""
    contents = read(path)
    for name, job in contents["jobs"].items():
        needs = job.get("needs", [])
        yield Job(
            path.name,
            name,
            tuple([needs] if isinstance(needs, str) else needs),
            bare(job.get("if", "")),
            {**contents.get("env", {}), **job.get("env", {})},
            job.get("outputs", {}),
            tuple(
                Step(
                    step.get("name") or step.get("run") or step["uses"],
                    step.get("id", ""),
                    bare(step.get("if", "")),
                    step.get("uses", ""),
                    step.get("with", {}),
                    step.get("run", ""),
                    step.get("env", {}),
                )
                for step in job.get("steps", [])
            ),
            job,
        )


def bare(expression: str) -> str:
    """Return an expression without its optional braces."""
    return expression.strip().removeprefix("${{").removesuffix("}}").strip()


def fill_in(text: str, values: Values) -> str:
    """Return a text with its expressions replaced by their values."""
    return _EXPRESSION.sub(lambda match: _value(match[1].strip(), values), text)


def holds(condition: str, values: Values) -> bool:
    """Say whether a condition holds, assuming that no step has failed."""
    condition = condition.removeprefix(ALWAYS).removeprefix(" && ")
    if not condition:
        return True
    # All are evaluated, so that a false one does not hide an error in the next.
    verdicts = [
        (_value(left, values) == _value(right, values)) == (operator == "==")
        for left, operator, right in _comparisons(condition)
    ]
    return all(verdicts)


def _value(expression: str, values: Values) -> str:
    if expression.startswith("'"):
        return expression.strip("'")
    if expression == _RESULTS:
        results = [path for path in values if re.fullmatch(r"needs\..*\.result", path)]
        return " ".join(values[path] for path in results)
    if expression in values:
        return values[expression]
    if _PATH.fullmatch(expression):
        for pattern, text in values.items():
            if fnmatchcase(expression, pattern):
                return text
        raise ExpressionError(f"nothing sets {expression}")
    return "true" if holds(expression, values) else "false"


def _comparisons(condition: str) -> Iterator[tuple[str, str, str]]:
    for clause in condition.split(" && "):
        match = _COMPARISON.fullmatch(clause.strip())
        if not match:
            raise ExpressionError(f"zama_ops.workflow does not support the expression {clause!r}")
        yield match[1], match[2], match[3]
