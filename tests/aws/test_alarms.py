"""CloudWatch alarms fire and clear, and every metric that is shown or watched exists."""

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
    ("AWS/WAFV2", "BlockedRequests"): ({"WebACL", "Rule", "Region"},),
    ("AWS/WAFV2", "AllowedRequests"): ({"WebACL", "Rule", "Region"},),
    # From the log (terraform/cloudwatch.tf).
    ("zama-challenge", "RefusedKeys"): (set(),),
    ("zama-challenge", "AcceptedKeys"): (set(),),
    ("zama-challenge", "GivenUp"): (set(),),
}
FIVE_MINUTES: Final = (50, 110, 170, 230, 290)
FIFTEEN_MINUTES: Final = tuple(range(50, 900, 60))
THREE_DAYS: Final = (50, 86450, 172850)

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

    def alarms(self) -> list[dict[str, Any]]:
        kinds = ["MetricAlarm", "CompositeAlarm"]
        answer = self.client.describe_alarms(AlarmTypes=kinds, MaxRecords=100)
        return [*answer["MetricAlarms"], *answer["CompositeAlarms"]]

    def in_alarm(self) -> set[str]:
        """Return the names of alarms in ALARM, without the deployment's prefix."""
        return {_short(one) for one in self.alarms() if one["StateValue"] == "ALARM"}

    def put(
        self,
        metric: str,
        values: list[float],
        *,
        ago: tuple[int, ...] = (5,),
        dimensions: dict[str, str] | None = None,
    ) -> None:
        """Publish the values once for each number of seconds in `ago`."""
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
                    "Timestamp": time.time() - seconds,
                    "Values": values,
                }
                for seconds in ago
            ],
        )

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
    known += [*cloudwatch.certificates, cloudwatch.firewall, {}]
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
    """It shows every alarm that notifies, and queries this deployment's log group."""
    widgets = cloudwatch.widgets()
    (shown,) = (one["properties"]["alarms"] for one in widgets if one["type"] == "alarm")
    telling = {one["AlarmArn"] for one in cloudwatch.alarms() if one["AlarmActions"]}
    assert set(shown) == telling
    queries = [one["properties"]["query"] for one in widgets if one["type"] == "log"]
    assert queries
    assert all(query.startswith(f"SOURCE '{cloudwatch.log_group}' | ") for query in queries)


def test_every_alarm_fires_and_clears(cloudwatch: CloudWatch, report: Report) -> None:
    """Each alarm fires on bad data and clears when the data is good again."""
    every = {_short(one) for one in cloudwatch.alarms()}

    # Without data only the alarms on missing data fire.
    assert cloudwatch.in_alarm() == {"NoHealthyTask", "NoRequests", "LogsMissing"}

    # Data that leaves its window within ten seconds, because some alarms clear only with time.
    for group in cloudwatch.groups:
        cloudwatch.put("HealthyHostCount", [0.0], ago=FIFTEEN_MINUTES, dimensions=group)
        cloudwatch.put("UnHealthyHostCount", [1.0], ago=FIVE_MINUTES, dimensions=group)
        cloudwatch.put("HTTPCode_Target_5XX_Count", [5.0], ago=(50,), dimensions=group)
    # One minute with requests is still silence.
    cloudwatch.put("RequestCount", [5.0], ago=THREE_DAYS)
    cloudwatch.put("HTTPCode_Target_5XX_Count", [5.0], ago=THREE_DAYS)
    cloudwatch.put("TargetResponseTime", [0.2] * 5, ago=(*FIVE_MINUTES, *THREE_DAYS[1:]))
    cloudwatch.put("RejectedConnectionCount", [1.0], ago=FIVE_MINUTES)
    cpu = [90.0] * 30
    cloudwatch.put("CPUUtilization", cpu, ago=FIFTEEN_MINUTES, dimensions=cloudwatch.service)
    cloudwatch.put("MemoryUtilization", [90.0], ago=FIVE_MINUTES, dimensions=cloudwatch.service)
    cloudwatch.put("RefusedKeys", [20.0], ago=(50, 350), dimensions={})
    cloudwatch.put("ClientTLSNegotiationErrorCount", [20.0], ago=(50, 350))
    cloudwatch.put("BlockedRequests", [100.0], ago=(50, 350), dimensions=cloudwatch.firewall)
    for certificate in cloudwatch.certificates:
        cloudwatch.put("DaysToExpiry", [10.0], dimensions=certificate)
    assert cloudwatch.in_alarm() == every - {"LoadBalancerErrors"}

    # The load balancer's own errors count as requests, so that an outage is no silence.
    cloudwatch.put("HTTPCode_ELB_5XX_Count", [5.0], ago=(50, 110))
    assert cloudwatch.in_alarm() == every - {"NoRequests"}

    # Make the failures and the slow requests a small share of the total.
    cloudwatch.put("RequestCount", [1_000_000.0])
    for group in cloudwatch.groups:
        cloudwatch.put("RequestCount", [1_000_000.0], dimensions=group)
    # Of two target groups, only one has tasks.
    cloudwatch.put("HealthyHostCount", [3.0], ago=(5, 65), dimensions=cloudwatch.groups[0])
    cloudwatch.put("IncomingLogEvents", [5.0], dimensions=cloudwatch.log)
    cloudwatch.put("AcceptedKeys", [1000.0], dimensions={})
    cloudwatch.put("NewConnectionCount", [1000.0])
    cloudwatch.put("AllowedRequests", [10_000.0], dimensions=cloudwatch.firewall)
    for certificate in cloudwatch.certificates:
        cloudwatch.put("DaysToExpiry", [300.0], dimensions=certificate)
    for _ in range(10):
        cloudwatch.put("TargetResponseTime", [0.001] * 100)
    wait_until(lambda: not cloudwatch.in_alarm(), "every alarm clears", seconds=90)
    report(f"alarms that moved to ALARM and back: {len(every)} of {len(every)}")


def test_an_outage_suppresses_the_pages_of_the_budgets(cloudwatch: CloudWatch) -> None:
    """CloudWatch keeps back their notifications while NoHealthyTask is in ALARM."""
    composites = [one for one in cloudwatch.alarms() if "AlarmRule" in one]
    assert composites
    for one in composites:
        assert one["ActionsSuppressor"] == "zama-challenge-NoHealthyTask"


def test_a_notification_names_the_runbook(minimal: Deployment) -> None:
    """The message to a subscriber contains the runbook's URL."""
    account = minimal.account
    sqs, sns = account.client("sqs"), account.client("sns")
    queue = sqs.create_queue(QueueName="on-call")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=queue, AttributeNames=["QueueArn"])["Attributes"]
    topic = minimal.outputs["alarm_topic_arns"]["ticket"]
    sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn["QueueArn"])

    cloudwatch = CloudWatch(minimal)
    wait_until(lambda: "ServerErrors" not in cloudwatch.in_alarm(), "the alarm is clear", 90)
    cloudwatch.put("HTTPCode_Target_5XX_Count", [1e9], dimensions=cloudwatch.groups[0])
    assert "ServerErrors" in cloudwatch.in_alarm()

    messages = sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=5, MaxNumberOfMessages=10)
    told = [json.loads(json.loads(one["Body"])["Message"]) for one in messages["Messages"]]
    (alarm,) = (one for one in told if one["AlarmName"] == "zama-challenge-ServerErrors")
    assert alarm["NewStateValue"] == "ALARM"
    assert alarm["AlarmDescription"].endswith("/docs/runbooks/ServerErrors.md")
