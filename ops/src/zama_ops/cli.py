"""The commands; each lives in the module of its name."""

import typer

from zama_ops.up import up

app = typer.Typer(
    help="Run and operate the service.", no_args_is_help=True, pretty_exceptions_show_locals=False
)
app.command()(up)


@app.callback()
def _zama() -> None:
    # With a callback a single command keeps its name: `zama up`.
    pass
