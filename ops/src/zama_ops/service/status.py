"""`zama status`: the state of the deployed service on one screen."""

from collections import Counter
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Final

import typer

from zama_ops.aws import client
from zama_ops.console import Group, Table, errors_told, notes, show, styled
from zama_ops.ecs_service import EcsService, primary
from zama_ops.keyring import Keyring
from zama_ops.options import PREFIX, AsJson, Prefix
from zama_ops.slo import Objective, ServiceLevels
from zama_ops.topics import topic

_DAY_SECONDS: Final = 86400
# The share of the maximum age from which a key is shown.
_SOON: Final = 0.8


@dataclass
class Status:
    """The state of each part; `wrong` lists current faults, `soon` upcoming work."""

    url: str
    version: str
    rollout: str
    deployed: str
    tasks: list[dict[str, str]]
    desired_count: int
    targets: dict[str, int]
    alarms: dict[str, int]
    firing: list[str]
    untold: list[str]
    budgets: dict[str, float | None]
    keys: int
    old_keys: list[dict[str, Any]]
    wrong: list[str] = field(default_factory=list)
    soon: list[str] = field(default_factory=list)


def status(
    *,
    prefix: Prefix = PREFIX,
    key_days: Annotated[
        int, typer.Option(min=1, help="Maximum age of a key; keys near it are listed.")
    ] = 90,
    as_json: AsJson = False,
) -> None:
    """Show deployment, tasks, targets, alarms, error budgets and old keys on one screen.

    Needs AWS credentials that can read these. Exit code 1: there are faults, which are listed.
    """
    with errors_told(), notes.status("Asking AWS ..."):
        report = _ask(prefix, key_days)
    show(asdict(report), _screen(prefix, report), as_json=as_json)
    if report.wrong:
        raise typer.Exit(1)


def _ask(prefix: str, key_days: int) -> Status:
    service = EcsService(prefix)
    described = service.describe()
    newest = primary(described)
    image = service.containers["api"]["image"]
    alarms = _alarms(prefix)
    # Alarms without actions are only parts of composite alarms.
    firing = [
        one["AlarmName"].removeprefix(f"{prefix}-")
        for one in alarms
        if one["StateValue"] == "ALARM" and one["AlarmActions"]
    ]
    with client("ssm") as ssm:
        keys = Keyring(ssm, service.parameter()).keys()
    report = Status(
        url=service.url(),
        version=image.rpartition("@")[2] if "@" in image else image.rpartition(":")[2],
        rollout=newest.get("rolloutState", "COMPLETED"),
        deployed=_minute(newest["createdAt"]),
        tasks=_tasks(prefix),
        desired_count=described["desiredCount"],
        targets=_targets(service.load_balancer),
        alarms=dict(Counter(one["StateValue"] for one in alarms)),
        firing=firing,
        untold=_untold(alarms),
        budgets=_budgets(prefix, alarms),
        keys=len(keys),
        old_keys=[
            {"client": key.client, "fingerprint": key.fingerprint, "days": key.age_days}
            for key in keys
            if key.age_days is None or key.age_days >= _SOON * key_days
        ],
    )
    report.wrong = wrong(report, newest.get("rolloutStateReason", ""))
    report.soon = [_about(key, key_days) for key in report.old_keys]
    report.soon += [
        f"{name} has no confirmed subscriber: confirm, or set alarm_email or pager_url"
        for name in report.untold
    ]
    return report


def _untold(alarms: list[dict[str, Any]]) -> list[str]:
    """Return the names of the alarms' topics that have no confirmed subscriber."""
    arns = sorted({arn for one in alarms for arn in one["AlarmActions"] if ":sns:" in arn})
    return [one.name for one in map(topic, arns) if not one.confirmed]


def _tasks(prefix: str) -> list[dict[str, str]]:
    with client("ecs") as ecs:
        arns = ecs.list_tasks(cluster=prefix, serviceName=prefix)["taskArns"]
        tasks = ecs.describe_tasks(cluster=prefix, tasks=arns)["tasks"] if arns else []
    return [
        {
            "id": one["taskArn"].rpartition("/")[2],
            "state": one["lastStatus"],
            "health": one.get("healthStatus", "UNKNOWN"),
            "zone": one.get("availabilityZone", ""),
            "since": _minute(one["createdAt"]),
            # Without it, the task keeps running: it counts requests or collects metrics.
            "stopped": " and ".join(
                container["name"]
                for container in one["containers"]
                if (one["lastStatus"], container.get("lastStatus")) == ("RUNNING", "STOPPED")
            ),
        }
        for one in tasks
    ]


