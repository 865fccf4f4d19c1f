"""`zama new`: start a new service from a copy of this repository."""

import builtins
import importlib.util
import keyword
import re
import shutil
import sys
from fnmatch import fnmatch
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import TICK, errors_told, notes
from zama_ops.errors import CommandError
from zama_ops.paths import ROOT
from zama_ops.programs import require, run

# Short enough for names of AWS resources, and valid in a Python module's name.
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,11}")
_OLD_NAME: Final = "zama"

# One spelling for a path, a JSON member, a function, a type and a metric. The gateway's metrics
# count paths of letters by name (gateway_metrics.py).
_OPERATION: Final = re.compile(r"[a-z]{2,20}")
_RESERVED: Final = {
    *("docs", "healthz", "metrics", "openapi", "readyz"),  # the gateway's other paths
    # Names beside it in the code.
    *("final", "json", "mapping", "operand", "operands"),
    *("pytest", "request", "response", "service"),
    *keyword.kwlist,
    *dir(builtins),
}

# --- Left out of a copy ---------------------------------------------------------------------------

_FILES_ONLY_HERE: Final = (
    "bench/results/20*",
    "docs/golden-path.md",
    "ops/src/zama_ops/local/new.py",
    "tests/docs/test_golden_path.py",
)
# In the other files, marks show the text that is only true of this repository. A line that ends
# with the mark is left out:    a line <!-- only here -->    or, in code,    line  # only here
# The lines between two marks, or up to the end of the file, are left out or replaced:
#     <!-- only here; in a copy: The text in their place. -->
#     <!-- /only here -->
# And a line can be only in a copy: <!-- in a copy: The line. --> or, in code, # in a copy: the line
_MARKS: Final = (
    (r"(?ms)^<!-- only here -->\n.*?(?:^<!-- /only here -->\n\n?|\Z)", ""),
    (r"(?ms)^<!-- only here; in a copy: (.*?) -->\n.*?(?:^<!-- /only here -->\n|\Z)", r"\1\n"),
    (r"(?m)^.* (?:# only here|<!-- only here -->)\n", ""),
    (r"(?m)^( *)(?:<!--|#) in a copy: (.*?)(?: -->)?$", r"\1\2"),
)

# --- The operation's spellings --------------------------------------------------------------------

# Replaced in this order. "add" and "sum" are also ordinary words, and functions of Python, PromQL
# and Terraform, so they are replaced only in these contexts. In prose, an operation has a result.
_SPELLINGS: Final = (
    (r"\baddend", "operand"),
    (r"\bAddend", "Operand"),
    (r"\badd(?=\(operands)|(?<=-sum-)add\b|(?<=operationId: )add\b", "{name}"),
    (r'(?<="operationId": ")add\b|(?<="/sum": )add\b|(?<=[Ss]um, )add\b', "{name}"),
    (r"\b([Aa]|[Tt]he|their|exact|65-bit) sum\b(?!\()", r"\1 result"),
    (r"(?<=[\w%|] )sums\b", "requests"),
    (r"(def |func |[._])sum\(", r"\1{name}("),
    # A word or a part of a name; "\n" can precede it.
    (
        r"(?:(?<![A-Za-z0-9])(?<!seconds_)(?<!\}_)|(?<=\\n))sum(?![A-Za-z0-9(]| by\b|_over_time)",
        "{name}",
    ),
    # CloudWatch's statistic is "Sum".
    (r'(?<![A-Za-z0-9"])Sum(?![A-Za-z0-9])|(?<=")Sum(?=":)', "{Name}"),
    (r"(?<![A-Za-z0-9])SUM(?![A-Za-z0-9])", "{NAME}"),
)


