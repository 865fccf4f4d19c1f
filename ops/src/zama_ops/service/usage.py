"""`zama usage`: each client's requests, from the gateway's log."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Annotated, Final

import typer

from zama_ops.aws import client
from zama_ops.console import Table, errors_told, show, step
from zama_ops.errors import CommandError
from zama_ops.logs_insights import ask, questions
from zama_ops.options import PREFIX, AsJson, Prefix

_NOBODY: Final = "(no valid key)"


@dataclass
class Use:
    """A client's requests: all, refused (401 and 403), over the limit (429), and failed (5xx).

    `p99_ms` is the 99th percentile of the response times of its 200 responses, if there are any.
    """

    client: str
    requests: int = 0
    refused: int = 0
    limited: int = 0
    failed: int = 0
    p99_ms: float | None = None


def by_client(rows: Iterable[Mapping[str, str]]) -> list[Use]:
    """Add up the rows of the saved query `usage`, one for each client and status."""
    uses: dict[str, Use] = {}
    for row in rows:
        use = uses.setdefault(row["client"], Use(row["client"] or _NOBODY))
        status, count = int(row["status"]), int(row["requests"])
        use.requests += count
        if status in {401, 403}:
            use.refused += count
        elif status == 429:
            use.limited += count
        elif status >= 500:
            use.failed += count
        elif status == 200:
            use.p99_ms = float(row["p99_ms"])
    return sorted(uses.values(), key=lambda use: use.requests, reverse=True)


def usage(
    *,
    minutes: Annotated[int, typer.Option(min=1, help="Minutes to look back.")] = 60,
    prefix: Prefix = PREFIX,
    as_json: AsJson = False,
) -> None:
    """Show each client's requests: refused, over the limit, failed, and the response time.

    Requests without a valid key share a row, which has one in a hundred of their 429. Needs AWS
    credentials that can read the log.
    """
    with errors_told(), client("logs") as aws:
        saved = questions(aws, prefix)
        if "usage" not in saved:
            raise CommandError(f"There is no query `usage` for {prefix}: apply Terraform first.")
        with step(f"Adding up the requests of the last {minutes} minutes"):
            uses = [asdict(use) for use in by_client(ask(aws, saved["usage"], minutes))]
    table = Table("client", "requests", "refused", "limited", "failed", "p99 ms")
    for use in uses:
        table.add_row(*("" if value is None else f"{value}" for value in use.values()))
    show(uses, table, as_json=as_json)
