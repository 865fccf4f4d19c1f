"""CloudWatch alarms fire and clear, and every metric that is shown or watched exists."""

import contextlib
import functools
import json
import re
import time
from collections.abc import Iterator
from typing import Any, Final

import pytest

from deployment import Deployment
from stack import Report
from zama_ops.programs import wait_until

# Namespace and metric to the dimensions that AWS publishes it with.
# https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_utilization.html
_OF_LOAD_BALANCER: Final = ({"LoadBalancer"}, {"LoadBalancer", "TargetGroup"})
_OF_SERVICE: Final = ({"ClusterName"}, {"ClusterName", "ServiceName"})
EMITTED: Final[dict[tuple[str, str], tuple[set[str], ...]]] = {
    ("AWS/ApplicationELB", "RequestCount"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "TargetResponseTime"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "TargetConnectionErrorCount"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_Target_2XX_Count"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_Target_3XX_Count"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_Target_4XX_Count"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_Target_5XX_Count"): _OF_LOAD_BALANCER,
    ("AWS/ApplicationELB", "HTTPCode_ELB_5XX_Count"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "RejectedConnectionCount"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "ClientTLSNegotiationErrorCount"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "NewConnectionCount"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "HealthyHostCount"): ({"LoadBalancer", "TargetGroup"},),
    ("AWS/ApplicationELB", "UnHealthyHostCount"): ({"LoadBalancer", "TargetGroup"},),
    ("AWS/ECS", "CPUUtilization"): _OF_SERVICE,
    ("AWS/ECS", "MemoryUtilization"): _OF_SERVICE,
    ("AWS/Logs", "IncomingLogEvents"): ({"LogGroupName"},),
    ("AWS/CertificateManager", "DaysToExpiry"): ({"CertificateArn"},),
    ("AWS/Route53", "HealthCheckStatus"): ({"HealthCheckId"},),
    ("AWS/WAFV2", "BlockedRequests"): ({"WebACL", "Rule", "Region"},),
    ("AWS/WAFV2", "AllowedRequests"): ({"WebACL", "Rule", "Region"},),
    # From the log (terraform/cloudwatch.tf).
    ("zama-challenge", "RefusedKeys"): (set(),),
    ("zama-challenge", "AcceptedKeys"): (set(),),
    ("zama-challenge", "GivenUp"): (set(),),
}
# Minutes of AWS in a minute: long enough for several calls.
_SPEED: Final = 20
_POLL_SECONDS: Final = 1

Metric = tuple[str, str, dict[str, str]]
"""Namespace, name, dimensions."""


