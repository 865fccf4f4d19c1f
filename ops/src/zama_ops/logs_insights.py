"""CloudWatch Logs Insights: the saved queries and their results."""

import time
from typing import Any, Final

from zama_ops.errors import CommandError

_PATIENCE_SECONDS: Final = 60
_POLL_SECONDS: Final = 0.5


def questions(aws: Any, prefix: str) -> dict[str, dict[str, Any]]:
    """Return the saved queries, by name."""
    response = aws.describe_query_definitions(queryDefinitionNamePrefix=f"{prefix}/")
    return {one["name"].removeprefix(f"{prefix}/"): one for one in response["queryDefinitions"]}


def ask(aws: Any, query: dict[str, Any], minutes: int) -> list[dict[str, str]]:
    """Return a query's results, one dictionary per row."""
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
            raise CommandError(f"The query did not complete; its status is {answer['status']}.")
        time.sleep(_POLL_SECONDS)
    rows = [{one["field"]: one["value"] for one in result} for result in answer["results"]]
    columns = {name: None for row in rows for name in row if name != "@ptr"}
    return [{name: row.get(name, "") for name in columns} for row in rows]
