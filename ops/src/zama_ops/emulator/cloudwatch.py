"""CloudWatch as AWS describes it."""

import json
from typing import Any
from xml.sax.saxutils import escape

from ministack.services import cloudwatch

from zama_ops.emulator.patching import Original, replace


def correct() -> None:
    """Replace MiniStack's functions."""
    replace(cloudwatch, "_describe_alarms", _describe_alarms)


def _describe_alarms(
    original: Original, params: Any, body: Any, is_cbor: bool, is_json: bool = False
) -> Any:
    """An alarm has all its fields in each of the protocols, also in XML, which Terraform reads."""
    if is_cbor or is_json:
        return original(params, body, is_cbor, is_json)
    asked: dict[str, list[str]] = {"AlarmNames": [], "AlarmTypes": []}
    for name, values in asked.items():
        while value := cloudwatch._p(params, f"{name}.member.{len(values) + 1}"):
            values.append(value)
    _, _, answer = original(params, asked, False, True)
    alarms = {name: value for name, value in json.loads(answer).items() if name != "NextToken"}
    for alarm in alarms["MetricAlarms"]:
        # MiniStack fills them in where they do not belong: with metric math, with percentiles.
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
            # Numbers in JSON, dates in XML, and nobody here asks when.
            if one is not None and not name.endswith("Timestamp")
        )
    if isinstance(value, list):
        return "".join(f"<member>{_xml(one)}</member>" for one in value)
    if isinstance(value, bool):
        return str(value).lower()
    return escape(str(value))
