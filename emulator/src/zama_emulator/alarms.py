"""CloudWatch alarms, evaluated every minute.

https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/alarm-evaluation.html

An alarm looks at its last evaluation periods and treats missing data as configured. Unlike AWS, it
does not look further back to replace missing datapoints with older ones.
"""

import functools
import math
import operator
import time
from bisect import bisect_right
from collections.abc import Callable
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

_moment: Final = operator.itemgetter("Timestamp")
_Key = tuple[str, str, Any]
_Points = list[dict[str, Any]]
# A metric's statistic over the period that ended a number of periods ago.
_Ask = Callable[[dict[str, Any], int], float | None]


def evaluate(minutes: Minutes) -> None:
    """Evaluate each alarm of the current account and region on its last periods."""
    # Alarms have many periods and share metrics, so sort each metric's points only once.
    ask = functools.partial(statistic, minutes=minutes, points=functools.cache(_points))
    for alarm in list(cloudwatch._alarms.values()):
        _evaluate(alarm, ask)


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


def _evaluate(alarm: dict[str, Any], ask: _Ask) -> None:
    values = [_value(alarm, number, ask) for number in range(alarm["EvaluationPeriods"])]
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


def _value(alarm: dict[str, Any], number: int, ask: _Ask) -> float | None:
    """Return the alarm's value `number` periods ago, or None if there is no data."""
    metrics = alarm.get("Metrics")
    if not metrics:
        own = {name: alarm[name] for name in ("Namespace", "MetricName", "Dimensions")}
        stated = alarm["ExtendedStatistic"] or alarm["Statistic"]
        stat = {"Metric": own, "Period": alarm["Period"], "Stat": stated}
        return ask(stat, number)
    known: dict[str, Any] = {
        one["Id"]: ask(one["MetricStat"], number) for one in metrics if "MetricStat" in one
    }
    # The returned expression comes last, because it can use the others.
    expressions = [one for one in metrics if "Expression" in one]
    for one in sorted(expressions, key=lambda one: one.get("ReturnData", True)):
        known[one["Id"]] = value = calculate(one["Expression"], known)
    return value


def _points(key: _Key) -> _Points:
    """Return a metric's points in the order of time."""
    return sorted(cloudwatch._metrics.get(key, []), key=_moment)


def statistic(
    stat: dict[str, Any],
    number: int,
    minutes: Minutes,
    points: Callable[[_Key], _Points] = _points,
) -> float | None:
    """Return a metric's statistic over the period that ended `number` periods ago."""
    metric, period = stat["Metric"], math.ceil(stat["Period"] / 60)
    dimensions = cloudwatch._dims_from_list(metric.get("Dimensions", []))
    every = points((metric["Namespace"], metric["MetricName"], cloudwatch._dims_key(dimensions)))
    ends = minutes.ago((number + 1) * period), minutes.ago(number * period)
    since, until = (bisect_right(every, end, key=_moment) for end in ends)
    if since == until:
        return None
    those = every[since:until]
    name = stat["Stat"]
    # A window can have thousands of points, and these statistics use only them.
    of_points = name.startswith("TC(:") or cloudwatch._is_percentile_stat(name)
    stats = {} if of_points else cloudwatch._calc_stats(those)
    value = cloudwatch._stat_value(stats, name, those)
    return None if value is None else float(value)