class CloudWatch:
    """The deployment's CloudWatch, and a way to publish test data."""

    def __init__(self, deployment: Deployment) -> None:
        account, outputs = deployment.account, deployment.outputs
        self.client = account.client("cloudwatch")
        elbv2 = account.client("elbv2")
        (balancer,) = elbv2.describe_load_balancers()["LoadBalancers"]
        self.balancer = {"LoadBalancer": balancer["LoadBalancerArn"].partition("loadbalancer/")[2]}
        self.groups = [
            {**self.balancer, "TargetGroup": group["TargetGroupArn"].rpartition(":")[2]}
            for group in elbv2.describe_target_groups()["TargetGroups"]
        ]
        self.service = {
            "ClusterName": outputs["cluster_name"],
            "ServiceName": outputs["service_name"],
        }
        self.log_group = outputs["log_group_name"]
        self.log = {"LogGroupName": self.log_group}
        self.firewall = {"WebACL": "zama-challenge", "Rule": "ALL", "Region": "eu-west-1"}
        acm = account.client("acm")
        self.certificates = [
            {"CertificateArn": one["CertificateArn"]}
            for one in acm.list_certificates()["CertificateSummaryList"]
        ]
        self.fast = functools.partial(deployment.fast, _SPEED)
        self._elbv2 = elbv2
        self._logs = account.client("logs")
        self._route53 = account.client("route53")
        (check,) = self._route53.list_health_checks()["HealthChecks"]
        self.check = {"HealthCheckId": check["Id"]}
        # Route 53 publishes only there.
        elsewhere = {**account.environ(), "AWS_REGION": "us-east-1"}
        self._clients = [self.client, account.client("cloudwatch", elsewhere)]

    def alarms(self) -> list[dict[str, Any]]:
        """Return the alarms of both regions."""
        kinds = ["MetricAlarm", "CompositeAlarm"]
        answers = [one.describe_alarms(AlarmTypes=kinds, MaxRecords=100) for one in self._clients]
        return [alarm for one in answers for kind in kinds for alarm in one[f"{kind}s"]]

    def in_alarm(self) -> set[str]:
        """Return the names of alarms in ALARM, without the deployment's prefix."""
        return {_short(one) for one in self.alarms() if one["StateValue"] == "ALARM"}

    def put(
        self,
        metric: str,
        values: list[float],
        *,
        count: float = 1.0,
        days: int = 1,
        dimensions: dict[str, str] | None = None,
    ) -> None:
        """Publish the values, each `count` times, now and in the days before."""
        own = self.balancer if dimensions is None else dimensions
        (namespace,) = (
            space
            for (space, name), kinds in EMITTED.items()
            if name == metric and set(own) in kinds
        )
        self.client.put_metric_data(
            Namespace=namespace,
            MetricData=[
                {
                    "MetricName": metric,
                    "Dimensions": [{"Name": name, "Value": value} for name, value in own.items()],
                    "Timestamp": time.time() - 86400 / _SPEED * number,
                    "Values": values,
                    "Counts": [count] * len(values),
                }
                for number in range(days)
            ],
        )

    def fail(self) -> None:
        """Publish data with every fault that is not caused otherwise."""
        for group in self.groups:
            self.put("HTTPCode_Target_5XX_Count", [1.0], count=1e6, dimensions=group)
            self.put("HealthyHostCount", [0.0], dimensions=group)
            self.put("UnHealthyHostCount", [1.0], dimensions=group)
        self.put("HTTPCode_Target_5XX_Count", [1.0], count=1e6, days=3)
        self.put("TargetResponseTime", [0.2], count=1e6, days=3)
        for metric in ("CPUUtilization", "MemoryUtilization"):
            self.put(metric, [90.0], count=1e6, dimensions=self.service)
        self.put("RejectedConnectionCount", [1.0])
        self.put("ClientTLSNegotiationErrorCount", [1.0], count=1e6)
        self.put("RefusedKeys", [1.0], count=1e6, dimensions={})
        self.put("BlockedRequests", [1.0], count=1e6, dimensions=self.firewall)
        for certificate in self.certificates:
            self.put("DaysToExpiry", [10.0], dimensions=certificate)

    def heal(self) -> None:
        """Make all failures a small share of the total."""
        for metric in ("RequestCount", "NewConnectionCount"):
            self.put(metric, [1.0], count=1e12)
        for group in self.groups:
            self.put("RequestCount", [1.0], count=1e12, dimensions=group)
        self.put("TargetResponseTime", [0.001], count=1e12)
        self.put("AcceptedKeys", [1.0], count=1e12, dimensions={})
        self.put("AllowedRequests", [1.0], count=1e12, dimensions=self.firewall)
        for certificate in self.certificates:
            self.put("DaysToExpiry", [300.0], dimensions=certificate)

    @contextlib.contextmanager
    def no_targets(self) -> Iterator[None]:
        """Deregister the tasks from the load balancer during the block."""
        taken = {}
        for group in self._elbv2.describe_target_groups()["TargetGroups"]:
            arn = group["TargetGroupArn"]
            found = self._elbv2.describe_target_health(TargetGroupArn=arn)
            if targets := [one["Target"] for one in found["TargetHealthDescriptions"]]:
                taken[arn] = targets
        for arn, targets in taken.items():
            self._elbv2.deregister_targets(TargetGroupArn=arn, Targets=targets)
        try:
            yield
        finally:
            for arn, targets in taken.items():
                self._elbv2.register_targets(TargetGroupArn=arn, Targets=targets)

    @contextlib.contextmanager
    def no_log(self) -> Iterator[None]:
        """Delete the log streams, so that lines are lost, and create them again after the block."""
        group = {"logGroupName": self.log_group}
        pages = self._logs.get_paginator("describe_log_streams").paginate(**group)
        streams = [one["logStreamName"] for page in pages for one in page["logStreams"]]
        for one in streams:
            self._logs.delete_log_stream(**group, logStreamName=one)
        try:
            yield
        finally:
            for one in streams:
                self._logs.create_log_stream(**group, logStreamName=one)

    def probe(self, *, disabled: bool) -> None:
        """Stop Route 53's requests, or let them continue."""
        self._route53.update_health_check(**self.check, Disabled=disabled)

    def widgets(self) -> Any:
        (entry,) = self.client.list_dashboards()["DashboardEntries"]
        body = self.client.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
        return json.loads(body)["widgets"]


