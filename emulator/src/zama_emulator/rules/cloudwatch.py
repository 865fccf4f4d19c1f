"""Rules of CloudWatch."""

import json
import re
from typing import Any, Final

from zama_emulator.rules import Given, rule

_API: Final = "AmazonCloudWatch/latest/APIReference/API_"
_PUT: Final = f"{_API}PutMetricAlarm.html"
_QUERY: Final = f"{_API}MetricDataQuery.html"
_MATHS: Final = "AmazonCloudWatch/latest/monitoring/using-metric-math.html"
_INVALID: Final = "ValidationError"

_STATISTICS: Final = {"SampleCount", "Average", "Sum", "Minimum", "Maximum"}
# Percentiles and the statistics that have bounds.
_EXTENDED: Final = re.compile(
    r"p(100|\d{1,2}(\.\d{1,10})?)|IQM|(tm|wm|tc|ts)\d{1,3}(\.\d+)?"
    r"|(TM|WM|TC|TS|PR)\([\d.]*%?:[\d.]*%?\)"
)
_FUNCTIONS: Final = {
    *(
        "ABS",
        "ANOMALY_DETECTION_BAND",
        "AVG",
        "CEIL",
        "DATAPOINT_COUNT",
        "DB_PERF_INSIGHTS",
        "DIFF",
    ),
    *("DIFF_TIME", "FILL", "FIRST", "LAST", "FLOOR", "IF", "INSIGHT_RULE_METRIC", "LAMBDA", "LOG"),
    *("LOG10", "MAX", "METRIC_COUNT", "METRICS", "MIN", "MINUTE", "HOUR", "DAY", "DATE", "MONTH"),
    *("YEAR", "EPOCH", "PERIOD", "RATE", "REMOVE_EMPTY", "RUNNING_SUM", "SEARCH", "SERVICE_QUOTA"),
    *("SLICE", "SORT", "STDDEV", "SUM", "TIME_SERIES", "AND", "OR", "ASC", "DESC", "REPEAT"),
    *("LINEAR", "INTERVAL", "SELECT", "FROM", "SCHEMA", "WHERE", "GROUP", "ORDER", "BY", "LIMIT"),
}


def _metrics(given: Given) -> list[dict[str, Any]]:
    return given.get("Metrics") or []


def _periods(given: Given) -> list[int]:
    """Return the periods of an alarm's metrics, in seconds."""
    stats = [one["MetricStat"] for one in _metrics(given) if one.get("MetricStat")]
    found = [given.get("Period"), *(one.get("Period") for one in [*stats, *_metrics(given)])]
    return [one for one in found if one]


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def alarm_period(given: Given) -> Any:
    """A period has 10, 20, 30 or a multiple of 60 seconds."""
    return any(one not in {10, 20, 30} and (one < 60 or one % 60) for one in _periods(given))


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def alarm_span(given: Given) -> Any:
    """Evaluation periods cover 7 days at most, and 1 day if a period is under an hour."""
    return any(
        one * given["EvaluationPeriods"] > (604800 if one >= 3600 else 86400)
        for one in _periods(given)
    )


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def datapoints_to_alarm(given: Given) -> Any:
    """An alarm needs no more datapoints than it has evaluation periods."""
    return given.get("DatapointsToAlarm", 1) > given["EvaluationPeriods"]


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def metric_or_maths(given: Given) -> Any:
    """An alarm has a metric's name, namespace, period and statistic, or else metric queries."""
    single = {"MetricName", "Namespace", "Period", "Statistic", "ExtendedStatistic", "Dimensions"}
    if _metrics(given):
        return any(given.get(name) for name in single)
    return not (given.get("MetricName") and given.get("Namespace") and given.get("Period"))


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def one_statistic(given: Given) -> Any:
    """A metric has either a statistic or an extended statistic."""
    return not _metrics(given) and (
        bool(given.get("Statistic")) == bool(given.get("ExtendedStatistic"))
    )