def new(
    name: Annotated[
        str, typer.Argument(help="The service's name: 2 to 12 lower-case letters and digits.")
    ],
    directory: Annotated[
        Path | None, typer.Argument(help="A path that does not exist yet.  [default: ../NAME]")
    ] = None,
    operation: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Its operation: 2 to 20 lower-case letters.  [default: unchanged]",
        ),
    ] = None,
) -> None:
    """Start a new service: a copy of this repository with other names and without its history.

    **Example**: `zama new orders --operation total` creates the service orders with `POST /total`.

    The copy runs, is tested and is deployed like this service, and its operation still adds two
    numbers; docs/golden-path.md shows how to change that.
    """
    with errors_told():
        target = directory or ROOT.parent / name
        copy(name, target, operation)
        notes.print(TICK, str(target))
        notes.print(f"Next: cd {target} && make format test")
        notes.print(f"Then: {ROOT}/docs/golden-path.md, from step 2")


def copy(name: str, target: Path, operation: str | None = None) -> None:
    """Copy the files that git tracks, with both names replaced in paths and texts.

    Raises:
        CommandError: a name is invalid, the target exists, or this is not a git checkout. A copy
            that fails half-way is removed.

    """
    if not _NAME.fullmatch(name) or _OLD_NAME in name:
        raise CommandError(
            f"'{name}' is not a valid name. Use 2 to 12 lower-case letters and digits, starting"
            f" with a letter, without '{_OLD_NAME}'."
        )
    if operation is not None:
        _check_operation(operation)
    if target.exists():
        raise CommandError(f"{target} exists already. Choose another directory.")
    require("git")
    if not (ROOT / ".git").exists():
        raise CommandError(
            f"{ROOT} is not a git checkout. Clone the repository, and run the command there."
        )
    tracked = run("git", "ls-files").splitlines()
    try:
        for path in tracked:
            if not any(fnmatch(path, pattern) for pattern in _FILES_ONLY_HERE):
                _copy_file(path, target, name, operation)
        run("git", "init", "--quiet", "--initial-branch=main", str(target))
        _draw(target)
        run("git", "-C", str(target), "add", "--all")
    except BaseException as error:
        shutil.rmtree(target, ignore_errors=True)
        if isinstance(error, OSError):
            raise CommandError(f"{target} cannot be written: {error.strerror}.") from None
        raise


def _check_operation(operation: str) -> None:
    if not _OPERATION.fullmatch(operation):
        raise CommandError(
            f"'{operation}' is not a valid operation. Use 2 to 20 lower-case letters."
        )
    if operation in _RESERVED or _OLD_NAME in operation:
        raise CommandError(
            f"The operation cannot be '{operation}': the gateway or the code uses that name."
            " Choose another, such as 'total'."
        )


def _copy_file(path: str, target: Path, name: str, operation: str | None) -> None:
    source, copied = ROOT / path, target / _renamed(path, name)
    copied.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(source, copied)
    try:
        text = source.read_text()
    except UnicodeDecodeError:
        return  # a picture
    for pattern, replacement in _MARKS:
        text = re.sub(pattern, replacement, text)
    if operation:
        text = _with_operation(text, operation)
    copied.write_text(_renamed(text, name))


def _with_operation(text: str, operation: str) -> str:
    cases = {"name": operation, "Name": operation.capitalize(), "NAME": operation.upper()}
    for pattern, replacement in _SPELLINGS:
        text = re.sub(pattern, replacement.format(**cases), text)
    return text


def _renamed(text: str, name: str) -> str:
    for change in (str.lower, str.capitalize, str.upper):
        text = text.replace(change(_OLD_NAME), change(name))
    return text


def _draw(target: Path) -> None:
    """Draw the copy's diagram, which has the service's name, if this machine can draw."""
    if not (shutil.which("make") and shutil.which("dot") and importlib.util.find_spec("diagrams")):
        notes.print("arch_diagram.png still has the old name: run `make diagrams` in the copy.")
        return
    # With this checkout's packages, whatever the dates of the copy's files.
    venv = Path(sys.prefix)
    installed = f"--old-file={venv}/all.stamp"
    run("make", "-C", str(target), installed, f"VENV={venv}", "diagrams")
