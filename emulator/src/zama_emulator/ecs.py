"""ECS as Fargate runs it.

Each function's docstring describes AWS's behaviour, which MiniStack lacks.
"""

import time
from typing import Any, Final

from docker.errors import DockerException
from ministack.core import concurrency
from ministack.core.responses import new_uuid, request_scope
from ministack.services import ecs

from zama_emulator import load_balancer, task_sets
from zama_emulator.patching import Original

_POLL_SECONDS: Final = 1
_HEALTHY_POLL_SECONDS: Final = 2
# The engine starts a process for each health check, which costs more CPU than the service at rest.
_HEALTH_INTERVAL_FACTOR: Final = 12
_DEPENDENCY_SECONDS: Final = 120
_STOP_LABEL: Final = "stop-timeout"


def close() -> None:
    """Forget services and tasks, so that ECS does not replace the tasks that end now."""
    ecs._services._data.clear()
    ecs._tasks._data.clear()


# --- Start ----------------------------------------------------------------------------------------


def plaintext(original: Original, name: str, version: Any = None, **_: Any) -> Any:
    """A container receives its secrets decrypted."""
    return original(name, version, decrypt=True)


def no_registry(*_: Any) -> None:
    """Do nothing: AWS resolves digests in a registry; here the engine already has the images."""


def container_options(
    original: Original, cdef: dict[str, Any], td: dict[str, Any], *rest: Any
) -> dict[str, Any]:
    """A container has the user, memory, file system, capabilities and health check that it states.

    All containers of a task share a network namespace.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/fargate-task-networking.html
    """
    options: dict[str, Any] = original(cdef, td, *rest)
    linux = cdef.get("linuxParameters") or {}
    options |= {
        "user": cdef.get("user"),
        "read_only": bool(cdef.get("readonlyRootFilesystem")),
        "cap_drop": (linux.get("capabilities") or {}).get("drop"),
        "init": bool(linux.get("initProcessEnabled")),
        "tmpfs": {
            mount["containerPath"]: ",".join([f"size={mount['size']}m", *mount["mountOptions"]])
            for mount in linux.get("tmpfs") or []
        },
        "mem_limit": f"{cdef.get('memory') or td['memory']}m",
        "nano_cpus": int(td["cpu"]) * 10**9 // 1024,
        "healthcheck": _health_check(cdef.get("healthCheck")),
    }
    if cdef.get("entryPoint"):
        options["entrypoint"] = cdef["entryPoint"]
    options["labels"][_STOP_LABEL] = str(cdef.get("stopTimeout", 30))
    first = td["containerDefinitions"][0]["name"]
    if cdef["name"] != first:
        for name in ("network", "extra_hosts", "ports"):
            options.pop(name, None)
        options["network_mode"] = f"container:{_sibling(options['name'], cdef['name'], first)}"
    return options


