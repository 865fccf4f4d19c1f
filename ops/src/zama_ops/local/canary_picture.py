"""Draws a deployment's traffic, alarms and error budget to a file, with data from CloudWatch."""

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from zama_ops.aws import client
from zama_ops.slo import ServiceLevels

_NAMESPACE: Final = "AWS/ApplicationELB"
_WINDOW_MINUTES: Final = 30 * 24 * 60
_COLOURS: Final = {"ALARM": "tab:red", "OK": "tab:green", "INSUFFICIENT_DATA": "lightgrey"}

Series = dict[float, float]
"""Minutes of AWS since the beginning to values of one minute."""


class Drawing:
    """What CloudWatch knows of a deployment since a moment.

    Arguments:
        balancer: the ARN of the load balancer.
        since: when the picture begins.
        speed: the minutes of AWS in a minute.

    """

    def __init__(self, balancer: str, since: datetime, speed: float) -> None:
        self._since, self._speed = since, speed
        self._until = datetime.now(UTC)
        self._balancer = {"LoadBalancer": balancer.partition("loadbalancer/")[2]}
        with client("elbv2") as elbv2:
            groups = elbv2.describe_target_groups(LoadBalancerArn=balancer)["TargetGroups"]
        self._groups = {one["TargetGroupName"]: one["TargetGroupArn"] for one in groups}

    def draw(self, title: str, alarms: str, path: Path) -> None:
        """Draw to a PNG, with the alarms whose names begin like this."""
        figure = Figure(figsize=(10, 7), layout="constrained")
        figure.suptitle(title)
        traffic, states, budget = figure.subplots(3, 1, sharex=True, height_ratios=(3, 1.5, 2))
        self._draw_traffic(traffic)
        self._draw_states(states, alarms)
        self._draw_budget(budget)
        budget.set_xlabel("minutes")
        budget.set_xlim(0, self._minutes(self._until))
        figure.savefig(path, dpi=100)

    def _draw_traffic(self, axes: Axes) -> None:
        series = {
            name: self._per_minute("RequestCount", TargetGroup=arn.rpartition(":")[2])
            for name, arn in sorted(self._groups.items())
        }
        moments = sorted({moment for values in series.values() for moment in values})
        shares = [[values.get(moment, 0.0) for moment in moments] for values in series.values()]
        # The groups have the names of colours, after the prefix.
        colours = [name.rpartition("-")[2] for name in series]
        axes.stackplot(moments, *shares, labels=[*series], colors=colours, step="mid", alpha=0.4)
        failed = self._per_minute("HTTPCode_Target_5XX_Count")
        axes.step([*failed], [*failed.values()], "r", where="mid", label="5xx")
        axes.set_title("Requests a minute, by target group", loc="left", fontsize=10)
        axes.legend(fontsize=8, ncols=3, loc="lower right", bbox_to_anchor=(1, 1))

    def _draw_states(self, axes: Axes, prefix: str) -> None:
        changes: dict[str, list[tuple[float, str]]] = {}
        with client("cloudwatch") as cloudwatch:
            pages = cloudwatch.get_paginator("describe_alarm_history").paginate(
                HistoryItemType="StateUpdate", AlarmTypes=["MetricAlarm", "CompositeAlarm"],
                StartDate=self._since, EndDate=self._until, ScanBy="TimestampAscending",
            )  # fmt: skip
            for one in (item for page in pages for item in page["AlarmHistoryItems"]):
                state = json.loads(one["HistoryData"])["newState"]["stateValue"]
                name = one["AlarmName"].removeprefix(prefix)
                changes.setdefault(name, [(0.0, "OK")]).append(
                    (self._minutes(one["Timestamp"]), state)
                )
        raised = {
            name: states
            for name, states in sorted(changes.items())
            if "ALARM" in {state for _, state in states}
        }
        for row, (name, states) in enumerate(raised.items()):
            ends = [*(moment for moment, _ in states[1:]), self._minutes(self._until)]
            for (moment, state), end in zip(states, ends, strict=True):
                axes.barh(row, end - moment, left=moment, color=_COLOURS[state])
            axes.text(0.1, row, name, va="center", fontsize=8)
        axes.set_yticks([])
        axes.set_title("Alarms (red: ALARM)", loc="left", fontsize=10)

    def _draw_budget(self, axes: Axes) -> None:
        """Draw the rest of the availability budget, if the traffic stays as it is."""
        (objective,) = (
            one for one in ServiceLevels.load().objectives if one.name == "availability"
        )
        every = self._per_minute("RequestCount")
        failed = [
            self._per_minute(name)
            for name in ("HTTPCode_Target_5XX_Count", "HTTPCode_ELB_5XX_Count")
        ]
        allowed = objective.budget * _WINDOW_MINUTES * sum(every.values()) / len(every)
        bad = (sum(series.get(moment, 0.0) for series in failed) for moment in every)
        left = [100 * (1 - spent / allowed) for spent in itertools.accumulate(bad)]
        axes.step([*every], left, where="mid")
        axes.ticklabel_format(useOffset=False)
        axes.set_title(
            "Availability budget left of 30 days with this traffic, %", loc="left", fontsize=10
        )

    def _per_minute(self, metric: str, **dimensions: str) -> Series:
        given = {**self._balancer, **dimensions}
        stat: dict[str, Any] = {
            "Metric": {
                "Namespace": _NAMESPACE,
                "MetricName": metric,
                "Dimensions": [{"Name": name, "Value": value} for name, value in given.items()],
            },
            # With a fast clock, a minute of AWS lasts seconds.
            "Period": 1 if self._speed > 1 else 60,
            "Stat": "Sum",
        }
        with client("cloudwatch") as cloudwatch:
            (result,) = cloudwatch.get_metric_data(
                MetricDataQueries=[{"Id": "asked", "MetricStat": stat}],
                StartTime=self._since, EndTime=self._until, ScanBy="TimestampAscending",
            )["MetricDataResults"]  # fmt: skip
        return {
            self._minutes(moment): value
            for moment, value in zip(result["Timestamps"], result["Values"], strict=True)
        }

    def _minutes(self, moment: datetime) -> float:
        return (moment - self._since).total_seconds() * self._speed / 60
