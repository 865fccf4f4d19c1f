"""The CloudWatch of a deployment, and data for it."""

import contextlib
import functools
import json
import time
from collections.abc import Iterator
from typing import Any, Final

from deployment import Deployment

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
    ("AWS/ApplicationELB", "ActiveConnectionCount"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "NewConnectionCount"): ({"LoadBalancer"},),
    ("AWS/ApplicationELB", "HealthyHostCount"): ({"LoadBalancer", "TargetGroup"},),
    ("AWS/ApplicationELB", "UnHealthyHostCount"): ({"LoadBalancer", "TargetGroup"},),
    ("AWS/ECS", "CPUUtilization"): _OF_SERVICE,
    ("AWS/ECS", "MemoryUtilization"): _OF_SERVICE,
    ("AWS/Logs", "IncomingLogEvents"): ({"LogGroupName"},),
    ("AWS/SNS", "NumberOfMessagesPublished"): ({"TopicName"},),
    ("AWS/CertificateManager", "DaysToExpiry"): ({"CertificateArn"},),
    ("AWS/Route53", "HealthCheckStatus"): ({"HealthCheckId"},),
    ("AWS/WAFV2", "BlockedRequests"): ({"WebACL", "Rule", "Region"},),
    ("AWS/WAFV2", "AllowedRequests"): ({"WebACL", "Rule", "Region"},),
    # From the log (terraform/cloudwatch.tf).
    ("zama-challenge", "RefusedKeys"): (set(),),
    ("zama-challenge", "AcceptedKeys"): (set(),),
    ("zama-challenge", "GivenUp"): (set(),),
}
# Minutes of AWS in a minute. A busy machine must publish the metrics of all tasks in each of them;
# otherwise a minute without data would be an outage.
_SPEED: Final = 20

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
        self.heartbeat = {"TopicName": "zama-challenge-alarms-heartbeat"}
        self.firewall = {"WebACL": "zama-challenge", "Rule": "ALL", "Region": "eu-west-1"}
        acm = account.client("acm")
        self.certificates = [
            {"CertificateArn": one["CertificateArn"]}
            for one in acm.list_certificates()["CertificateSummaryList"]
        ]
        self.fast = functools.partial(deployment.fast, _SPEED)
        self._elbv2 = elbv2
        self._logs = account.client("logs")
        self._prometheus = account.client("amp")
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
        return {short_name(one) for one in self.alarms() if one["StateValue"] == "ALARM"}

    def put(
        self,
        metric: str,
        values: list[float],
        *,
        count: float = 1.0,
        days: int = 0,
        minutes: int = 1,
        dimensions: dict[str, str] | None = None,
    ) -> None:
        """Publish the values, each `count` times, now and in the days or minutes before.

        Four times a day: a day that passed at another speed has another length here.
        """
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
                    "Timestamp": time.time() - seconds / _SPEED * number,
                    "Values": values,
                    "Counts": [count] * len(values),
                }
                for seconds, times in ((86400 / 4, 4 * days + 1), (60, minutes))
                # Now is the first of both.
                for number in range(int(seconds == 60), times)
            ],
        )

    def fail(self, *, busy: bool) -> None:
        """Publish data with every fault that is not caused otherwise.

        `busy` tasks make autoscaling start others, which open new log streams.
        """
        for group in self.groups:
            self.put("HTTPCode_Target_5XX_Count", [1.0], count=1e6, dimensions=group)
            # An idle group has no data, which would be no fault.
            self.put("HealthyHostCount", [0.0], minutes=15, dimensions=group)
            self.put("UnHealthyHostCount", [1.0], minutes=3, dimensions=group)
        self.put("HTTPCode_Target_5XX_Count", [1.0], count=1e6, days=3)
        self.put("TargetResponseTime", [0.2], count=1e6, days=3, minutes=5)
        for metric in ("CPUUtilization", "MemoryUtilization") if busy else ():
            self.put(metric, [90.0], count=1e6, minutes=15, dimensions=self.service)
        self.put("RejectedConnectionCount", [1.0], minutes=5)
        self.put("ClientTLSNegotiationErrorCount", [1.0], count=1e6)
        self.put("RefusedKeys", [1.0], count=1e6, dimensions={})
        self.put("BlockedRequests", [1.0], count=1e6, dimensions=self.firewall)
        for certificate in self.certificates:
            self.put("DaysToExpiry", [10.0], dimensions=certificate)

    def heal(self, count: float) -> None:
        """Make all earlier failures a small share of `count` successful requests."""
        for metric in ("RequestCount", "NewConnectionCount"):
            self.put(metric, [1.0], count=count, days=3)
        for group in self.groups:
            self.put("RequestCount", [1.0], count=count, dimensions=group)
        self.put("TargetResponseTime", [0.001], count=count)
        self.put("AcceptedKeys", [1.0], count=count, dimensions={})
        self.put("AllowedRequests", [1.0], count=count, dimensions=self.firewall)

    def renew(self) -> None:
        """Publish that ACM has renewed the certificates."""
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

    @contextlib.contextmanager
    def no_heartbeat(self) -> Iterator[None]:
        """Delete Alertmanager's definition, if any, and create it again after the block."""
        taken = {}
        for workspace in self._prometheus.list_workspaces()["workspaces"]:
            of = {"workspaceId": workspace["workspaceId"]}
            found = self._prometheus.describe_alert_manager_definition(**of)
            taken[workspace["workspaceId"]] = found["alertManagerDefinition"]["data"]
            self._prometheus.delete_alert_manager_definition(**of)
        try:
            yield
        finally:
            for name, data in taken.items():
                self._prometheus.create_alert_manager_definition(workspaceId=name, data=data)

    def probe(self, *, disabled: bool) -> None:
        """Stop Route 53's requests, or let them continue."""
        self._route53.update_health_check(**self.check, Disabled=disabled)

    def widgets(self) -> Any:
        (entry,) = self.client.list_dashboards()["DashboardEntries"]
        body = self.client.get_dashboard(DashboardName=entry["DashboardName"])["DashboardBody"]
        return json.loads(body)["widgets"]


def short_name(alarm: dict[str, Any]) -> str:
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
