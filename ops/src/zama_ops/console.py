"""Results on standard output; messages for people on standard error."""

import contextlib
import json
import time
from collections.abc import Iterator
from typing import Final

import typer
from rich.console import Console
from rich.table import Table

from zama_ops.errors import CommandError

notes: Final = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Show a spinner while a step runs, then its duration."""
    began = time.monotonic()
    with notes.status(f"{name} ..."):
        yield
    notes.print(f"[green]✓[/] {name} [dim]({time.monotonic() - began:.0f} s)[/]")


def show(result: object, table: Table, *, as_json: bool) -> None:
    """Print a command's result on standard output, as JSON or as a table."""
    if as_json:
        typer.echo(json.dumps(result, indent=2))
    else:
        Console().print(table)


@contextlib.contextmanager
def errors_told() -> Iterator[None]:
    """Print a CommandError in red and end the command with exit code 1."""
    try:
        yield
    except CommandError as error:
        # Terraform prints a lot before the actual error.
        before, mark, after = str(error).partition("\nError:")
        notes.print(
            f"zama: {mark.strip()}{after}" if mark else f"zama: {before}", style="red", markup=False
        )
        raise typer.Exit(1) from None