def _health_check(check: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return the engine's health check; `_health` checks a starting container more often."""
    if check is None:
        return None
    second = 10**9
    return {
        "test": check["command"],
        "interval": check.get("interval", 30) * _HEALTH_INTERVAL_FACTOR * second,
        "timeout": check.get("timeout", 5) * second,
        "retries": check.get("retries", 3),
        "start_period": check.get("startPeriod", 0) * second,
    }


def _sibling(name: str, own: str, other: str) -> str:
    """Return the Docker name of a container of the same task."""
    return name.removesuffix(own) + other


def after_dependencies(
    original: Original, docker: Any, cdef: dict[str, Any], options: dict[str, Any], **rest: Any
) -> Any:
    """A container starts once its dependencies have started or are healthy.

    https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDependency.html
    """
    for dependency in cdef.get("dependsOn") or []:
        if dependency["condition"] != "HEALTHY":
            continue
        name = _sibling(options["name"], cdef["name"], dependency["containerName"])
        deadline = time.monotonic() + _DEPENDENCY_SECONDS
        while (health := _health(docker.containers.get(name))) != "healthy":
            if health in {"unhealthy", "exited"} or time.monotonic() > deadline:
                raise RuntimeError(
                    f"{cdef['name']} needs {dependency['containerName']}, which is {health}"
                )
            time.sleep(_POLL_SECONDS)
    return original(docker, cdef, options, **{**rest, "refresh_image": False})


def _health(container: Any) -> str:
    """Return the engine's status. Until its first check, the container's own command decides."""
    state = container.attrs["State"]
    if state["Status"] == "exited":
        return "exited"
    health = str(state.get("Health", {}).get("Status", "none"))
    if health == "starting" and (container.id in _passed or _passes(container)):
        _passed.add(container.id)
        return "healthy"
    return health


# The ids of containers that have passed a check.
_passed: Final[set[str]] = set()


def _passes(container: Any) -> bool:
    kind, *command = container.attrs["Config"]["Healthcheck"]["Test"]
    shell = ["/bin/sh", "-c"] if kind == "CMD-SHELL" else []
    try:
        return bool(container.exec_run([*shell, *command]).exit_code == 0)
    except Exception:  # noqa: BLE001 - the container has ended
        return False


# --- Run ------------------------------------------------------------------------------------------


def create_service(original: Original, data: dict[str, Any]) -> Any:
    """A service's description includes its availability zone rebalancing."""
    answer = original(data)
    service = ecs._services.get(
        f"{ecs._resolve_cluster_name(data['cluster'])}/{data['serviceName']}"
    )
    if service:
        service["availabilityZoneRebalancing"] = data.get("availabilityZoneRebalancing", "DISABLED")
    return answer


def deployment_in_progress(original: Original, *arguments: Any, **rest: Any) -> dict[str, Any]:
    """A deployment is in progress until its tasks are healthy, including a service's first one."""
    deployment: dict[str, Any] = original(*arguments, **rest)
    deployment |= {"rolloutState": "IN_PROGRESS", "rolloutStateReason": ""}
    return deployment


def keep_the_healthy(original: Original, cluster: str, service_key: str) -> None:
    """A deployment that supersedes another replaces the tasks that are not healthy yet.

    Only healthy tasks count towards the minimum.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/deployment-type-ecs.html
    """
    service = ecs._services.get(service_key)
    primary = ecs._primary_deployment(service) if service else None
    if primary and primary["rolloutState"] == "IN_PROGRESS":
        for arn, task in list(ecs._tasks.items()):
            if (
                task.get("group") == f"service:{service['serviceName']}"
                and task["lastStatus"] in ecs._PRE_STOP_STATUSES
                and ecs._deployment_for_task(service, task) is not primary
                and not task_sets.is_healthy(service, task)
            ):
                ecs._stop_task({"task": arn, "cluster": cluster, "reason": "Superseded"})
    original(cluster, service_key)


def complete_once_healthy(
    _original: Original,
    cluster: str,
    service_key: str,
    account: str,
    region: str,
    healthy_task: dict[str, Any] | None = None,
) -> None:
    """A deployment is complete once its tasks are also healthy in the target group.

    Only then do the old tasks stop, and only then does the circuit breaker count a task as good.
    """

    def wait() -> None:
        with request_scope(account, region):
            service = ecs._services.get(service_key)
            while healthy_task and not task_sets.is_healthy(service, healthy_task):
                if not ecs._task_is_active(healthy_task["taskArn"], healthy_task):
                    return
                time.sleep(_POLL_SECONDS)
            if healthy_task:
                ecs._record_service_task_healthy(service_key, healthy_task)
            ecs._refresh_service_state(cluster, f"service:{service_key.split('/', 1)[1]}")
            ecs._reconcile_service_tasks(cluster, service_key)
            ecs._complete_service_deployment(cluster, service_key)

    concurrency.spawn_background(wait, thread_name="zama-deployment")


def tell(service: dict[str, Any], message: str) -> None:
    """Add an event to those in the service's description."""
    service["events"].insert(0, {"id": new_uuid(), "createdAt": ecs._iso(), "message": message})


def watch(
    _original: Original, task: dict[str, Any], docker: Any, account: str, region: str
) -> None:
    """A task whose essential container or target is unhealthy is stopped and replaced.

    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-load-balancing.html
    """
    cluster = ecs._cluster_name_from_arn(task["clusterArn"])
    service_key = f"{cluster}/{task['group'].partition(':')[2]}"
    began = time.monotonic()

    def watch() -> None:
        with request_scope(account, region):
            while ecs._task_is_active(task["taskArn"], task):
                reason = ""
                if not _stays_healthy(task, docker):
                    ecs._maybe_mark_stopped(task, docker)
                    reason = _unhealthy_container(task, docker)
                service = ecs._services.get(service_key) or {}
                reason = reason or _unhealthy_target(service, task, time.monotonic() - began)
                if reason and ecs._mark_task_stopped(
                    task["taskArn"], task, reason, "ServiceSchedulerInitiated"
                ):
                    ecs._record_service_task_failure(task)
                    ecs._cleanup_task_resources(task, docker)
                healthy = task.get("healthStatus") == "HEALTHY"
                time.sleep(_HEALTHY_POLL_SECONDS if healthy else _POLL_SECONDS)

    concurrency.spawn_background(watch, thread_name="zama-task")
    if task["group"].startswith("service:"):
        ecs._schedule_service_deployment_completion(
            cluster, service_key, account, region, healthy_task=task
        )


def _stays_healthy(task: dict[str, Any], docker: Any) -> bool:
    """Say whether all containers of a healthy task run, and none has become unhealthy.

    This is one question to the engine. Otherwise there are three about each container.
    """
    if task.get("healthStatus") != "HEALTHY":
        return False
    identities = list(task["_docker_ids"])
    try:
        running = docker.api.containers(filters={"id": identities})
    except (DockerException, OSError):  # The engine is busy.
        return False
    # Before the engine's own first check, its status is "Up 2 minutes (health: starting)".
    return len(running) == len(identities) and not any(
        one["Status"].endswith("(unhealthy)") for one in running
    )


def _unhealthy_container(task: dict[str, Any], docker: Any) -> str:
    """Record each container's health; return the reason to stop the task, if any.

    Only essential containers affect the health of the task.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
    """
    bad = ""
    for number, identity in enumerate(list(task["_docker_ids"])):
        try:
            health = _health(docker.containers.get(identity))
        except Exception:  # noqa: BLE001, S112 - gone, or the engine is busy
            continue
        container = task["containers"][number]
        container["healthStatus"] = health.upper() if health.endswith("healthy") else "UNKNOWN"
        if health == "unhealthy" and task["_container_essentials"][number]:
            bad = f"Task failed container health checks ({container['name']})"
    statuses = {
        container["healthStatus"]
        for container, essential in zip(
            task["containers"], task["_container_essentials"], strict=True
        )
        if essential
    }
    task["healthStatus"] = next(
        (status for status in ("UNHEALTHY", "UNKNOWN") if status in statuses), "HEALTHY"
    )
    return bad


def _unhealthy_target(service: dict[str, Any], task: dict[str, Any], age: float) -> str:
    if age < service.get("healthCheckGracePeriodSeconds", 0):
        return ""
    for group in task_sets.balancers(service, task):
        if load_balancer.state(group["targetGroupArn"], ecs._task_ip(task)) == "unhealthy":
            return f"Task failed ELB health checks in (target-group {group['targetGroupArn']})"
    return ""


def forget_failed_deployments(original: Original, cluster: str, group: str) -> None:
    """A deployment without tasks is no longer listed, even if it failed."""
    original(cluster, group)
    service = ecs._services.get(f"{cluster}/{group.partition(':')[2]}")
    if service and any(
        one["status"] == "PRIMARY" and one["rolloutState"] == "COMPLETED"
        for one in service["deployments"]
    ):
        service["deployments"] = [
            one
            for one in service["deployments"]
            if one["status"] == "PRIMARY" or one["runningCount"] or one["pendingCount"]
        ]


# --- Stop -----------------------------------------------------------------------------------------


def stop_gracefully(
    _original: Original, task: dict[str, Any], docker: Any, extra_container: Any = None
) -> None:
    """A task leaves its target groups; then dependent containers get SIGTERM before the others.

    Each container has its stopTimeout before SIGKILL. This function returns immediately.
    https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-lifecycle-explanation.html
    """
    with concurrency.resource_lock("ecs-task", task["taskArn"]):
        identities = list(task["_docker_ids"])
        task["_docker_ids"] = []
    if extra_container is not None:
        identities.append(extra_container.id)
    docker = docker or ecs._get_docker()
    address = ecs._task_ip(task)

    def stop() -> None:
        while load_balancer.is_registered(address):
            time.sleep(_POLL_SECONDS)
        for identity in reversed(identities):
            try:
                container = docker.containers.get(identity)
                container.stop(timeout=int(container.labels[_STOP_LABEL]))
                container.remove(v=True, force=True)
            except Exception as error:  # noqa: BLE001 - stop the next one as well
                ecs.logger.warning("ECS: container %s: %s", identity[:12], error)
        if task["desiredStatus"] == "STOPPED":
            task["lastStatus"] = "STOPPED"

    if identities:
        task["lastStatus"] = "DEACTIVATING"
        concurrency.spawn_background(stop, thread_name="zama-stop")
