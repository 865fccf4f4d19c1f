"""`zama smoke`: check a deployment against the API contract, from outside."""

from dataclasses import asdict
from typing import Annotated

import typer
from rich.table import Table

from zama_ops.console import notes, show
from zama_ops.contract_checks import CHECKS, Result, caller, key_for, perform
from zama_ops.options import AsJson, ConnectTo, Url


def smoke(
    url: Url,
    *,
    connect_to: ConnectTo = None,
    insecure: Annotated[bool, typer.Option(help="Accept any certificate.")] = False,
    as_json: AsJson = False,
) -> None:
    """Check a deployment against the API contract from outside, in seconds.

    Set a valid key in API_KEY; for a local URL the default is CHANGEME. Exit code 1: a check
    failed; 2: the URL is invalid or there is no key.
    """
    service = caller(url, key_for(url), connect_to, insecure=insecure)
    first, *rest = CHECKS
    results = [perform(first, service)]
    if not as_json and results[0].detail.startswith("no answer"):
        reason = results[0].detail.removeprefix("no answer: ")
        notes.print(f"zama: {url} does not answer: {reason}", style="red", markup=False)
        raise typer.Exit(1)
    results += [perform(name, service) for name in rest]
    passed = all(result.passed for result in results)
    report = {"url": url, "passed": passed, "checks": [asdict(one) for one in results]}
    show(report, _table(results), as_json=as_json)
    if not passed:
        raise typer.Exit(1)


def _table(results: list[Result]) -> Table:
    table = Table("", "check", "found", "ms")
    for result in results:
        mark = "[green]✓[/]" if result.passed else "[red]✗[/]"
        table.add_row(mark, result.check, result.detail, f"{result.milliseconds:.0f}")
    return table
