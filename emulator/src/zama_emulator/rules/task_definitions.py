"""Rules of ECS: task definitions."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from zama_emulator.rules import Given, rule

_API: Final = "AmazonECS/latest/APIReference/API_"
_GUIDE: Final = "AmazonECS/latest/developerguide/"
_TASK: Final = f"{_GUIDE}task_definition_parameters.html"
_SIZES: Final = f"{_GUIDE}fargate-tasks-services.html"
_CLIENT: Final = "ClientException"

_FARGATE_MEMORY: Final[dict[int, range | list[int]]] = {
    256: [512, 1024, 2048],
    512: range(1024, 4097, 1024),
    1024: range(2048, 8193, 1024),
    2048: range(4096, 16385, 1024),
    4096: range(8192, 30721, 1024),
    8192: range(16384, 61441, 4096),
    16384: range(32768, 122881, 8192),
}


def _containers(given: Given) -> list[dict[str, Any]]:
    return given.get("containerDefinitions") or []


def each(given: Given, name: str) -> Iterator[tuple[dict[str, Any], Any]]:
    """Return each container that has a member, with the member."""
    for container in _containers(given):
        if container.get(name):
            yield container, container[name]


def is_fargate(given: Given) -> bool:
    """Say whether a task definition is for Fargate."""
    return "FARGATE" in (given.get("requiresCompatibilities") or [])


def is_awsvpc(given: Given) -> bool:
    """Say whether a task definition has the network mode awsvpc."""
    return given.get("networkMode") == "awsvpc"


def _units(text: Any) -> int:
    """Return CPU units or MiB, which can be written as vCPU or GB."""
    found = re.fullmatch(r"\s*([\d.]+)\s*(vcpu|gb)?\s*", str(text), re.IGNORECASE)
    return int(float(found[1]) * (1024 if found[2] else 1)) if found else -1


# --- Task definitions -----------------------------------------------------------------------------


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _SIZES)
def fargate_has_a_size(given: Given) -> Any:
    """A Fargate task definition states CPU and memory."""
    return is_fargate(given) and not (given.get("cpu") and given.get("memory"))


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _SIZES)
def fargate_size(given: Given) -> Any:
    """Fargate has fixed pairs of CPU and memory, from 256/512 to 16384/122880."""
    cpu, memory = _units(given.get("cpu")), _units(given.get("memory"))
    return is_fargate(given) and memory not in _FARGATE_MEMORY.get(cpu, [])


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _TASK)
def fargate_network_mode(given: Given) -> Any:
    """A Fargate task has the network mode awsvpc."""
    return is_fargate(given) and not is_awsvpc(given)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _TASK)
def container_memory(given: Given) -> Any:
    """The memory that a task's containers reserve fits into the task's memory."""
    memory = _units(given["memory"]) if given.get("memory") else 0
    reserved = [
        one.get("memoryReservation") or one.get("memory") or 0 for one in _containers(given)
    ]
    limits = [one.get("memory") or 0 for one in _containers(given)]
    return memory and (sum(reserved) > memory or max(limits, default=0) > memory)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def memory_reservation(given: Given) -> Any:
    """A container's memory is greater than its reservation, and at least 6 MiB."""
    return any(
        memory < 6 or memory <= (container.get("memoryReservation") or 0)
        for container, memory in each(given, "memory")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def container_has_memory(given: Given) -> Any:
    """A container states memory or a reservation, unless the task states memory."""
    return not given.get("memory") and any(
        not (one.get("memory") or one.get("memoryReservation")) for one in _containers(given)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _TASK)
def container_cpu(given: Given) -> Any:
    """The CPU units of a task's containers fit into the task's."""
    units = _units(given["cpu"]) if given.get("cpu") else 0
    return units and sum(one.get("cpu") or 0 for one in _containers(given)) > units


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}RegisterTaskDefinition.html")
def family_name(given: Given) -> Any:
    """A family has up to 255 letters, digits, hyphens and underscores."""
    return not re.fullmatch(r"[\w-]{1,255}", given["family"], re.ASCII)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}RegisterTaskDefinition.html")
