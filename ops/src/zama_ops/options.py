"""Options and arguments that several commands share."""

import importlib.util
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Final

import typer

from zama_ops.console import notes
from zama_ops.errors import CommandError

PREFIX: Final = "zama-challenge"

_HOST: Final = r"(\[[0-9A-Fa-f:.]+\]|[\w-]{1,63}(\.[\w-]{1,63})*\.?)"
_PORT: Final = r"([1-9]\d{0,3}|[1-5]\d{4}|6[0-4]\d{3}|65[0-4]\d\d|655[0-2]\d|6553[0-5])"


def matching(pattern: str, allowed: str) -> Callable[[str | None], str | None]:
    """Return a check of a parameter: the command ends with exit code 2 if it does not match."""

    def check(value: str | None) -> str | None:
        if value is not None and not re.fullmatch(pattern, value):
            notes.print(f"zama: {value!r} is not {allowed}", style="red")
            raise typer.Exit(2)
        return value

    return check


Prefix = Annotated[
    str, typer.Option("--prefix", envvar="NAME_PREFIX", help="The deployment's name_prefix.")
]
ConnectTo = Annotated[
    str | None,
    typer.Option(
        envvar="CONNECT_TO",
        callback=matching(f"{_HOST}:{_PORT}", "HOST:PORT such as 127.0.0.1:8081"),
        help="HOST:PORT to connect to instead of the URL's. Turns off certificate checks.",
    ),
]
Url = Annotated[
    str,
    typer.Argument(
        help="For example http://localhost:8081.",
        callback=matching(
            rf"https?://{_HOST}(:{_PORT})?(/\S*)?", "a URL such as http://localhost:8081"
        ),
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Bucket = Annotated[
    str,
    typer.Option(
        "--state-bucket", envvar="STATE_BUCKET", help="The output `state_bucket` of bootstrap."
    ),
]
Picture = Annotated[
    Path | None, typer.Option(help="Draw the drill to this PNG (after `make test`).")
]


def require_drawable(picture: Path | None) -> None:
    """Check that a picture can be drawn, before the command that it shows."""
    if picture and not importlib.util.find_spec("matplotlib"):
        raise CommandError("--picture needs matplotlib: run `make test` first, which installs it.")
    if picture and not picture.parent.is_dir():
        raise CommandError(f"The picture cannot be written: there is no folder {picture.parent}.")
