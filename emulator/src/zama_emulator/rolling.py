"""Alarms of ECS's rolling deployments.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-alarm-failure.html

A deployment fails if one of its alarms moves to ALARM before its bake time is over; the service's
previous version then replaces it, if the service asks for a rollback. Alarms that are in ALARM when
the deployment begins are ignored, and a service's first deployment has no alarms. AWS calculates
the bake time from the alarms; here it has room for a whole evaluation of each of them, and the
deployment already counts as completed while it lasts.
"""

import time
from typing import Any

from ministack.services import cloudwatch, ecs

from zama_emulator import alarms
from zama_emulator.clock import clock
from zama_emulator.ecs import tell
from zama_emulator.patching import Original


def remember_alarms(original: Original, *arguments: Any, **rest: Any) -> dict[str, Any]:
    """A deployment ignores the alarms that are active when it begins."""
    deployment: dict[str, Any] = original(*arguments, **rest)
    return {**deployment, "_ignored": alarms.in_alarm([*cloudwatch._alarms])}


def complete(original: Original, cluster: str, key: str, *rest: Any, **named: Any) -> None:
    """A completed deployment is watched for its bake time, if it replaced another one."""
    service = ecs._services.get(key)
    primary = ecs._primary_deployment(service) if service else None
    previous = _previous(service, primary) if service and primary else None
    original(cluster, key, *rest, **named)
    if previous and primary and primary["rolloutState"] == "COMPLETED" and "_until" not in primary:
        primary["_previous"] = previous
        primary["_until"] = time.time() + clock.seconds(_bake_seconds(_alarm_names(service)))


def watch() -> None:
    """Fail each deployment that has raised an alarm."""
    for key, service in list(ecs._services.items()):
        primary = ecs._primary_deployment(service)
        if not primary or service["status"] != "ACTIVE":
            continue
        raised = {*alarms.in_alarm(_alarm_names(service))} - {*primary.get("_ignored", [])}
        previous = (
            _previous(service, primary)
            if primary["rolloutState"] == "IN_PROGRESS"
            else primary.get("_previous")
            if time.time() < primary.get("_until", 0)
            else None
        )
        if raised and previous:
            _fail(key, service, primary, previous, sorted(raised))


def _fail(
    key: str, service: dict[str, Any], failed: dict[str, Any], previous: str, raised: list[str]
) -> None:
    reason = f"ECS deployment failed: alarms were detected: {', '.join(raised)}."
    failed |= {"rolloutState": "FAILED", "rolloutStateReason": reason, "updatedAt": ecs._iso()}
    tell(service, f"(service {service['serviceName']}) deployment failed: {reason}")
    if service["deploymentConfiguration"]["alarms"].get("rollback"):
        cluster, _, name = key.partition("/")
        change = {"taskDefinition": previous, "forceNewDeployment": True}
        ecs._update_service({"cluster": cluster, "service": name, **change})
        back = ecs._primary_deployment(service)
        back["rolloutStateReason"] = f"ECS deployment {failed['id']} is rolled back."
        tell(service, f"(service {name}) rolled back to {previous.rpartition('/')[2]}.")


def _previous(service: dict[str, Any], primary: dict[str, Any]) -> str | None:
    """Return the task definition of the last completed deployment."""
    return next(
        (
            str(one["taskDefinition"])
            for one in service["deployments"]
            if one is not primary and one["rolloutState"] == "COMPLETED"
        ),
        None,
    )


def _alarm_names(service: dict[str, Any] | None) -> list[str]:
    stated = ((service or {}).get("deploymentConfiguration") or {}).get("alarms") or {}
    return list(stated.get("alarmNames") or []) if stated.get("enable") else []


def _bake_seconds(names: list[str]) -> float:
    return max(
        (
            # The first period is incomplete, because it began before the bake time.
            (alarm["EvaluationPeriods"] + 1) * alarms.period(alarm)
            for name, alarm in list(cloudwatch._alarms.items())
            if name in names
        ),
        default=0,
    )
