"""How the commands speak to a person, on standard error."""

import contextlib
import time
from collections.abc import Iterator
from typing import Final

from rich.console import Console

notes: Final = Console(stderr=True, highlight=False, soft_wrap=True)


@contextlib.contextmanager
def step(name: str) -> Iterator[None]:
    """Show what goes on, and in the end how long it took."""
    began = time.monotonic()
    with notes.status(f"{name} ..."):
        yield
    notes.print(f"[green]✓[/] {name} [dim]({time.monotonic() - began:.0f} s)[/]")
