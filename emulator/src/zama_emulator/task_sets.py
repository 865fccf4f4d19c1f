"""The task sets of ECS services that CodeDeploy controls.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-bluegreen.html

Such a service has no `deployments`: each version is a task set with a separate target group. Only
CodeDeploy creates and deletes them here; the API's own operations for task sets are not emulated.
"""

import threading
import time
from typing import Any, Final

from ministack.core import concurrency
from ministack.core.responses import new_uuid
from ministack.services import alb, ecs

from zama_emulator import load_balancer
from zama_emulator.clock import clock
from zama_emulator.patching import Original

_RESTART_SECONDS: Final = 10
_lock: Final = threading.RLock()


def has_task_sets(service: dict[str, Any] | None) -> bool:
    """Say whether CodeDeploy controls a service."""
    return bool(service) and (service or {})["deploymentController"]["type"] == "CODE_DEPLOY"


def create(service: dict[str, Any], started_by: str = "", **changes: Any) -> dict[str, Any]:
    """Add a task set like the service, with these changes, and start its tasks."""
    identity = f"ecs-svc/{int(new_uuid().replace('-', '')[:16], 16) % 10**19:019d}"
    now = ecs._iso()
    copied = ("taskDefinition", "loadBalancers", "networkConfiguration", "launchType",
              "platformVersion", "serviceArn", "clusterArn")  # fmt: skip
    created: dict[str, Any] = {
        **{name: service[name] for name in copied},
        **changes,
        "id": identity,
        "taskSetArn": f"{service['serviceArn'].replace(':service/', ':task-set/')}/{identity}",
        "startedBy": "CODE_DEPLOY",
        "externalId": started_by,
        "status": "ACTIVE",
        "computedDesiredCount": service["desiredCount"],
        "runningCount": 0,
        "pendingCount": 0,
        "scale": {"value": 100.0, "unit": "PERCENT"},
        "stabilityStatus": "STABILIZING",
        "stabilityStatusAt": time.time(),
        "createdAt": now,
        "updatedAt": now,
    }
    service["taskSets"].append(created)
    reconcile_service(service)
    return created


