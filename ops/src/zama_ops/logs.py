"""`zama logs`: the questions that runbooks ask the log, answered."""

import json
import time
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table

from zama_ops.aws import client
from zama_ops.commands import CommandError
from zama_ops.console import errors_told, notes, step
from zama_ops.service import PREFIX, Prefix

_PATIENCE_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.5


def logs(
    question: Annotated[
        str | None, typer.Argument(help="A saved query's name; without one they are listed.")
    ] = None,
    *,
    minutes: Annotated[int, typer.Option(min=1, help="How far to look back.")] = 60,
    prefix: Prefix = PREFIX,
    as_json: Annotated[bool, typer.Option("--json", help="Print the answer as JSON.")] = False,
) -> None:
    """Ask the deployment's log a question that Terraform has saved (terraform/logs.tf).

    Needs AWS credentials that may read the log. Exit code 1: no such question, or no answer.
    """
    with errors_told(), client("logs") as aws:
        _answer(aws, question, minutes, prefix, as_json=as_json)


def _answer(aws: Any, question: str | None, minutes: int, prefix: str, *, as_json: bool) -> None:
    saved = questions(aws, prefix)
    if question is None:
        for name in sorted(saved):
            typer.echo(name)
        return
    if question not in saved:
        known = ", ".join(sorted(saved)) or f"none under {prefix}/: is that the name_prefix?"
        notes.print(f"zama: there is no question {question!r}. Known: {known}", style="red")
        raise typer.Exit(1)
    with step(f"Asking {question} of the last {minutes} minutes"):
        rows = ask(aws, saved[question], minutes)
    if as_json:
        typer.echo(json.dumps(rows, indent=2))
        return
    if not rows:
        notes.print("Nothing.")
        return
    table = Table(*rows[0])
    for row in rows:
        table.add_row(*row.values())
    Console().print(table)


def questions(aws: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the saved queries, by their names."""
    found = aws.describe_query_definitions(queryDefinitionNamePrefix=f"{prefix}/")
    return {one["name"].removeprefix(f"{prefix}/"): one for one in found["queryDefinitions"]}


def ask(aws: Any, query: dict[str, Any], minutes: int) -> list[dict[str, str]]:
    """Return what a query finds, a dictionary a row.

    Raises:
        CommandError: it failed, or took more than a minute.

    """
    now = int(time.time())
    identity = aws.start_query(
        logGroupNames=query["logGroupNames"],
        startTime=now - 60 * minutes,
        endTime=now + 60,
        queryString=query["queryString"],
    )["queryId"]
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        answer = aws.get_query_results(queryId=identity)
        if answer["status"] == "Complete":
            break
        if answer["status"] not in {"Scheduled", "Running"} or time.monotonic() > deadline:
            raise CommandError(f"The query ended as {answer['status']}.")
        time.sleep(_POLL_SECONDS)
    rows = [{one["field"]: one["value"] for one in result} for result in answer["results"]]
    columns = {name: None for row in rows for name in row if name != "@ptr"}
    return [{name: row.get(name, "") for name in columns} for row in rows]