@rule("cloudwatch", "PutMetricAlarm", _INVALID,
      "AmazonCloudWatch/latest/monitoring/Statistics-definitions.html")  # fmt: skip
def extended_statistic(given: Given) -> Any:
    """An extended statistic is a percentile such as p99.9, or one such as tm90, IQM or PR(1:2)."""
    stats = [one["MetricStat"].get("Stat", "") for one in _metrics(given) if one.get("MetricStat")]
    given_one = given.get("ExtendedStatistic")
    return any(one not in _STATISTICS and not _EXTENDED.fullmatch(one) for one in stats) or (
        given_one and not _EXTENDED.fullmatch(given_one)
    )


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def threshold(given: Given) -> Any:
    """An alarm has either a threshold or an anomaly band, as its comparison needs."""
    band = given["ComparisonOperator"] in {
        "LessThanLowerOrGreaterThanUpperThreshold",
        "LessThanLowerThreshold",
        "GreaterThanUpperThreshold",
    }
    missing = given.get("Threshold") is None
    return missing != band or band != bool(given.get("ThresholdMetricId"))


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def missing_data(given: Given) -> Any:
    """Missing data is breaching, notBreaching, ignore or missing."""
    known = {"breaching", "notBreaching", "ignore", "missing"}
    return given.get("TreatMissingData", "missing") not in known


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def low_samples(given: Given) -> Any:
    """Only an alarm on a percentile says how to evaluate low sample counts: evaluate or ignore."""
    wanted = given.get("EvaluateLowSampleCountPercentile")
    return wanted and (
        wanted not in {"evaluate", "ignore"}
        or not given.get("ExtendedStatistic", "").startswith("p")
    )


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _QUERY)
def one_query_returns_data(given: Given) -> Any:
    """Exactly one metric query of an alarm returns data."""
    wanted = 2 if given.get("ThresholdMetricId") else 1
    returned = sum(one.get("ReturnData", True) is not False for one in _metrics(given))
    return _metrics(given) and returned != wanted


@rule("cloudwatch", "PutMetricAlarm GetMetricData", _INVALID, _QUERY)
def query_ids(given: Given) -> Any:
    """A metric query's id is unique and begins with a small letter; letters, digits and _ follow."""
    ids = [one.get("Id") or "" for one in _metrics(given) or given.get("MetricDataQueries") or []]
    return len({*ids}) < len(ids) or any(not re.fullmatch(r"[a-z]\w*", one) for one in ids)


@rule("cloudwatch", "PutMetricAlarm GetMetricData", _INVALID, _QUERY)
def query_is_metric_or_expression(given: Given) -> Any:
    """A metric query has either a metric or an expression."""
    return any(
        bool(one.get("MetricStat")) == bool(one.get("Expression"))
        for one in _metrics(given) or given.get("MetricDataQueries") or []
    )


@rule("cloudwatch", "PutMetricAlarm GetMetricData", _INVALID, _MATHS)
def expression_ids(given: Given) -> Any:
    """An expression uses known functions and the ids of its alarm's queries."""
    queries = _metrics(given) or given.get("MetricDataQueries") or []
    known = {one.get("Id") for one in queries}
    for one in queries:
        text = re.sub(r"'[^']*'|\"[^\"]*\"", "", one.get("Expression") or "")
        if re.match(r"\s*SELECT\b", text, re.IGNORECASE):
            continue
        names = {*re.findall(r"(?<![\w.])[A-Za-z_]\w*", text)}
        if {name for name in names if name[0].islower()} - known:
            return True
        if {name for name in names if not name[0].islower()} - _FUNCTIONS:
            return True
        if text.count("(") != text.count(")"):
            return True
    return False


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def alarm_metrics(given: Given) -> Any:
    """An alarm's expression uses at most 10 metrics, and a metric has at most 30 dimensions."""
    stats = [one for one in _metrics(given) if one.get("MetricStat")]
    return len(stats) > 10 or len(given.get("Dimensions") or []) > 30


