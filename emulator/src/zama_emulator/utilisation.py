"""Metrics of ECS services: CPU, memory and counts, from the containers' own statistics.

https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service_utilization.html
https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/Container-Insights-metrics-ECS.html
"""

import contextlib
import time
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

from docker.errors import DockerException
from ministack.core.responses import request_scope
from ministack.services import ecs

from zama_emulator import ACCOUNT, REGION
from zama_emulator.metrics import Meter

_ECS: Final = "AWS/ECS"
_INSIGHTS: Final = "ECS/ContainerInsights"
# Each reading of a container takes 10 ms, so a fast clock repeats the last one.
_LEAST_SECONDS: Final = 2.0
_MIB: Final = 2**20


@dataclass(frozen=True)
class Reading:
    """A container's seconds of CPU since its start, its bytes of memory, and when that was."""

    cpu_seconds: float
    memory_bytes: float
    moment: float


@dataclass(frozen=True)
class Use:
    """A task's use of CPU, in CPUs, and of memory, in bytes."""

    cpus: float
    memory_bytes: float


def reading(statistics: dict[str, Any], moment: float) -> Reading:
    """Return a reading from the engine's statistics of a container.

    Memory excludes the page cache that the kernel can take back, as ECS's agent counts it.
    """
    memory = statistics["memory_stats"]
    details = memory.get("stats", {})
    cache = details.get("total_inactive_file", details.get("inactive_file", 0))
    cpu = statistics["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9
    return Reading(cpu, max(0, memory.get("usage", 0) - cache), moment)


def use(before: list[Reading], after: list[Reading]) -> Use:
    """Return a task's use between two readings of each of its containers."""
    return Use(
        sum(
            max(0.0, new.cpu_seconds - old.cpu_seconds) / max(new.moment - old.moment, 1e-3)
            for old, new in zip(before, after, strict=True)
        ),
        sum(one.memory_bytes for one in after),
    )


class Utilisation:
    """The tasks' last readings and uses."""

    def __init__(self) -> None:
        self._readings: dict[str, list[Reading]] = {}
        self._uses: dict[str, Use] = {}
        self._read = -_LEAST_SECONDS
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="zama-utilisation")
        self._reading: Future[None] = Future()
        self._reading.set_result(None)

    def publish(self, into: Meter) -> None:
        """Add a minute's metrics of each service, from the last reading that has ended."""
        if self._reading.done() and time.monotonic() >= self._read + _LEAST_SECONDS:
            self._reading.result()
            self._read = time.monotonic()
            # A busy engine takes seconds, for which the minute does not wait.
            self._reading = self._pool.submit(self.read)
        for service in list(ecs._services.values()):
            if service["status"] == "ACTIVE":
                self._publish(into, service)

    def close(self) -> None:
        """Begin no more readings."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def read(self) -> None:
        """Read the statistics of all containers."""
        with request_scope(ACCOUNT, REGION):
            self._read_all()

    def _read_all(self) -> None:
        readings = {}
        for arn, task in list(ecs._tasks.items()):
            if task["lastStatus"] == "RUNNING":
                # A container that ends while it is read: the engine does not know it, has half of
                # its statistics, or sends an empty answer (an OSError of requests).
                with contextlib.suppress(DockerException, KeyError, OSError):
                    readings[arn] = [*_readings(task)]
        self._uses = {
            arn: use(self._readings[arn], after)
            for arn, after in readings.items()
            if len(self._readings.get(arn, [])) == len(after)
        }
        self._readings = readings

    def _publish(self, into: Meter, service: dict[str, Any]) -> None:
        cluster = ecs._clusters[ecs._cluster_name_from_arn(service["clusterArn"])]
        names = {"ClusterName": cluster["clusterName"], "ServiceName": service["serviceName"]}
        insights = any(
            one["name"] == "containerInsights" and one["value"] != "disabled"
            for one in cluster.get("settings") or []
        )
        for arn, task in list(ecs._tasks.items()):
            if task["group"] != f"service:{names['ServiceName']}" or arn not in self._uses:
                continue
            used = self._uses[arn]
            cpus, memory = int(task["cpu"]) / 1024, int(task["memory"]) * _MIB
            values = {
                "CPUUtilization": used.cpus / cpus * 100,
                "MemoryUtilization": used.memory_bytes / memory * 100,
            }
            into.add(_ECS, names, values)
            if insights:
                values = {
                    "CpuUtilized": used.cpus * 1024,
                    "CpuReserved": cpus * 1024,
                    "MemoryUtilized": used.memory_bytes / _MIB,
                    "MemoryReserved": memory / _MIB,
                }
                into.add(_INSIGHTS, names, values)
        if insights:
            values = {
                "RunningTaskCount": service["runningCount"],
                "PendingTaskCount": service["pendingCount"],
                "DesiredTaskCount": service["desiredCount"],
                "DeploymentCount": len(service["deployments"]),
                "TaskSetCount": len(service.get("taskSets", [])),
            }
            into.add(_INSIGHTS, names, values)


def _readings(task: dict[str, Any]) -> Iterator[Reading]:
    docker = ecs._get_docker()
    for identity in list(task["_docker_ids"]):
        container = docker.containers.get(identity)
        yield reading(container.stats(stream=False, one_shot=True), time.monotonic())
