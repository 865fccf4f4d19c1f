"""Results on standard output; messages for people on standard error.

Commands print text that others chose: a caller's path from the log, an answer, a name in AWS. So
all text is plain here: no markup is interpreted, and characters that act on a terminal are shown as
JSON escapes. No other module uses Rich's consoles, texts and tables, or `typer.echo`.
"""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Any, Final

import rich.table
import typer
from rich.console import Console, Group, RenderableType
from rich.status import Status
from rich.text import Text

from zama_ops.errors import CommandError

__all__ = ["Group", "RenderableType", "Status"]


def printable(text: str) -> str:
    """Escape all characters but line ends that are not visible."""
    return "".join(c if c.isprintable() or c == "\n" else json.dumps(c)[1:-1] for c in text)


def styled(text: str, style: str) -> Text:
    """Return text in a colour."""
    return Text(printable(text), style)


class PlainConsole(Console):
    """A console that prints every string as it is."""

    def render_str(self, text: str, **options: Any) -> Text:
        """Return the text that Rich prints for any string, in tables as well."""
        plain = {"markup": False, "emoji": False, "highlight": False}
        return super().render_str(printable(text), **{**options, **plain})

    def status(self, status: RenderableType, **options: Any) -> Status:
        """Show a spinner with a text."""
        return PlainStatus(status, console=self, **options)


class PlainStatus(Status):
    """A spinner; Rich would read its text as markup."""

    def __init__(self, status: RenderableType, **options: Any) -> None:
        super().__init__(_plain(status), **options)

    def update(self, status: RenderableType | None = None, **options: Any) -> None:
        """Change the text."""
        super().update(None if status is None else _plain(status), **options)


def _plain(text: RenderableType) -> RenderableType:
    return styled(text, "") if isinstance(text, str) else text


class Table(rich.table.Table):
    """A table whose cells are single lines, unless they are a `Group`."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row."""
        lines = (one.replace("\n", "\\n") if isinstance(one, str) else one for one in cells)
        super().add_row(*lines, **options)


notes: Final = PlainConsole(stderr=True, soft_wrap=True)

TICK: Final = Text("✓", "green")
CROSS: Final = Text("✗", "red")


def say(line: str) -> None:
    """Print a line of a result on standard output."""
    typer.echo(printable(line))


def say_json(result: object) -> None:
    """Print a result on standard output, in ASCII."""
    typer.echo(json.dumps(result, indent=2))


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Show a spinner while a step runs, then its duration."""
    began = time.monotonic()
    with notes.status(f"{name} ..."):
        yield
    notes.print(TICK, name, styled(f"({time.monotonic() - began:.0f} s)", "dim"))


def show(result: object, table: Table, *, as_json: bool) -> None:
    """Print a command's result on standard output, as JSON or as a table."""
    if as_json:
        say_json(result)
    else:
        PlainConsole().print(table)


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Print a CommandError in red and end the command with exit code 1."""
    try:
        yield
    except CommandError as error:
        # Terraform prints a lot before the actual error.
        before, mark, after = str(error).partition("\nError:")
        notes.print(f"zama: {mark.strip()}{after}" if mark else f"zama: {before}", style="red")
        raise typer.Exit(1) from None
