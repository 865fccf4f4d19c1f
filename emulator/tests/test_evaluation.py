"""Alarms change their state at the end of a minute, and tell their topic."""

import json
import re
import time
from typing import Any

import pytest
from empty_account import Account, empty_account
from ministack.core.responses import request_scope
from ministack.services import cloudwatch

from zama_emulator import ACCOUNT, REGION, alarms
from zama_emulator.clock import Clock, Minutes
from zama_emulator.metrics import Meter, store


class Watched:
    """A metric with an alarm, a composite alarm of it, and a queue that hears of both."""

    # Of a minute, in seconds.
    length = 60.0

    def __init__(self, account: Account, name: str, **changes: Any) -> None:
        self.account, self.name, self.now = account, name, time.time()
        self.minutes = Minutes(Clock())
        self.minutes.end(self.now)
        topic = account.call("sns", "CreateTopic", {"Name": name})["TopicArn"]
        self._queue = account.call("sqs", "CreateQueue", {"QueueName": name})["QueueUrl"]
        arn = f"arn:aws:sqs:{REGION}:{ACCOUNT}:{name}"
        account.call("sns", "Subscribe", {"TopicArn": topic, "Protocol": "sqs", "Endpoint": arn})
        stat = {
            "Metric": {"Namespace": "Test", "MetricName": name, "Dimensions": []},
            "Period": 60,
            "Stat": "Sum",
        }
        self.given = given = {
            "AlarmName": name, "EvaluationPeriods": 2, "DatapointsToAlarm": 2, "Threshold": 10.0,
            "ComparisonOperator": "GreaterThanThreshold", "TreatMissingData": "notBreaching",
            "AlarmActions": [topic], "OKActions": [topic],
            "Metrics": [
                {"Id": "twice", "Expression": "FILL(one, 0) * 2", "ReturnData": True},
                {"Id": "one", "MetricStat": stat, "ReturnData": False},
            ],
            **changes,
        }  # fmt: skip
        account.call("cloudwatch", "PutMetricAlarm", given)
        rule = {"AlarmName": f"{name}-parent", "AlarmRule": f'ALARM("{name}")'}
        account.call("cloudwatch", "PutCompositeAlarm", rule)

    def minute(self, *values: float) -> list[str]:
        """Let a minute with these values pass; return the states of the alarm and its parent."""
        meter = Meter()
        for value in values:
            meter.add("Test", {}, {self.name: value})
        self.now += self.length
        self.minutes.end(self.now)
        with request_scope(ACCOUNT, REGION):
            store(meter.take(), self.now - self.length / 2)
            alarms.evaluate(self.minutes)
        kinds = ["MetricAlarm", "CompositeAlarm"]
        given = {"AlarmNames": [self.name, f"{self.name}-parent"], "AlarmTypes": kinds}
        found = self.account.call("cloudwatch", "DescribeAlarms", given)
        return [one["StateValue"] for kind in kinds for one in found[f"{kind}s"]]

    def told(self) -> list[str]:
        """Return the states that the queue has heard of."""
        given = {"QueueUrl": self._queue, "MaxNumberOfMessages": 10}
        messages = self.account.call("sqs", "ReceiveMessage", given).get("Messages", [])
        return [json.loads(json.loads(one["Body"])["Message"])["NewStateValue"] for one in messages]


@pytest.fixture(scope="module")
def account() -> Account:
    return empty_account()


def test_an_alarm_fires_after_its_periods_and_clears(account: Account) -> None:
    """Metric math and composite alarms follow, and a subscriber hears of each change."""
    watched = Watched(account, "steps")
    assert watched.minute(1) == ["OK", "OK"]
    assert watched.minute(4, 4) == ["OK", "OK"]
    assert watched.minute(8) == ["ALARM", "ALARM"]
    assert watched.minute(8) == ["ALARM", "ALARM"]
    assert watched.minute() == ["OK", "OK"]
    assert watched.told().count("ALARM") == 1


def test_minutes_can_differ_in_length(account: Account) -> None:
    """The clock's speed changes, or the machine is busy: no period is skipped or counted twice."""
    watched = Watched(account, "lengths")
    assert watched.minute(8) == ["OK", "OK"]
    for watched.length in (1.0, 90.0, 7.0):
        assert watched.minute(8) == ["ALARM", "ALARM"]
    watched.length = 1.0
    assert watched.minute() == ["OK", "OK"]