@pytest.fixture
def cloudwatch(deployment: Deployment) -> CloudWatch:
    return CloudWatch(deployment)


def _short(alarm: dict[str, Any]) -> str:
    name: str = alarm["AlarmName"]
    return name.removeprefix("zama-challenge-")


def of_alarm(alarm: dict[str, Any]) -> Iterator[Metric]:
    if alarm.get("MetricName"):
        yield alarm["Namespace"], alarm["MetricName"], _named(alarm["Dimensions"])
    for query in alarm.get("Metrics", []):
        if "MetricStat" in query:
            metric = query["MetricStat"]["Metric"]
            yield metric["Namespace"], metric["MetricName"], _named(metric.get("Dimensions", []))


def _named(dimensions: list[dict[str, str]]) -> dict[str, str]:
    return {one["Name"]: one["Value"] for one in dimensions}


def of_widget(widget: dict[str, Any]) -> Iterator[Metric]:
    for metric in widget["properties"].get("metrics", []):
        words = [word for word in metric if isinstance(word, str)]
        if words:
            namespace, name, *pairs = words
            yield namespace, name, dict(zip(pairs[::2], pairs[1::2], strict=True))


def test_watched_metrics_exist(cloudwatch: CloudWatch) -> None:
    """AWS publishes each metric of each alarm and widget, with dimensions that exist here."""
    known = [cloudwatch.balancer, *cloudwatch.groups, cloudwatch.service, cloudwatch.log]
    known += [*cloudwatch.certificates, cloudwatch.firewall, cloudwatch.check, {}]
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
    assert all(query.startswith(f"SOURCE '{cloudwatch.log_group}' | ") for query in queries)


def test_every_alarm_fires_and_clears(cloudwatch: CloudWatch, report: Report) -> None:
    """None fires in a healthy service; each fires on bad data and clears when it ends."""
    every = {_short(one) for one in cloudwatch.alarms()}
    fired: set[str] = set()

    def fired_all(wanted: set[str]) -> bool:
        cloudwatch.fail()
        fired.update(cloudwatch.in_alarm())
        time.sleep(_POLL_SECONDS)
        return wanted <= fired

    with cloudwatch.fast():
        wait_until(lambda: not cloudwatch.in_alarm(), "no alarm fires", seconds=90)
        with cloudwatch.no_targets(), cloudwatch.no_log():
            # Without the probe's requests, the load balancer is silent.
            cloudwatch.probe(disabled=True)
            silent = every - {"LoadBalancerErrors", "ProbeFailing"}
            wait_until(lambda: fired_all(silent), "the other alarms fire", seconds=240)
            cloudwatch.probe(disabled=False)
            wait_until(lambda: fired_all(every), "every alarm fires", seconds=120)
        cloudwatch.heal()
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
    account = minimal.account
    sqs, sns = account.client("sqs"), account.client("sns")
    queue = sqs.create_queue(QueueName="on-call")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    topic = minimal.outputs["alarm_topic_arns"]["ticket"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    cloudwatch = CloudWatch(minimal)
    wait_until(lambda: "ServerErrors" not in cloudwatch.in_alarm(), "the alarm is clear", 90)
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
