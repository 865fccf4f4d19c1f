"""Options and arguments that several commands share."""

from typing import Annotated, Final

import typer

PREFIX: Final = "zama-challenge"

Prefix = Annotated[
    str, typer.Option("--prefix", envvar="NAME_PREFIX", help="The deployment's name_prefix.")
]
ConnectTo = Annotated[
    str | None,
    typer.Option(
        envvar="CONNECT_TO",
        help="HOST:PORT to connect to instead of the URL's. Turns off certificate checks.",
    ),
]
Url = Annotated[str, typer.Argument(help="For example http://localhost:8081.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print the result as JSON.")]
Bucket = Annotated[
    str,
    typer.Option(
        "--state-bucket", envvar="STATE_BUCKET", help="The output `state_bucket` of bootstrap."
    ),
]