@pytest.mark.parametrize(
    ("treatment", "state"),
    [("breaching", "ALARM"), ("notBreaching", "OK"), ("missing", "INSUFFICIENT_DATA"),
     ("ignore", "OK")],
)  # fmt: skip
def test_missing_data_is_treated_as_configured(
    account: Account, treatment: str, state: str
) -> None:
    """After minutes without data, the alarm's state depends on its treatment of missing data."""
    plain = {"Metrics": [], "MetricName": treatment, "Namespace": "Test", "Period": 60}
    watched = Watched(account, treatment, **plain, Statistic="Sum", TreatMissingData=treatment)
    assert watched.minute(1)[0] in {"OK", "INSUFFICIENT_DATA"}
    assert watched.minute(1)[0] == "OK"
    watched.minute()
    assert watched.minute()[0] == state


def test_metric_math_knows_the_maximum(account: Account) -> None:
    """Metrics without data do not count, and without any there is no value."""
    watched = Watched(
        account, "maximum", Metrics=[
            {"Id": "most", "Expression": "MAX([maximum, other])", "ReturnData": True},
            *(
                {"Id": name, "ReturnData": False, "MetricStat": {
                    "Metric": {"Namespace": "Test", "MetricName": name, "Dimensions": []},
                    "Period": 60, "Stat": "Sum",
                }}
                for name in ("maximum", "other")
            ),
        ],
        EvaluationPeriods=1, DatapointsToAlarm=1, TreatMissingData="breaching",
        ComparisonOperator="LessThanThreshold",
    )  # fmt: skip
    assert watched.minute(20)[0] == "OK"
    assert watched.minute(5)[0] == "ALARM"
    assert watched.minute(20)[0] == "OK"
    assert watched.minute()[0] == "ALARM"


def test_a_suppressed_composite_alarm_does_not_notify(account: Account) -> None:
    """It changes its state, but sends nothing while its suppressor is in ALARM."""
    outage, burn = Watched(account, "outage"), Watched(account, "burn")
    topic = account.call("sns", "CreateTopic", {"Name": "burn"})["TopicArn"]
    rule = {
        "AlarmName": "burn-parent", "AlarmRule": 'ALARM("burn")', "AlarmActions": [topic],
        "ActionsSuppressor": "outage", "ActionsSuppressorWaitPeriod": 1,
        "ActionsSuppressorExtensionPeriod": 1,
    }  # fmt: skip
    account.call("cloudwatch", "PutCompositeAlarm", rule)
    silent: dict[str, Any] = {"AlarmActions": [], "OKActions": []}
    account.call("cloudwatch", "PutMetricAlarm", {**burn.given, **silent})
    for _ in range(2):
        outage.minute(20)
    assert burn.minute(20)[1] == "OK"
    assert burn.minute(20)[1] == "ALARM"
    assert burn.told() == []
    for _ in range(2):
        outage.minute()
    for values in ((), (), (20,), (20,)):
        burn.minute(*values)
    assert burn.told() == ["ALARM"]


def test_an_alarm_that_is_put_again_keeps_its_state(account: Account) -> None:
    """Only the end of a minute changes it."""
    plain = {"Metrics": [], "MetricName": "again", "Namespace": "Test", "Period": 60}
    watched = Watched(account, "again", **plain, Statistic="SampleCount")
    assert watched.minute(1)[0] == "OK"
    given = {**watched.given, "Threshold": 0.0, "EvaluationPeriods": 1, "DatapointsToAlarm": 1}
    account.call("cloudwatch", "PutMetricAlarm", given)
    found = account.call("cloudwatch", "DescribeAlarms", {"AlarmNames": ["again"]})
    assert [one["StateValue"] for one in found["MetricAlarms"]] == ["OK"]
    assert watched.minute(1)[0] == "ALARM"


def test_a_query_for_alarms_has_filters_and_pages(account: Account) -> None:
    """The query protocol, which Terraform uses, knows the same parameters as the others."""
    for name in ("queried-1", "queried-2", "other"):
        Watched(account, name)

    def queried(**given: str) -> list[str]:
        params = {name: [value] for name, value in {"AlarmNamePrefix": "q", **given}.items()}
        with request_scope(ACCOUNT, REGION):
            _, _, answer = cloudwatch._describe_alarms(params, {}, is_cbor=False)
        return re.findall(r"<(?:AlarmName|NextToken)>([^<]+)<", answer.decode())

    assert queried() == ["queried-1", "queried-2"]
    assert queried(StateValue="ALARM") == []
    # The token is the first name of the next page.
    assert queried(MaxRecords="1") == ["queried-1", "queried-2"]
    assert queried(MaxRecords="1", NextToken="queried-2") == ["queried-2"]
