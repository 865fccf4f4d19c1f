"""CloudWatch Logs: metrics, saved queries, and the parts of their languages that are in use.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CloudWatch-Logs-Monitoring-CloudWatch-Metrics.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/FilterAndPatternSyntaxForMetricFilters.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html
"""

import ast
import contextlib
import json
import operator
import re
import uuid
from collections.abc import Callable
from typing import Any, Final

from ministack.core.responses import error_response_json, json_response
from ministack.services import cloudwatch_logs

from zama_emulator.metrics import meter
from zama_emulator.patching import Original

Row = dict[str, Any]

# By query id.
_definitions: Final[dict[str, dict[str, Any]]] = {}

_COMPARE: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "=": operator.eq,
    "!=": operator.ne,
    ">=": operator.ge,
    "in": lambda value, values: value in values,
    "like": lambda value, part: part in value,
}


def put_log_events(original: Original, given: dict[str, Any]) -> Any:
    """A stored line counts for its group, and for each metric filter whose pattern it matches."""
    answer = original(given)
    if answer[0] == 200:
        group = given["logGroupName"]
        filters = [
            one for (name, _), one in list(cloudwatch_logs._metric_filters.items()) if name == group
        ]
        for event in given["logEvents"]:
            meter.add("AWS/Logs", {"LogGroupName": group}, {"IncomingLogEvents": 1})
            row = _fields(event["message"])
            for one in filters:
                if _matches(one["filterPattern"], row):
                    for metric in one["metricTransformations"]:
                        value = {metric["metricName"]: float(metric["metricValue"])}
                        meter.add(metric["metricNamespace"], {}, value)
    return answer


def put_metric_filter(original: Original, given: dict[str, Any]) -> Any:
    """A pattern or a value in a form that would not be counted here is refused."""
    try:
        _matches(given["filterPattern"], {})
        for one in given["metricTransformations"]:
            float(one["metricValue"])
    except ValueError as error:
        return error_response_json("InvalidParameterException", str(error), 400)
    return original(given)


def _matches(pattern: str, row: Row) -> bool:
    """Say whether a line's fields match a pattern of the form `{ $.NAME = VALUE && ... }`."""
    terms = pattern.removeprefix("{").removesuffix("}").split("&&")
    held = [_holds(one.strip().removeprefix("$."), row) for one in terms]
    return all(held)


def put(given: dict[str, Any]) -> Any:
    identity = given.get("queryDefinitionId") or str(uuid.uuid4())
    _definitions[identity] = {**given, "queryDefinitionId": identity}
    return json_response({"queryDefinitionId": identity})


def describe(given: dict[str, Any]) -> Any:
    prefix = given.get("queryDefinitionNamePrefix", "")
    definitions = [one for one in _definitions.values() if one["name"].startswith(prefix)]
    return json_response({"queryDefinitions": definitions})


def delete(given: dict[str, Any]) -> Any:
    return json_response({"success": bool(_definitions.pop(given["queryDefinitionId"], None))})


def associate_key(given: dict[str, Any]) -> Any:
    """Set a log group's key, or remove it if none is given."""
    cloudwatch_logs._log_groups[given["logGroupName"]]["kmsKeyId"] = given.get("kmsKeyId")
    return json_response({})


def start_query(original: Original, given: dict[str, Any]) -> Any:
    """Queries can compare and count the fields of JSON lines; an unknown query is an error."""
    status, headers, body = original(given)
    if status == 200:
        groups = cloudwatch_logs._resolve_query_log_groups(given)
        records = cloudwatch_logs._collect_query_records(
            groups, given["startTime"], given["endTime"]
        )
        try:
            rows = _answer(given["queryString"], [_row(record) for record in records])
        except ValueError as error:
            return error_response_json("MalformedQueryException", str(error), 400)
        cloudwatch_logs._queries[json.loads(body)["queryId"]]["results"] = [
            [{"field": name, "value": str(value)} for name, value in row.items()] for row in rows
        ]
    return status, headers, body


def _row(record: dict[str, Any]) -> Row:
    public = cloudwatch_logs._public_log_record(record)
    row = {"@timestamp": public["@timestamp"], "@message": public["@message"]}
    return row | _fields(public["@message"])


def _fields(message: str) -> Row:
    """Return the fields of a JSON line that are not null."""
    with contextlib.suppress(ValueError):
        if isinstance(fields := json.loads(message), dict):
            return {name: value for name, value in fields.items() if value is not None}
    return {}


def _answer(query: str, rows: list[Row]) -> list[Row]:
    # Later stages can still use fields that are not shown.
    shown: list[str] | None = None
    for stage in query.split(" | "):
        verb, _, rest = stage.strip().partition(" ")
        if verb == "filter":
            rows = [row for row in rows if all(_holds(one, row) for one in rest.split(" and "))]
        elif verb == "fields":
            shown = rest.split(", ")
        elif verb == "stats":
            rows = _counted(rest, rows)
        elif verb == "sort":
            name, _, order = rest.partition(" ")
            rows = sorted(rows, key=lambda row: row.get(name) or 0, reverse=order == "desc")
        elif verb == "limit":
            rows = rows[: int(rest)]
        else:
            raise ValueError(f"unknown command: {verb}")
    if shown is None:
        return rows
    return [{name: row[name] for name in shown if name in row} for row in rows]


def _holds(condition: str, row: Row) -> bool:
    match = re.fullmatch(r"([@\w]+) (=|!=|>=|in|like) (.+)", condition.strip())
    if not match:
        raise ValueError(f"unsupported condition: {condition}")
    name, compare, value = match.groups()
    return name in row and _COMPARE[compare](row[name], ast.literal_eval(value))


def _counted(aggregation: str, rows: list[Row]) -> list[Row]:
    """Count the rows, or return a field's maximum or percentile, for each group."""
    what, _, by = aggregation.partition(" by ")
    groups: dict[tuple[Any, ...], list[Row]] = {}
    names = by.split(", ")
    for row in rows:
        # The first 16 characters of a time end with the minute.
        known = {**row, "bin(1m)": row["@timestamp"][:16]}
        groups.setdefault(tuple(known.get(name, "") for name in names), []).append(row)
    counted = []
    for group, members in groups.items():
        result = dict(zip(names, group, strict=True))
        # A comma in parentheses belongs to a function.
        for one in re.split(r", (?![^(]*\))", what):
            match = re.fullmatch(
                r"(count\(\*\)|max\(([@\w]+)\)|pct\((\w+), (\d+)\))(?: as (\w+))?", one
            )
            if not match:
                raise ValueError(f"unsupported aggregation: {one}")
            function, most, part, percent, name = match.groups()
            if part:
                values = sorted(row[part] for row in members if part in row)
                value = values[(len(values) - 1) * int(percent) // 100] if values else ""
            else:
                value = max(row[most] for row in members) if most else len(members)
            result[name or function] = value
        counted.append(result)
    return counted
