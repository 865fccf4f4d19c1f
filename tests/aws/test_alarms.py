"""CloudWatch alarms fire and clear, and every metric that is shown or watched exists."""

import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from cloudwatch import EMITTED, CloudWatch, Metric, of_alarm, short_name
from deployment import Deployment
from stack import Report
from zama_ops.programs import wait_until

_POLL_SECONDS: Final = 1


@pytest.fixture
def cloudwatch(deployment: Deployment) -> CloudWatch:
    return CloudWatch(deployment)


def of_widget(widget: dict[str, Any]) -> Iterator[Metric]:
    for metric in widget["properties"].get("metrics", []):
        words = [word for word in metric if isinstance(word, str)]
        if words:
            namespace, name, *pairs = words
            yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_watched_metrics_exist(cloudwatch: CloudWatch) -> None:
    """AWS publishes each metric of each alarm and widget, with dimensions that exist here."""
    known = [cloudwatch.balancer, *cloudwatch.groups, cloudwatch.service, cloudwatch.log]
    known += [
        *cloudwatch.certificates,
        cloudwatch.firewall,
        cloudwatch.check,
        cloudwatch.heartbeat,
        {},
    ]
    metrics = [
        *(metric for alarm in cloudwatch.alarms() for metric in of_alarm(alarm)),
        *(metric for widget in cloudwatch.widgets() for metric in of_widget(widget)),
    ]
    assert len(metrics) > 40
    for namespace, name, dimensions in metrics:
        assert set(dimensions) in EMITTED[namespace, name], (name, dimensions)
        assert dimensions in known, (name, dimensions)


def test_expressions_use_defined_metrics(cloudwatch: CloudWatch) -> None:
    """An expression uses only metrics of the same widget or alarm."""
    for widget in cloudwatch.widgets():
        options = [
            part
            for metric in widget["properties"].get("metrics", [])
            for part in metric
            if isinstance(part, dict)
        ]
        _check_expressions([(one.get("id", ""), one.get("expression", "")) for one in options])
    for alarm in cloudwatch.alarms():
        queries = alarm.get("Metrics", [])
        _check_expressions([(one["Id"], one.get("Expression", "")) for one in queries])


def _check_expressions(queries: list[tuple[str, str]]) -> None:
    known = {identity for identity, _ in queries}
    for _, expression in queries:
        assert set(re.findall(r"\b[a-z_]+\b", expression)) <= known, expression


def test_the_dashboard_shows_the_alarms_and_the_log(cloudwatch: CloudWatch) -> None:
    """It shows each alarm of its region that notifies, and queries this deployment's log group."""
    widgets = cloudwatch.widgets()
    (shown,) = (one["properties"]["alarms"] for one in widgets if one["type"] == "alarm")
    telling = {one["AlarmArn"] for one in cloudwatch.alarms() if one["AlarmActions"]}
    assert set(shown) == {arn for arn in telling if ":eu-west-1:" in arn}
    queries = [one["properties"]["query"] for one in widgets if one["type"] == "log"]
    assert queries
    groups = {query.partition(" | ")[0] for query in queries}
    insights = "SOURCE '/aws/ecs/containerinsights/zama-challenge/performance'"
    assert groups - {insights} == {f"SOURCE '{cloudwatch.log_group}'"}


def test_every_alarm_fires_and_clears(cloudwatch: CloudWatch, report: Report) -> None:
    """None fires in a healthy service; each fires on bad data and clears when it ends."""
    every = {short_name(one) for one in cloudwatch.alarms()}
    fired: set[str] = set()

    def fired_all(wanted: set[str]) -> bool:
        cloudwatch.fail(busy="LogsMissing" in fired)
        fired.update(cloudwatch.in_alarm())
        time.sleep(_POLL_SECONDS)
        return wanted <= fired

    with cloudwatch.fast():
        # Of other tests.
        cloudwatch.heal(1e6)
        wait_until(lambda: not cloudwatch.in_alarm(), "no alarm fires", seconds=240)
        with cloudwatch.no_targets(), cloudwatch.no_log(), cloudwatch.no_heartbeat():
            # Without the probe's requests, the load balancer is silent.
            cloudwatch.probe(disabled=True)
            silent = every - {"LoadBalancerErrors", "ProbeFailing"}
            wait_until(lambda: fired_all(silent), "the other alarms fire", seconds=240)
            cloudwatch.probe(disabled=False)
            wait_until(lambda: fired_all(every), "every alarm fires", seconds=120)
        cloudwatch.heal(1e12)
        cloudwatch.renew()
        wait_until(lambda: not cloudwatch.in_alarm(), "every alarm clears", seconds=240)
    report(f"alarms that moved to ALARM and back: {len(every)} of {len(every)}")


def test_an_outage_suppresses_the_pages_of_the_budgets(cloudwatch: CloudWatch) -> None:
    """CloudWatch keeps back their notifications while NoHealthyTask is in ALARM."""
    composites = [one for one in cloudwatch.alarms() if "AlarmRule" in one]
    assert composites
    for one in composites:
        assert one["ActionsSuppressor"] == "zama-challenge-NoHealthyTask"


def _is_ours(message: dict[str, Any]) -> bool:
    return bool(message["AlarmName"] == "zama-challenge-ServerErrors")


def test_a_notification_names_the_runbook(minimal: Deployment) -> None:
    """A subscriber gets a message when an alarm fires and clears, with the runbook's URL."""
    cloudwatch = CloudWatch(minimal)
    wait_until(lambda: "ServerErrors" not in cloudwatch.in_alarm(), "the alarm is clear", 90)
    account = minimal.account
    sqs, sns = account.client("sqs"), account.client("sns")
    queue = sqs.create_queue(QueueName="on-call")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    topic = minimal.outputs["alarm_topic_arns"]["ticket"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    cloudwatch.put("HTTPCode_Target_5XX_Count", [1e9], dimensions=cloudwatch.groups[0])

    told: list[dict[str, Any]] = []

    def notified() -> bool:
        messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10)
        told.extend(
            json.loads(json.loads(one["Body"])["Message"]) for one in messages.get("Messages", [])
        )
        return {"ALARM", "OK"} <= {one["NewStateValue"] for one in told if _is_ours(one)}

    wait_until(notified, "the alarm fires and clears", seconds=90)
    alarm = next(one for one in told if _is_ours(one))
    assert alarm["NewStateValue"] == "ALARM"
    assert alarm["AlarmDescription"].endswith("/docs/runbooks/ServerErrors.md")