def make_primary(service: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Make a task set the primary one, which the service's description shows."""
    for one in service["taskSets"]:
        one["status"] = "PRIMARY" if one is chosen else "ACTIVE"
        one["updatedAt"] = ecs._iso()
    service |= {name: chosen[name] for name in ("taskDefinition", "loadBalancers")}


def delete(service: dict[str, Any], chosen: dict[str, Any]) -> None:
    """Stop a task set's tasks, which leave their target group and drain, and forget it."""
    with _lock:
        service["taskSets"] = [one for one in service["taskSets"] if one is not chosen]
        for arn, _ in _tasks(service, chosen):
            ecs._stop_task(
                {"task": arn, "cluster": cluster_of(service), "reason": "Task set deleted"}
            )
    ecs._refresh_service_state(cluster_of(service), f"service:{service['serviceName']}")


def is_stable(service: dict[str, Any], chosen: dict[str, Any]) -> bool:
    """Say whether all wanted tasks of a task set run and are healthy targets."""
    tasks = [task for _, task in _tasks(service, chosen)]
    return len(tasks) == chosen["computedDesiredCount"] and all(
        is_healthy(service, task) for task in tasks
    )


def is_healthy(service: dict[str, Any], task: dict[str, Any]) -> bool:
    """Say whether a task runs, and is healthy in its target groups."""
    return task["lastStatus"] == "RUNNING" and all(
        load_balancer.state(group["targetGroupArn"], ecs._task_ip(task)) == "healthy"
        for group in balancers(service, task)
    )


def balancers(service: dict[str, Any], task: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the target groups of a service's task."""
    for one in service.get("taskSets") or []:
        if one["id"] == task["_deployment_id"]:
            return list(one["loadBalancers"])
    return service.get("loadBalancers") or []


def reconcile(original: Original, cluster: str, service_key: str) -> None:
    """Each task set has the service's desired count of tasks."""
    service = ecs._services.get(service_key)
    if not has_task_sets(service):
        original(cluster, service_key)
    elif service["status"] == "ACTIVE":
        if "taskSets" not in service:
            service |= {"taskSets": [], "deployments": []}
            make_primary(service, create(service))
        reconcile_service(service)


def reconcile_service(service: dict[str, Any]) -> None:
    """Start and stop tasks until each task set has as many as it wants."""
    cluster = cluster_of(service)
    with _lock:
        for one in service["taskSets"]:
            one["computedDesiredCount"] = service["desiredCount"]
            tasks = _tasks(service, one)
            missing = service["desiredCount"] - len(tasks)
            if missing > 0:
                ecs._run_task(
                    {
                        **{name: one[name] for name in ("launchType", "platformVersion",
                                                        "networkConfiguration", "taskDefinition")},
                        "cluster": cluster,
                        "count": missing,
                        "group": f"service:{service['serviceName']}",
                        "startedBy": one["id"],
                        "_deploymentId": one["id"],
                    }
                )  # fmt: skip
            # The newest first.
            for arn, _ in sorted(tasks, key=lambda task: task[1]["createdAt"])[
                service["desiredCount"] :
            ]:
                ecs._stop_task({"task": arn, "cluster": cluster, "reason": "Scaling activity"})
    ecs._refresh_service_state(cluster, f"service:{service['serviceName']}")
    ecs._recount_cluster(cluster)


def refresh(original: Original, cluster: str, group: str) -> None:
    """A task set's description has its own counts, and whether it is stable."""
    original(cluster, group)
    service = ecs._services.get(f"{cluster}/{(group or '').partition(':')[2]}")
    for one in (service or {}).get("taskSets", []):
        states = [task["lastStatus"] for _, task in _tasks(service, one)]
        running = states.count("RUNNING")
        one |= {"runningCount": running, "pendingCount": len(states) - running}
        stable = "STEADY_STATE" if is_stable(service, one) else "STABILIZING"
        if stable != one["stabilityStatus"]:
            one |= {"stabilityStatus": stable, "stabilityStatusAt": time.time()}


def publish_targets(original: Original, cluster: str, service: dict[str, Any]) -> None:
    """The tasks of a task set are the targets of its target group."""
    if "taskSets" not in service:
        original(cluster, service)
        return
    with _lock:
        published = service.setdefault("_published_targets", {})
        wanted: dict[str, list[tuple[str, int]]] = {arn: [] for arn in published}
        for one in service["taskSets"] if service["status"] == "ACTIVE" else ():
            for group in one["loadBalancers"]:
                wanted.setdefault(group["targetGroupArn"], []).extend(
                    (address, group["containerPort"])
                    for _, task in _tasks(service, one)
                    if task["lastStatus"] == "RUNNING" and (address := ecs._task_ip(task))
                )
        for arn, targets in wanted.items():
            with concurrency.resource_lock("elbv2-targets", arn):
                alb.set_targets_for_group(arn, targets, published.get(arn, ()))
            published[arn] = [address for address, _ in targets]


def replace_failed(original: Original, task: dict[str, Any], *rest: Any, **named: Any) -> None:
    """A task set replaces a task that ended, after a wait that spares the machine.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-throttle-logic.html
    """
    original(task, *rest, **named)
    name = task["group"].partition(":")[2]
    key = f"{ecs._cluster_name_from_arn(task['clusterArn'])}/{name}"
    if has_task_sets(ecs._services.get(key)):
        began = time.time()

        def again() -> None:
            clock.wait(began, _RESTART_SECONDS)
            ecs._reconcile_service_tasks(key.partition("/")[0], key)

        concurrency.spawn_background(again, thread_name="zama-task-set")


def cluster_of(service: dict[str, Any]) -> str:
    """Return the name of a service's cluster."""
    return str(ecs._cluster_name_from_arn(service["clusterArn"]))


def _tasks(service: dict[str, Any], chosen: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return [
        (arn, task)
        for arn, task in list(ecs._tasks.items())
        if task.get("_deployment_id") == chosen["id"]
        and task["clusterArn"] == service["clusterArn"]
        and task["lastStatus"] in ecs._PRE_STOP_STATUSES
    ]
