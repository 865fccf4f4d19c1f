"""CloudWatch's alarms stay silent in healthy traffic, and no page is about a scan.

The deployment's own alarms are evaluated in this process on fed metrics, because an hour would take
minutes with the fastest clock.
"""

from collections.abc import Mapping
from typing import Any, Final

import pytest
from empty_account import empty_account
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from cloudwatch import CloudWatch, of_alarm
from deployment import Deployment
from zama_emulator import ACCOUNT, REGION, alarms
from zama_emulator.clock import Clock, Minutes
from zama_emulator.metrics import Metric, store
from zama_ops.slo import ServiceLevels

_HOUR: Final = 60
_NIGHT: Final = 8 * _HOUR
# Half of each objective's budget.
_BAD: Final = {one.name: 0.5 * one.budget for one in ServiceLevels.load().objectives}

Values = Mapping[float, int]
"""Values with their counts in a minute."""


class Traffic:
    """Callers' requests and a scan's, as counts in each minute."""

    def __init__(self, requests: int, scans: int = 0) -> None:
        self._requests, self._scans = requests, scans

    def minute(self, number: int, tasks: int) -> dict[str, Values]:
        """Return the values of AWS's metrics in a minute, by name."""

        def whole(share: float) -> int:
            """Return the minute's part of a count that grows by a share of the requests."""
            each = share * self._requests
            return int(each * (number + 1)) - int(each * number)

        requests, scans = self._requests, self._scans
        failed, slow = whole(_BAD["availability"]), whole(_BAD["latency"])
        return {
            "RequestCount": {1.0: requests + scans},
            "HTTPCode_Target_5XX_Count": {1.0: failed, 0.0: requests + scans - failed},
            "TargetResponseTime": {0.02: requests + scans - slow, 0.2: slow},
            "HealthyHostCount": {float(tasks): 6},
            "UnHealthyHostCount": {0.0: 6},
            "CPUUtilization": {40.0: tasks},
            "MemoryUtilization": {50.0: tasks},
            "NewConnectionCount": {1.0: requests // 10 + scans},
            # A scanner tries protocols that the load balancer does not speak.
            "ClientTLSNegotiationErrorCount": {1.0: scans // 4},
            "IncomingLogEvents": {1.0: 2 * requests + scans},
            "AcceptedKeys": {1.0: requests},
            # One in a thousand guesses a key.
            "RefusedKeys": {1.0: scans // 1000},
            "AllowedRequests": {1.0: requests + scans},
            # Beyond the firewall's limit.
            "BlockedRequests": {1.0: scans},
            "HealthCheckStatus": {1.0: 6},
            "DaysToExpiry": {200.0: 1},
            "NumberOfMessagesPublished": {1.0: 1},
        }


class Faults(Traffic):
    """The same, with errors, slow answers and refused keys."""

    def minute(self, number: int, tasks: int) -> dict[str, Values]:
        """Return the values of AWS's metrics in a minute, by name."""
        bad: dict[str, Values] = {
            "HTTPCode_Target_5XX_Count": {1.0: 60},
            "TargetResponseTime": {0.2: 600},
            "RefusedKeys": {1.0: 900},
        }
        return super().minute(number, tasks) | bad


class Fed:
    """The deployment's alarms, on metrics that are fed."""

    def __init__(self, deployment: Deployment) -> None:
        real = CloudWatch(deployment)
        # The minimum, because autoscaling may still run more after other tests.
        (missing,) = (one for one in real.alarms() if one["AlarmName"].endswith("TasksMissing"))
        self._tasks = int(missing["Threshold"])
        self._idle = real.groups[1:]
        self._began = 0.0
        self._alarms = real.alarms()
        self._watched = [one for alarm in self._alarms for one in of_alarm(alarm)]
        # The tests before left alarms and metrics.
        cloudwatch.reset()
        for alarm in self._alarms:
            kind = "CompositeAlarm" if "AlarmRule" in alarm else "MetricAlarm"
            empty_account().call("cloudwatch", f"Put{kind}", _request(kind, alarm))

    def fired(self, traffic: Traffic, minutes: int, every: int = 1) -> set[tuple[str, str]]:
        """Feed so many minutes, and return what fired: severity and name.

        Evaluate the alarms after each `every` minutes, but not before the first fifteen, which are
        the longest window of the alarms that fire without data.
        """
        fired = set()
        # After all windows of the time before.
        self._began += 10 * 86400
        ends = Minutes(Clock())
        with request_scope(ACCOUNT, REGION):
            for number in range(minutes):
                now = self._began + 60 * (number + 1)
                store(self._values(traffic.minute(number, self._tasks)), now - 30)
                ends.end(now)
                if number >= 15 and number % every == 0:
                    alarms.evaluate(ends)
                    fired |= {
                        (one["AlarmActions"][0].rpartition("-")[2], one["AlarmName"])
                        for one in self._alarms
                        if one["AlarmActions"] and alarms.in_alarm([one["AlarmName"]])
                    }
        return {(severity, name.removeprefix("zama-challenge-")) for severity, name in fired}

    def _values(self, minute: Mapping[str, Values]) -> dict[Metric, dict[float, int]]:
        """Return the values by metric; AWS publishes nothing about an idle target group."""
        return {
            Metric(space, name, tuple(sorted(dimensions.items()))): {
                value: count for value, count in minute[name].items() if count
            }
            for space, name, dimensions in self._watched
            if name in minute and dimensions not in self._idle
        }


def _request(kind: str, alarm: dict[str, Any]) -> dict[str, Any]:
    """Return the request that creates a described alarm, without its notifications."""
    model = empty_account().client("cloudwatch").meta.service_model
    known = set(model.operation_model(f"Put{kind}").input_shape.members)
    # The emulator also describes these members of an alarm with several metrics or a percentile.
    if alarm.get("Metrics"):
        known -= {"MetricName", "Namespace", "Dimensions", "Period", "Statistic"}
    if alarm.get("ExtendedStatistic"):
        known -= {"Statistic"}
    return {
        name: value
        for name, value in alarm.items()
        if name in known and not name.endswith("Actions") and value not in ("", None, [])
    }


@pytest.fixture
def fed(deployment: Deployment) -> Fed:
    return Fed(deployment)


def test_a_healthy_hour_is_silent(fed: Fed) -> None:
    """At half of each budget's rate, no alarm fires at 1, 10 or 1,000 requests a second."""
    for per_second in (1, 10, 1000):
        assert fed.fired(Traffic(60 * per_second), _HOUR) == set(), per_second


def test_a_night_of_scans_without_a_key_is_no_page(fed: Fed) -> None:
    """A hundred scans for each request are at most a ticket about the firewall."""
    fired = fed.fired(Traffic(60, scans=6000), _NIGHT, every=30)
    assert fired <= {("ticket", "FirewallBlocks")}


def test_faults_in_the_same_traffic_page(fed: Fed) -> None:
    """Otherwise the silence would mean nothing."""
    fired = fed.fired(Faults(600), _HOUR, every=5)
    pages = {name for severity, name in fired if severity == "page"}
    assert pages == {"AvailabilityBudgetBurn-1h", "AvailabilityBudgetBurn-6h", "KeysRefused",
                     "LatencyBudgetBurn-1h", "LatencyBudgetBurn-6h"}  # fmt: skip
