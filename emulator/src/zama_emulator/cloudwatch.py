"""CloudWatch as AWS documents it."""

import functools
import json
import time
from typing import Any, Final
from xml.sax.saxutils import escape

from ministack.core.responses import get_region
from ministack.services import cloudwatch

from zama_emulator import models
from zama_emulator.patching import Original

_SUPPRESSOR: Final = (
    "ActionsSuppressor",
    "ActionsSuppressorWaitPeriod",
    "ActionsSuppressorExtensionPeriod",
)


def evict_each_hour(original: Original) -> None:
    """Forget points after two weeks; at each call, this would look at every point."""
    _evict(int(time.time() // 3600), get_region(), original)


@functools.lru_cache
def _evict(_hour: int, _region: str, original: Original) -> None:
    original()


def put_metric_alarm(
    original: Original, params: Any, body: Any, is_cbor: bool, is_json: bool = False
) -> Any:
    """An alarm can have several metrics and an expression."""
    answer = original(params, body, is_cbor, is_json)
    given = _given("PutMetricAlarm", params, body, is_cbor or is_json)
    if metrics := given.get("Metrics"):
        cloudwatch._alarms[given["AlarmName"]]["Metrics"] = metrics
    return answer


def _given(operation: str, params: Any, body: Any, has_body: bool) -> dict[str, Any]:
    """Return a call's parameters, whatever its protocol is."""
    return body if has_body else models.read_query("cloudwatch", operation, params)


def describe_alarms(
    original: Original, params: Any, body: Any, is_cbor: bool, is_json: bool = False
) -> Any:
    """An alarm has all its fields in each protocol, including XML, which Terraform reads."""
    if is_cbor or is_json:
        return original(params, body, is_cbor, is_json)
    asked = _given("DescribeAlarms", params, body, has_body=False)
    _, _, answer = original(params, asked, False, True)
    alarms = json.loads(answer)
    for alarm in alarms["MetricAlarms"]:
        # MiniStack sets these fields even for metric math and percentiles.
        if not alarm["MetricName"]:
            alarm["Period"] = alarm["Statistic"] = None
        if alarm.get("ExtendedStatistic"):
            alarm["Statistic"] = None
    return cloudwatch._xml(
        200,
        "DescribeAlarmsResponse",
        f"<DescribeAlarmsResult>{_xml(alarms)}</DescribeAlarmsResult>",
    )


def _xml(value: Any) -> str:
    if isinstance(value, dict):
        return "".join(
            f"<{name}>{_xml(one)}</{name}>"
            for name, one in value.items()
            # JSON and XML have different formats of timestamps, and no client here reads them.
            if one is not None and not name.endswith("Timestamp")
        )
    if isinstance(value, list):
        return "".join(f"<member>{_xml(one)}</member>" for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))


def calculate(expression: str, known: dict[str, Any]) -> float | None:
    """Return the value of metric math, given the values that it names, or None without data."""
    functions = {
        "FILL": lambda value, other: other if value is None else value,
        "IF": lambda condition, then, other: then if condition else other,
        "MAX": lambda values: max((one for one in values if one is not None), default=None),
    }
    try:
        # The metric math in terraform/ is also valid Python. The expressions are trusted: they
        # come from the account's own alarms.
        return float(eval(expression, {"__builtins__": {}}, {**functions, **known}))  # noqa: S307
    except (TypeError, ZeroDivisionError):
        return None


def get_metric_data(
    original: Original, params: Any, body: Any, is_cbor: bool, is_json: bool = False
) -> Any:
    """A query can be an expression of metrics, which is calculated for each period.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_GetMetricData.html
    """
    if not (is_cbor or is_json):
        return original(params, body, is_cbor, is_json)
    queries = body["MetricDataQueries"]
    metrics = [{**one, "ReturnData": True} for one in queries if "MetricStat" in one]
    _, _, answer = original(params, {**body, "MetricDataQueries": metrics}, False, True)
    results = {one["Id"]: one for one in json.loads(answer)["MetricDataResults"]}
    series = {
        name: dict(zip(one["Timestamps"], one["Values"], strict=True))
        for name, one in results.items()
    }
    moments = sorted({moment for values in series.values() for moment in values})
    for one in queries:
        if "Expression" in one:
            values = [
                (
                    moment,
                    calculate(one["Expression"], {n: v.get(moment) for n, v in series.items()}),
                )
                for moment in moments
            ]
            known = [(moment, value) for moment, value in values if value is not None]
            results[one["Id"]] = {
                "Id": one["Id"],
                "Label": one.get("Label", one["Id"]),
                "Timestamps": [moment for moment, _ in known],
                "Values": [value for _, value in known],
                "StatusCode": "Complete",
            }
    shown = [results[one["Id"]] for one in queries if one.get("ReturnData", True)]
    if is_cbor:
        shown = [cloudwatch._cbor_metric_data_result(one) for one in shown]
        return cloudwatch._cbor_ok({"MetricDataResults": shown})
    return cloudwatch._json_ok({"MetricDataResults": shown})


def stat_value(original: Original, stats: Any, name: str, points: Any = None) -> Any:
    """A statistic can also be the number of values up to a bound, such as TC(:0.1)."""
    if name.startswith("TC(:"):
        most = float(name.removeprefix("TC(:").removesuffix(")"))
        return sum(float(one.get("Count", 1)) for one in points if one["Value"] <= most)
    return original(stats, name, points)


def put_composite_alarm(
    original: Original, params: Any, body: Any, is_cbor: bool, is_json: bool = False
) -> Any:
    """A composite alarm keeps its suppressor.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/APIReference/API_PutCompositeAlarm.html
    """
    answer = original(params, body, is_cbor, is_json)
    given = _given("PutCompositeAlarm", params, body, is_cbor or is_json)
    if (alarm := cloudwatch._composite_alarms.get(given.get("AlarmName"))) is not None:
        alarm |= {key: given[key] for key in _SUPPRESSOR if given.get(key)}
    return answer


def dispatch_alarm_actions(
    original: Original, alarm: dict[str, Any], before: str, state: str, reason: str
) -> None:
    """A composite alarm does nothing while its suppressor is in ALARM; here it never waits for it.

    https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-suppression.html
    """
    name = alarm.get("ActionsSuppressor", "").rpartition("alarm:")[2]
    suppressor = cloudwatch._alarms.get(name) or cloudwatch._composite_alarms.get(name) or {}
    if suppressor.get("StateValue") != "ALARM":
        original(alarm, before, state, reason)
