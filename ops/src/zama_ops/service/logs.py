"""`zama logs`: run the saved log queries that the runbooks use."""

import re
from typing import Annotated

import typer

from zama_ops import access_log
from zama_ops.aws import client
from zama_ops.console import Table, errors_told, notes, say, show, step
from zama_ops.ecs_service import EcsService
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

    `request` also reads the load balancer's access log. Needs AWS credentials that can read the
    logs. Exit code 1: there is no such query, or it failed.
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
        # The load balancer's log has the trace, but not the request id. If the caller chose the
        # trace, the load balancer's own id of the request precedes it.
        traces = (*(row.get("trace", "") for row in rows), identity or "")
        if identity and (trace := re.search(r"1-[0-9a-f]{8}-[0-9a-f]{24}", " ".join(traces))):
            balancer = EcsService(prefix).load_balancer["LoadBalancerArn"]
            more = access_log.lines(balancer, trace[0])
            if more is None:
                notes.print("The load balancer has no access log: set access_logs_enabled.")
            elif not more:
                notes.print("The load balancer's line is not there: it arrives after five minutes.")
            columns = dict.fromkeys(name for row in (*rows, *(more or ())) for name in row)
            rows = [{name: row.get(name, "") for name in columns} for row in (*(more or ()), *rows)]
    if not rows and not as_json:
        notes.print("No results.")
        return
    table = Table(*(rows[0] if rows else ()))
    for row in rows:
        table.add_row(*row.values())
    show(rows, table, as_json=as_json)
