"""`zama new`: a copy of this repository under another name, as the beginning of another service."""

import re
import shutil
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import errors_told, notes
from zama_ops.errors import CommandError
from zama_ops.paths import ROOT
from zama_ops.programs import run

# Short enough for the names of AWS that it becomes part of, and good as a Python module's.
_NAME: Final = re.compile(r"[a-z][a-z0-9]{1,11}")
_OLD: Final = "zama"


def new(
    name: Annotated[str, typer.Argument(help="2 to 12 lower-case letters and digits")],
    directory: Annotated[
        Path | None, typer.Argument(help="where to; it must not be there yet  [default: ../NAME]")
    ] = None,
) -> None:
    """Begin another service: a copy of this repository under another name, and without its history.

    It runs, is tested and deployed as this one, and still adds two numbers: docs/golden-path.md
    says how to make it do something else.
    """
    with errors_told():
        target = directory or ROOT.parent / name
        copy(name, target)
        notes.print(f"[green]✓[/] {target}")
        notes.print(
            f"Next: cd {target} && make format test, then docs/golden-path.md", markup=False
        )


def copy(name: str, target: Path) -> None:
    """Copy what git tracks, with the service's name replaced in paths and in texts.

    Raises:
        CommandError: the name cannot be used, the target is there, this is no checkout.

    """
    if not _NAME.fullmatch(name) or _OLD in name:
        raise CommandError(
            f"'{name}' cannot be used: it must be 2 to 12 lower-case letters and digits, a letter"
            f" first, and without {_OLD}"
        )
    if target.exists():
        raise CommandError(f"{target} is there already: name another directory")
    for path in run("git", "ls-files").splitlines():
        source, copied = ROOT / path, target / _renamed(path, name)
        copied.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source, copied)
        try:
            text = source.read_text()
        except UnicodeDecodeError:
            continue  # A picture.
        copied.write_text(_renamed(text, name))
    run("git", "init", "--quiet", "--initial-branch=main", str(target))
    run("git", "-C", str(target), "add", "--all")


def _renamed(text: str, name: str) -> str:
    for change in (str.lower, str.capitalize, str.upper):
        text = text.replace(change(_OLD), change(name))
    return text