@rule("cloudwatch", "PutMetricAlarm PutCompositeAlarm", _INVALID, _PUT)
def alarm_actions(given: Given) -> Any:
    """An alarm's actions are up to 5 ARNs for each state."""
    for name in ("AlarmActions", "OKActions", "InsufficientDataActions"):
        actions = given.get(name) or []
        if len(actions) > 5 or any(not re.fullmatch(r"arn:aws[\w-]*:\S+", one) for one in actions):
            return True
    return False


@rule("cloudwatch", "PutMetricAlarm", _INVALID, _PUT)
def short_periods(given: Given) -> Any:
    """An alarm on a period of 10, 20 or 30 seconds does not watch one of AWS's namespaces."""
    return given.get("Period") in {10, 20, 30} and given.get("Namespace", "").startswith("AWS/")


_CONDITION: Final = re.compile(
    r"""(?:ALARM|OK|INSUFFICIENT_DATA)\(\s*(?:"([^"]+)"|'([^']+)'|([^\s"'()]+))\s*\)|TRUE|FALSE"""
)


@rule("cloudwatch", "PutCompositeAlarm", _INVALID, f"{_API}PutCompositeAlarm.html")
def alarm_rule(given: Given) -> Any:
    """An alarm rule combines ALARM, OK and INSUFFICIENT_DATA by AND, OR, NOT and parentheses."""
    text = _CONDITION.sub("True", given["AlarmRule"])
    if re.sub(r"True|\b(AND|OR|NOT)\b|[()\s]", "", text):
        return True
    try:
        compile(re.sub(r"\b(AND|OR|NOT)\b", lambda found: found[0].lower(), text), "", "eval")
    except SyntaxError:
        return True
    return False


@rule("cloudwatch", "PutCompositeAlarm", _INVALID, f"{_API}PutCompositeAlarm.html")
def alarm_rule_is_no_cycle(given: Given) -> Any:
    """A composite alarm is not its own child."""
    names = {
        "".join(found).rpartition(":alarm:")[2] for found in _CONDITION.findall(given["AlarmRule"])
    }
    return given["AlarmName"] in names


@rule("cloudwatch", "PutDashboard", "InvalidParameterInput", f"{_API}PutDashboard.html")
def dashboard_name(given: Given) -> Any:
    """A dashboard's name has up to 255 letters, digits, hyphens and underscores."""
    return not re.fullmatch(r"[\w-]{1,255}", given["DashboardName"], re.ASCII)


@rule("cloudwatch", "PutDashboard", "InvalidParameterInput",
      "AmazonCloudWatch/latest/APIReference/CloudWatch-Dashboard-Body-Structure.html")  # fmt: skip
def dashboard_body(given: Given) -> Any:
    """A dashboard is JSON with up to 500 widgets, each with a known type and its properties."""
    try:
        widgets = json.loads(given["DashboardBody"])["widgets"]
        return len(widgets) > 500 or not all(_is_widget(one) for one in widgets)
    except (ValueError, KeyError, TypeError):
        return True


_NEEDED: Final = {
    "metric": (),
    "text": ("markdown",),
    "log": ("query", "region"),
    "alarm": ("alarms",),
    "explorer": ("metrics",),
    "custom": ("endpoint",),
}


def _is_widget(widget: dict[str, Any]) -> bool:
    properties = widget.get("properties")
    kind = widget["type"]
    sized = 1 <= widget.get("width", 6) <= 24 and 1 <= widget.get("height", 6) <= 1000
    placed = 0 <= widget.get("x", 0) <= 23 and widget.get("y", 0) >= 0
    if kind not in _NEEDED or not isinstance(properties, dict) or not (sized and placed):
        return False
    if kind == "metric" and not (
        (properties.get("metrics") and properties.get("region"))
        or (properties.get("annotations") or {}).get("alarms")
    ):
        return False
    return all(properties.get(name) for name in _NEEDED[kind])