def has_containers(given: Given) -> Any:
    """A task definition has between 1 and 10 containers."""
    return not 1 <= len(_containers(given)) <= 10


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def container_name(given: Given) -> Any:
    """A container's name has up to 255 letters, digits, hyphens and underscores."""
    return any(
        not re.fullmatch(r"[\w-]{1,255}", one.get("name") or "", re.ASCII)
        for one in _containers(given)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def container_names_differ(given: Given) -> Any:
    """The containers of a task have different names."""
    names = [one.get("name") for one in _containers(given)]
    return len({*names}) < len(names)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def container_image(given: Given) -> Any:
    """A container has an image, whose name has up to 255 of the characters A-Z a-z 0-9 -_:./@#."""
    return any(
        not re.fullmatch(r"[\w:./@#-]{1,255}", one.get("image") or "", re.ASCII)
        for one in _containers(given)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def one_is_essential(given: Given) -> Any:
    """At least one container of a task is essential."""
    return not any(one.get("essential", True) for one in _containers(given))


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDependency.html")
def dependency_exists(given: Given) -> Any:
    """A container depends on containers of the same task."""
    names = {one.get("name") for one in _containers(given)}
    return any(
        one.get("containerName") not in names - {container["name"]}
        for container, needed in each(given, "dependsOn")
        for one in needed
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDependency.html")
def dependencies_have_no_cycle(given: Given) -> Any:
    """Containers do not depend on each other in a cycle."""
    needs = {
        container["name"]: {one.get("containerName") for one in needed}
        for container, needed in each(given, "dependsOn")
    }
    while ready := [name for name, needed in needs.items() if not needed & {*needs}]:
        for name in ready:
            del needs[name]
    return needs


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDependency.html")
def healthy_needs_a_health_check(given: Given) -> Any:
    """A container that another awaits as HEALTHY has a health check."""
    checked = {container["name"] for container, _ in each(given, "healthCheck")}
    return any(
        one.get("condition") == "HEALTHY" and one.get("containerName") not in checked
        for _, needed in each(given, "dependsOn")
        for one in needed
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDependency.html")
def essential_does_not_complete(given: Given) -> Any:
    """A container that another awaits as COMPLETE or SUCCESS is not essential."""
    essential = {one.get("name") for one in _containers(given) if one.get("essential", True)}
    return any(
        one.get("condition") in {"COMPLETE", "SUCCESS"} and one.get("containerName") in essential
        for _, needed in each(given, "dependsOn")
        for one in needed
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_GUIDE}task_execution_IAM_role.html")
def execution_role(given: Given) -> Any:
    """A task with secrets, or on Fargate with awslogs or an ECR image, has an execution role."""
    return not given.get("executionRoleArn") and any(
        one.get("secrets")
        or (
            is_fargate(given)
            and (
                (one.get("logConfiguration") or {}).get("logDriver") == "awslogs"
                or ".dkr.ecr." in (one.get("image") or "")
            )
        )
        for one in _containers(given)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}RegisterTaskDefinition.html")
def role_form(given: Given) -> Any:
    """The task role and the execution role are ARNs of roles, or names."""
    return any(
        given.get(name)
        and not re.fullmatch(r"(arn:aws[\w-]*:iam::\d{12}:role/)?[\w+=,.@/-]+", given[name])
        for name in ("taskRoleArn", "executionRoleArn")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}Secret.html")
def secret_source(given: Given) -> Any:
    """A secret comes from a parameter's name or ARN, or from a Secrets Manager ARN."""
    return any(
        not re.fullmatch(
            r"arn:aws[\w-]*:ssm:[\w-]+:\d{12}:parameter/.+"
            r"|arn:aws[\w-]*:secretsmanager:[\w-]+:\d{12}:secret:.+|[\w./-]+",
            secret.get("valueFrom") or "",
        )
        for _, secrets in each(given, "secrets")
        for secret in secrets
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}Secret.html")
def secret_names(given: Given) -> Any:
    """A secret's name is unique among the container's secrets and environment variables."""
    for container, secrets in each(given, "secrets"):
        names = [one["name"] for one in [*secrets, *(container.get("environment") or [])]]
        if len({*names} | {one["name"] for one in secrets}) < len({*names}) or any(
            Counter(names)[one["name"]] > 1 for one in secrets
        ):
            return True
    return False


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}PortMapping.html")
def host_port(given: Given) -> Any:
    """With awsvpc, a host port is the container port or not stated."""
    return is_awsvpc(given) and any(
        mapping.get("hostPort") not in {None, 0, mapping.get("containerPort")}
        for _, mappings in each(given, "portMappings")
        for mapping in mappings
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}PortMapping.html")
def container_ports(given: Given) -> Any:
    """A container port is between 1 and 65535, and with awsvpc only one container maps it."""
    mapped = [
        (mapping.get("containerPort"), mapping.get("protocol", "tcp"))
        for _, mappings in each(given, "portMappings")
        for mapping in mappings
        if not mapping.get("containerPortRange")
    ]
    return any(not 1 <= (port or 0) <= 65535 for port, _ in mapped) or (
        is_awsvpc(given) and len({*mapped}) < len(mapped)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def stop_timeout(given: Given) -> Any:
    """A Fargate container has at most 120 seconds, and at least 2, to stop."""
    return is_fargate(given) and any(
        not 2 <= one["stopTimeout"] <= 120
        for one in _containers(given)
        if one.get("stopTimeout") is not None
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerDefinition.html")
def start_timeout(given: Given) -> Any:
    """A Fargate container has at most 120 seconds, and at least 2, to start."""
    return is_fargate(given) and any(
        not 2 <= seconds <= 120 for _, seconds in each(given, "startTimeout")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}HealthCheck.html")
def health_check_ranges(given: Given) -> Any:
    """A health check has 5-300 s interval, 2-60 s timeout, 1-10 retries, 0-300 s start period."""
    ranges = {
        "interval": (5, 300),
        "timeout": (2, 60),
        "retries": (1, 10),
        "startPeriod": (0, 300),
    }
    return any(
        check.get(name) is not None and not low <= check[name] <= high
        for _, check in each(given, "healthCheck")
        for name, (low, high) in ranges.items()
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}HealthCheck.html")
def health_check_command(given: Given) -> Any:
    """A health check's command begins with CMD, CMD-SHELL or NONE, and a command follows."""
    return any(
        (command := check.get("command") or [""])[0] not in {"CMD", "CMD-SHELL", "NONE"}
        or (command[0] != "NONE" and len(command) < 2)
        for _, check in each(given, "healthCheck")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}EphemeralStorage.html")
def ephemeral_storage(given: Given) -> Any:
    """Fargate's ephemeral storage is between 21 and 200 GiB."""
    storage = given.get("ephemeralStorage")
    return storage and not (is_fargate(given) and 21 <= storage.get("sizeInGiB", 0) <= 200)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}RuntimePlatform.html")
def runtime_platform(given: Given) -> Any:
    """On Fargate, Windows runs on X86_64 only, with at least 1 vCPU."""
    platform = given.get("runtimePlatform") or {}
    windows = (platform.get("operatingSystemFamily") or "").startswith("WINDOWS")
    return (
        is_fargate(given)
        and windows
        and (platform.get("cpuArchitecture") == "ARM64" or _units(given.get("cpu")) < 1024)
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}LogConfiguration.html")
def log_driver(given: Given) -> Any:
    """Fargate's log drivers are awslogs, splunk and awsfirelens."""
    return is_fargate(given) and any(
        log.get("logDriver") not in {"awslogs", "splunk", "awsfirelens"}
        for _, log in each(given, "logConfiguration")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_GUIDE}specify-log-config.html")
def awslogs_options(given: Given) -> Any:
    """The driver awslogs needs a group and a region, and on Fargate a stream prefix."""
    needed = {"awslogs-group", "awslogs-region"}
    if is_fargate(given):
        needed |= {"awslogs-stream-prefix"}
    return any(
        log.get("logDriver") == "awslogs" and needed - {*(log.get("options") or {})}
        for _, log in each(given, "logConfiguration")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}LinuxParameters.html")
def fargate_linux_parameters(given: Given) -> Any:
    """Fargate has no devices, shared memory size or swap, and adds no capability but SYS_PTRACE."""
    forbidden = {"devices", "sharedMemorySize", "maxSwap", "swappiness"}
    return is_fargate(given) and any(
        {name for name, value in linux.items() if value} & forbidden
        or {*((linux.get("capabilities") or {}).get("add") or [])} - {"SYS_PTRACE"}
        for _, linux in each(given, "linuxParameters")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _SIZES)
def fargate_container_parameters(given: Given) -> Any:
    """A Fargate container has no privileges, links, extra hosts, DNS or security options."""
    forbidden = (
        "privileged", "links", "extraHosts", "dnsServers", "dnsSearchDomains", "hostname",
        "dockerSecurityOptions", "disableNetworking",
    )  # fmt: skip
    return is_fargate(given) and any(
        one.get(name) for one in _containers(given) for name in forbidden
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, _SIZES)
def fargate_task_parameters(given: Given) -> Any:
    """A Fargate task has no placement constraints, IPC mode or host PID mode."""
    return is_fargate(given) and (
        given.get("placementConstraints") or given.get("ipcMode") or given.get("pidMode") == "host"
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}Ulimit.html")
def ulimits(given: Given) -> Any:
    """A soft limit is not over the hard one, and Fargate sets only nofile."""
    return any(
        limit["softLimit"] > limit["hardLimit"] or (is_fargate(given) and limit["name"] != "nofile")
        for _, limits in each(given, "ulimits")
        for limit in limits
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}MountPoint.html")
def mounted_volume_exists(given: Given) -> Any:
    """A mount point names a volume of the task."""
    volumes = {one.get("name") for one in given.get("volumes") or []}
    return any(
        mount.get("sourceVolume") not in volumes
        for _, mounts in each(given, "mountPoints")
        for mount in mounts
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}Volume.html")
def volume_names_differ(given: Given) -> Any:
    """The volumes of a task have different names."""
    names = [one.get("name") for one in given.get("volumes") or []]
    return len({*names}) < len(names)


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}ContainerRestartPolicy.html")
def restart_attempt_period(given: Given) -> Any:
    """A restart policy waits between 60 and 1800 seconds."""
    return any(
        policy.get("restartAttemptPeriod") is not None
        and not 60 <= policy["restartAttemptPeriod"] <= 1800
        for _, policy in each(given, "restartPolicy")
    )


@rule("ecs", "RegisterTaskDefinition", _CLIENT, f"{_API}KeyValuePair.html")
def environment_names(given: Given) -> Any:
    """An environment variable has a name."""
    return any(not one.get("name") for _, found in each(given, "environment") for one in found)
