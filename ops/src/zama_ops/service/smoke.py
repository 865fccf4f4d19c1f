"""`zama smoke`: check a deployment against the API contract, from outside."""

from dataclasses import asdict
from typing import Annotated

import typer

from zama_ops.console import CROSS, TICK, Table, errors_told, show
from zama_ops.contract_checks import CHECKS, Result, caller, key_for, perform, require_answer
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
    if not as_json:
        with errors_told():
            require_answer(service)
    results = [perform(name, service) for name in CHECKS]
    passed = all(result.passed for result in results)
    report = {"url": url, "passed": passed, "checks": [asdict(one) for one in results]}
    show(report, _table(results), as_json=as_json)
    if not passed:
        raise typer.Exit(1)


def _table(results: list[Result]) -> Table:
    table = Table("", "check", "found", "ms")
    for result in results:
        table.add_row(
            TICK if result.passed else CROSS,
            result.check,
            result.detail,
            f"{result.milliseconds:.0f}",
        )
    return table
