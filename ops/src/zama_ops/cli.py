"""The commands; each lives in the module of its name."""

import typer

from zama_ops import aws_local, deploy, drift, drill, images
from zama_ops.logs import logs
from zama_ops.rehearse import rehearse
from zama_ops.smoke import smoke
from zama_ops.up import up

app = typer.Typer(
    help="Run and operate the service.", no_args_is_help=True, pretty_exceptions_show_locals=False
)
app.command()(up)
app.command()(smoke)
app.command()(logs)
app.command()(rehearse)
app.add_typer(images.app, name="images")
app.add_typer(deploy.app, name="deploy")
app.add_typer(drift.app, name="drift")
app.add_typer(aws_local.app, name="aws-local")
app.add_typer(drill.app, name="drill")
