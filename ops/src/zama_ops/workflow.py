"""Reads GitHub workflows, to check them and to run their steps on this machine.

It supports the subset of GitHub's expressions that the workflows use: a value by its path,
`join(needs.*.result, ' ')`, and as conditions `always()` and comparisons of a value with a string
or another value, joined by `&&`.
https://docs.github.com/en/actions/reference/workflows-and-actions/expressions
"""

import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import yaml

from zama_ops.paths import ROOT

WORKFLOWS: Final = ROOT / ".github" / "workflows"
ALWAYS: Final = "always()"

_EXPRESSION: Final = re.compile(r"\$\{\{(.*?)\}\}", re.DOTALL)
_PATH: Final = re.compile(r"[a-z]+(?:\.[A-Za-z_][\w-]*)+")
_RESULTS: Final = "join(needs.*.result, ' ')"
_COMPARISON: Final = re.compile(rf"({_PATH.pattern}) (==|!=) ('[^']*'|{_PATH.pattern})")

_RUN: Final = re.compile(r'make (?:--silent )?([a-z-]+)(?: >>"\$GITHUB_OUTPUT")?')
_TARGET: Final = re.compile(r"^([a-z-]+):.*## ", re.MULTILINE)
_GITHUB: Final = {"event", "event_name", "ref", "repository", "sha", "token"}

Values = Mapping[str, str]
"""The values of expressions, by path, such as `github.sha`."""


class ExpressionError(ValueError):
    """An expression that is not supported."""


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
    """A job of a workflow."""

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
                for step in job["steps"]
            ),
            job,
        )


# --- Faults ---------------------------------------------------------------------------------------


def faults(path: Path, makefile: str) -> Iterator[str]:
    """Yield the faults that GitHub would accept silently: it treats an unknown name as empty.

    Arguments:
        path: the workflow.
        makefile: the Makefile's text; a step must run exactly one of its targets.

    """
    contents = read(path)
    targets = set(_TARGET.findall(makefile))
    given = {
        f"needs.{name}.outputs.{output}"
        for name, job in contents["jobs"].items()
        for output in job.get("outputs", {})
    }
    outside = {key: value for key, value in contents.items() if key != "jobs"}
    yield from _unknown(path.name, outside, set())
    for job in jobs(path):
        where = f"{path.name}, {job.name}"
        known = {output for output in given if output.split(".")[1] in job.needs}
        for step in job.contents["steps"]:
            yield from _unknown(where, step, known)
            match = _RUN.fullmatch(step.get("run", "make help").strip())
            if not match or match[1] not in targets:
                yield f"{where}: `{step['run'].strip()}` is not one target of the Makefile"
            if "id" in step:
                known.add(f"steps.{step['id']}.outputs")
        head = {key: value for key, value in job.contents.items() if key != "steps"}
        yield from _unknown(where, head, known)


def _unknown(where: str, node: Any, known: set[str]) -> Iterator[str]:
    """Yield a fault for each path in a part of a workflow that has no value."""
    for expression in expressions(node):
        try:
            named = paths(expression)
        except ExpressionError as error:
            yield f"{where}: {error}"
            continue
        for path in named:
            context, _, rest = path.partition(".")
            if not (
                context in {"vars", "secrets"}
                or (context == "github" and rest.split(".")[0] in _GITHUB)
                or path in known
                or path.rpartition(".")[0] in known
            ):
                yield f"{where}: nothing sets {path}"


# --- Expressions ----------------------------------------------------------------------------------


def bare(expression: str) -> str:
    """Return an expression without its optional braces."""
    return expression.strip().removeprefix("${{").removesuffix("}}").strip()


def expressions(node: Any) -> Iterator[str]:
    """Yield all expressions in a part of a workflow."""
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "if":
                yield bare(value)
            else:
                yield from expressions(value)
    elif isinstance(node, list):
        for value in node:
            yield from expressions(value)
    elif isinstance(node, str):
        for match in _EXPRESSION.finditer(node):
            yield match[1].strip()


def paths(expression: str) -> list[str]:
    """Return the paths in an expression.

    Raises:
        ExpressionError: it is not supported.

    """
    if expression in {_RESULTS, ALWAYS}:
        return []
    if _PATH.fullmatch(expression):
        return [expression]
    sides = [side for left, _, right in _comparisons(expression) for side in (left, right)]
    return [side for side in sides if not side.startswith("'")]


def fill_in(text: str, values: Values) -> str:
    """Return a text with its expressions replaced by their values.

    Raises:
        ExpressionError: one is not supported.

    """
    return _EXPRESSION.sub(lambda match: _value(match[1].strip(), values), text)


def holds(condition: str, values: Values) -> bool:
    """Say whether a condition holds, assuming that no step has failed.

    Raises:
        ExpressionError: it is not supported.

    """
    if condition in {"", ALWAYS}:
        return True
    return all(
        (_value(left, values) == _value(right, values)) == (operator == "==")
        for left, operator, right in _comparisons(condition)
    )


def _value(expression: str, values: Values) -> str:
    if expression.startswith("'"):
        return expression.strip("'")
    if expression == _RESULTS:
        results = [path for path in values if re.fullmatch(r"needs\..*\.result", path)]
        return " ".join(values[path] for path in results)
    if _PATH.fullmatch(expression):
        # As on GitHub, an unknown value is empty.
        return values.get(expression, "")
    return "true" if holds(expression, values) else "false"


def _comparisons(condition: str) -> Iterator[tuple[str, str, str]]:
    for clause in condition.split(" && "):
        match = _COMPARISON.fullmatch(clause.strip())
        if not match:
            raise ExpressionError(f"zama_ops.workflow does not support the expression {clause!r}")
        yield match[1], match[2], match[3]


if __name__ == "__main__":
    every_fault = [
        fault
        for path in sorted(WORKFLOWS.glob("*.yml"))
        for fault in faults(path, (ROOT / "Makefile").read_text())
    ]
    sys.exit("\n".join(every_fault) or 0)
