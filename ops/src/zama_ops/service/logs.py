"""`zama logs`: run the saved log queries that the runbooks use."""

from typing import Annotated

import typer

from zama_ops.aws import client
from zama_ops.console import Table, errors_told, notes, say, show, step
from zama_ops.errors import CommandError
from zama_ops.logs_insights import ask, questions
from zama_ops.options import PREFIX, AsJson, Prefix, matching


def logs(
    question: Annotated[
        str | None, typer.Argument(help="A saved query's name; default: list all names.")
    ] = None,
    identity: Annotated[
        str | None,
        typer.Argument(
            metavar="[ID]",
            callback=matching(r"[\w.=;:-]{1,256}", "a request id or a trace"),
            help="For the query `request`: an X-Request-Id, or a trace of the load balancer.",
        ),
    ] = None,
    *,
    minutes: Annotated[int, typer.Option(min=1, help="Minutes to look back.")] = 60,
    prefix: Prefix = PREFIX,
    as_json: AsJson = False,
) -> None:
    """Run one of the deployment's saved log queries (terraform/logs.tf).

    Needs AWS credentials that can read the log. Exit code 1: there is no such query, or it failed.
    """
    with errors_told(), client("logs") as aws:
        saved = questions(aws, prefix)
        if question is None:
            for name in sorted(saved):
                say(name)
            return
        if question not in saved:
            known = ", ".join(sorted(saved)) or f"none for the name_prefix {prefix}"
            raise CommandError(f"there is no query {question!r}. Saved queries: {known}")
        if (question == "request") != (identity is not None):
            raise CommandError("An ID belongs to `zama logs request ID`, and to no other query.")
        query = saved[question]
        text = query["queryString"].replace("REQUEST_ID", identity or "")
        with step(f"Running {question} over the last {minutes} minutes"):
            rows = ask(aws, {**query, "queryString": text}, minutes)
    if not rows and not as_json:
        notes.print("No results.")
        return
    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*row.values())
    show(rows, table, as_json=as_json)
