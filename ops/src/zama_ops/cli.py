"""The command tree: each panel has a folder, and each command a module of the same name."""

from typing import Final

import typer

from zama_ops.delivery import deploy, drift, images
from zama_ops.delivery.rehearse import rehearse
from zama_ops.delivery.rollback import rollback
from zama_ops.local import aws_drill, aws_local, drill
from zama_ops.local.new import new  # only here
from zama_ops.local.tour import tour
from zama_ops.local.up import up
from zama_ops.service import keys
from zama_ops.service.load import load
from zama_ops.service.logs import logs
from zama_ops.service.smoke import smoke
from zama_ops.service.status import status
from zama_ops.service.usage import usage

_HELP: Final = """\
Run, operate and deliver the service.

Run a command with `--help` to learn more about it. Results go to standard output, as JSON with
`--json`; messages go to standard error. Exit codes: 0: success; 1: failure, with a message; 2:
usage error.
"""
_EPILOG: Final = """\
**On a new machine**: `make tour`; then `make up` and `zama smoke http://localhost:8081`.

**On call**: run `zama status`, open the alert's runbook in docs/runbooks, and query the log with
`zama logs`. `zama rollback` returns to the version before.

**Leaked key**: `zama keys whose`, then `zama keys rotate CLIENT --retire`.

**Choose a deployment**: AWS credentials and AWS_REGION select the account; NAME_PREFIX or
`--prefix` selects the service. For the AWS of `zama aws-local up`, run
`eval "$(zama aws-local env)"`.

**Shell completion**: `zama --install-completion`.
"""
_HERE: Final = "On this machine"
_RUNNING: Final = "A running service"
_DELIVERY: Final = "From a commit to AWS"

app = typer.Typer(
    help=_HELP,
    epilog=_EPILOG,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_show_locals=False,
)
app.command(rich_help_panel=_HERE)(up)
app.command(rich_help_panel=_HERE)(tour)
app.add_typer(aws_local.app, name="aws-local", rich_help_panel=_HERE)
drill.app.add_typer(aws_drill.app, name="aws")
app.add_typer(drill.app, name="drill", rich_help_panel=_HERE)
app.command(rich_help_panel=_HERE)(new)  # only here

app.command(rich_help_panel=_RUNNING)(status)
app.add_typer(keys.app, name="keys", rich_help_panel=_RUNNING)
app.command(rich_help_panel=_RUNNING)(logs)
app.command(rich_help_panel=_RUNNING)(usage)
app.command(rich_help_panel=_RUNNING)(smoke)
app.command(rich_help_panel=_RUNNING)(load)

app.command(rich_help_panel=_DELIVERY)(rehearse)
app.add_typer(images.app, name="images", rich_help_panel=_DELIVERY)
app.add_typer(deploy.app, name="deploy", rich_help_panel=_DELIVERY)
app.command(rich_help_panel=_DELIVERY)(rollback)
app.add_typer(drift.app, name="drift", rich_help_panel=_DELIVERY)