def _targets(balancer: dict[str, Any]) -> dict[str, int]:
    """Return the number of targets in each state, over all target groups."""
    with client("elbv2") as elbv2:
        groups = elbv2.describe_target_groups(LoadBalancerArn=balancer["LoadBalancerArn"])
        states = Counter(
            target["TargetHealth"]["State"]
            for group in groups["TargetGroups"]
            for target in elbv2.describe_target_health(TargetGroupArn=group["TargetGroupArn"])[
                "TargetHealthDescriptions"
            ]
        )
    return dict(states)


def _alarms(prefix: str) -> list[dict[str, Any]]:
    with client("cloudwatch") as cloudwatch:
        pages = cloudwatch.get_paginator("describe_alarms").paginate(
            AlarmNamePrefix=f"{prefix}-", AlarmTypes=["MetricAlarm", "CompositeAlarm"]
        )
        return [one for page in pages for one in (*page["MetricAlarms"], *page["CompositeAlarms"])]


def _budgets(prefix: str, alarms: list[dict[str, Any]]) -> dict[str, float | None]:
    """Return the share of each error budget that is left; None if there is no data.

    The alarms in terraform/slo.tf have the queries: bad requests, and all that count.
    """
    levels = ServiceLevels.load()
    days = int(levels.window.removesuffix("d"))
    queries = {one["AlarmName"]: one.get("Metrics", []) for one in alarms}
    window = levels.burn_rates[0].long
    left = {}
    for one in levels.objectives:
        alarm = f"{prefix}-{one.name.capitalize()}BurnRate-{window}"
        left[one.name] = _left(one, queries[alarm], days)
    return left


def _left(objective: Objective, metrics: list[dict[str, Any]], days: int) -> float | None:
    queries = [
        {"Id": one["Id"], "Expression": one["Expression"], "ReturnData": True}
        if "Expression" in one
        else {**one, "MetricStat": {**one["MetricStat"], "Period": _DAY_SECONDS}}
        for one in metrics
        if one["Id"] != "share"
    ]
    now = datetime.now(UTC)
    with client("cloudwatch") as cloudwatch:
        results = cloudwatch.get_metric_data(
            MetricDataQueries=queries, StartTime=now - timedelta(days=days), EndTime=now
        )["MetricDataResults"]
    counted = {one["Id"]: sum(one["Values"]) for one in results}
    return 1 - counted["bad"] / counted["every"] / objective.budget if counted["every"] else None


def _minute(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def wrong(report: Status, reason: str) -> list[str]:
    """Return the current faults, one line each; `reason` is why ECS failed the deployment."""
    faults = []
    if report.rollout == "FAILED":
        faults.append(f"the last deployment failed: {reason}")
    running = sum(task["state"] == "RUNNING" for task in report.tasks)
    if running < report.desired_count:
        faults.append(f"{running} of {report.desired_count} tasks are running")
    faults += [
        f"{task['stopped']} of task {task['id'][:8]} stopped: docs/runbooks/TelemetryLost.md"
        for task in report.tasks
        if task["stopped"]
    ]
    healthy = report.targets.get("healthy", 0)
    if healthy < report.desired_count:
        faults.append(f"{healthy} of {report.desired_count} tasks are healthy targets")
    faults += [f"{name} is firing: docs/runbooks" for name in report.firing]
    faults += [
        f"the {name} budget is used up: docs/slo.md"
        for name, left in report.budgets.items()
        if left is not None and left <= 0
    ]
    return faults


def _about(key: dict[str, Any], key_days: int) -> str:
    age = (
        f"is {key['days']} days old (maximum {key_days})"
        if key["days"] is not None
        else "has an unknown age, because `zama keys issue` did not create it"
    )
    return f"key {key['fingerprint']} of {key['client']} {age}: `zama keys rotate {key['client']}`"


def _screen(prefix: str, report: Status) -> Table:
    table = Table(title=f"{prefix}: {report.url}", show_header=False, title_justify="left")
    table.add_row("version", f"{report.version}, {report.rollout} (since {report.deployed} UTC)")
    tasks = [
        f"{one['id'][:8]} {one['state']} {one['health']} {one['zone']} since {one['since']} UTC"
        for one in report.tasks
    ]
    table.add_row("tasks", Group(f"{report.desired_count} wanted", *tasks))
    table.add_row("targets", _counts(report.targets))
    table.add_row("alarms", _counts(report.alarms))
    budgets = [
        f"{name}: {'no data' if left is None else f'{left:.1%} left'}"
        for name, left in report.budgets.items()
    ]
    table.add_row("error budgets", Group(*budgets))
    table.add_row("keys", str(report.keys))
    for line in report.soon:
        table.add_row(styled("soon", "yellow"), line)
    for line in report.wrong:
        table.add_row(styled("wrong", "red"), line)
    if not report.wrong:
        table.add_row(styled("all well", "green"), "")
    return table


def _counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "none"
