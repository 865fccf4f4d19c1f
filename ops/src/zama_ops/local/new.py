"""`zama new`: start a new service from a renamed copy of this repository."""

import re
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import errors_told, notes
from zama_ops.errors import CommandError
from zama_ops.paths import ROOT
from zama_ops.programs import require, run

# Short enough for names of AWS resources, and valid in a Python module's name.
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,11}")
_OLD: Final = "zama"


def new(
    name: Annotated[str, typer.Argument(help="2 to 12 lower-case letters and digits")],
    directory: Annotated[
        Path | None, typer.Argument(help="a path that does not exist yet  [default: ../NAME]")
    ] = None,
) -> None:
    """Start a new service: a copy of this repository with a new name and without its history.

    The copy runs, is tested and is deployed like this service, and still adds two numbers.
    docs/golden-path.md explains how to change that.
    """
    with errors_told():
        target = directory or ROOT.parent / name
        try:
            copy(name, target)
        except OSError as error:
            raise CommandError(f"The copy cannot be written: {error}") from None
        notes.print(f"[green]✓[/] {target}")
        notes.print(
            f"Next: cd {target} && make format test, then docs/golden-path.md", markup=False
        )


def copy(name: str, target: Path) -> None:
    """Copy the files that git tracks, with the service's name replaced in paths and texts.

    Raises:
        CommandError: the name is invalid, the target exists, or this is not a git checkout.

    """
    if not _NAME.fullmatch(name) or _OLD in name:
        raise CommandError(
            f"'{name}' is not a valid name. Use 2 to 12 lower-case letters and digits, starting"
            f" with a letter, without '{_OLD}'."
        )
    if target.exists():
        raise CommandError(f"{target} exists already. Choose another directory.")
    require("git")
    if not (ROOT / ".git").exists():
        raise CommandError(
            f"{ROOT} is not a git checkout. Clone the repository, and run the command there."
        )
    for path in run("git", "ls-files").splitlines():
        source, copied = ROOT / path, target / _renamed(path, name)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)
        try:
            text = source.read_text()
        except UnicodeDecodeError:
            continue  # a picture
        copied.write_text(_renamed(text, name))
    run("git", "init", "--quiet", "--initial-branch=main", str(target))
    run("git", "-C", str(target), "add", "--all")


def _renamed(text: str, name: str) -> str:
    for change in (str.lower, str.capitalize, str.upper):
        text = text.replace(change(_OLD), change(name))
    return text
