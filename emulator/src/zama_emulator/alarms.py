"""CloudWatch alarms, evaluated every minute.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

An alarm looks at its last evaluation periods and treats missing data as configured. Unlike AWS, it
does not look further back to replace missing datapoints with older ones.
"""

import math
import operator
import time
from typing import Any, Final

from ministack.services import cloudwatch

from zama_emulator.clock import Minutes
from zama_emulator.cloudwatch import calculate
from zama_emulator.patching import Original

_COMPARE: Final = {
    "GreaterThanOrEqualToThreshold": operator.ge,
    "GreaterThanThreshold": operator.gt,
    "LessThanThreshold": operator.lt,
    "LessThanOrEqualToThreshold": operator.le,
}
_MISSING: Final = {"breaching": True, "notBreaching": False}


def evaluate(minutes: Minutes) -> None:
    """Evaluate each alarm of the current account and region on its last periods."""
    for alarm in list(cloudwatch._alarms.values()):
        _evaluate(alarm, minutes)


def only_each_minute(_original: Original, _alarm: dict[str, Any]) -> None:
    """Neither data nor a change of the alarm changes its state before the minute ends."""


def in_alarm(names: list[str]) -> list[str]:
    """Return the named alarms, metric or composite, that are in ALARM."""
    states = {
        name: alarm["StateValue"]
        for kind in (cloudwatch._alarms, cloudwatch._composite_alarms)
        for name, alarm in list(kind.items())
    }
    return [name for name in names if states.get(name) == "ALARM"]


def period(alarm: dict[str, Any]) -> int:
    """Return the seconds of the alarm's longest period."""
    stats = [one["MetricStat"] for one in alarm.get("Metrics") or [] if "MetricStat" in one]
    return max(int(one["Period"]) for one in stats or [alarm])


def _evaluate(alarm: dict[str, Any], minutes: Minutes) -> None:
    values = [_value(alarm, number, minutes) for number in range(alarm["EvaluationPeriods"])]
    missing = _MISSING.get(alarm["TreatMissingData"])
    compare = _COMPARE[alarm["ComparisonOperator"]]
    verdicts = [
        missing if value is None else compare(value, alarm["Threshold"]) for value in values
    ]
    if all(verdict is None for verdict in verdicts):
        if alarm["TreatMissingData"] == "ignore":
            return
        state = "INSUFFICIENT_DATA"
    elif verdicts.count(True) >= (alarm.get("DatapointsToAlarm") or len(verdicts)):
        state = "ALARM"
    else:
        state = "OK"
    before = alarm["StateValue"]
    if state == before:
        return
    reason = f"Threshold {alarm['Threshold']}: {values}"
    alarm |= {"StateValue": state, "StateReason": reason, "StateUpdatedTimestamp": int(time.time())}
    cloudwatch._record_history(alarm["AlarmName"], before, state, reason)
    cloudwatch._dispatch_alarm_actions(alarm, before, state, reason)
    cloudwatch._evaluate_parent_alarms(alarm)


def _value(alarm: dict[str, Any], number: int, minutes: Minutes) -> float | None:
    """Return the alarm's value `number` periods ago, or None if there is no data."""
    metrics = alarm.get("Metrics")
    if not metrics:
        own = {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")}
        stated = alarm["ExtendedStatistic"] or alarm["Statistic"]
        stat = {"Metric": own, "Period": alarm["Period"], "Stat": stated}
        return statistic(stat, number, minutes)
    known: dict[str, Any] = {
        one["Id"]: statistic(one["MetricStat"], number, minutes)
        for one in metrics
        if "MetricStat" in one
    }
    # The returned expression comes last, because it can use the others.
    expressions = [one for one in metrics if "Expression" in one]
    for one in sorted(expressions, key=lambda one: one.get("ReturnData", True)):
        known[one["Id"]] = value = calculate(one["Expression"], known)
    return value


def statistic(stat: dict[str, Any], number: int, minutes: Minutes) -> float | None:
    """Return a metric's statistic over the period that ended `number` periods ago."""
    metric, period = stat["Metric"], math.ceil(stat["Period"] / 60)
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions", []))
    key = (metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions))
    since, until = minutes.ago((number + 1) * period), minutes.ago(number * period)
    points = [
        point
        for point in list(cloudwatch._metrics.get(key, []))
        if since < point["Timestamp"] <= until
    ]
    if not points:
        return None
    value = cloudwatch._stat_value(cloudwatch._calc_stats(points), stat["Stat"], points)
    return None if value is None else float(value)
