"""Application Auto Scaling's target tracking for ECS services.

https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html

A policy scales out when its metric was over the target for 3 minutes, and in when it was more than
10 % under it for 15 minutes; AWS's own alarms for such policies have these periods. With several
policies, any of them scales out, and all of them together scale in.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

from ministack.services import ecs
from moto.applicationautoscaling.models import applicationautoscaling_backends

from zama_emulator import ACCOUNT, REGION, alarms
from zama_emulator.clock import Minutes
from zama_emulator.ecs import tell

_OUT_MINUTES: Final = 3
_IN_MINUTES: Final = 15
_IN_SHARE: Final = 0.9


def wanted(count: int, target: float, values: list[float | None]) -> int:
    """Return how many tasks a policy wants; the newest minute's value comes first."""
    newest = values[0]
    if newest is None or count == 0:
        return count
    if all(value is not None and value > target for value in values[:_OUT_MINUTES]):
        return max(count + 1, math.ceil(count * newest / target))
    if all(value is not None and value < _IN_SHARE * target for value in values[:_IN_MINUTES]):
        return min(count - 1, math.ceil(count * newest / target))
    return count


@dataclass
class Scaled:
    """When a service was last scaled, in each direction, in seconds of AWS."""

    out: float = -math.inf
    into: float = -math.inf

    def change(self, count: int, wishes: list[tuple[int, dict[str, Any]]], now: float) -> int:
        """Return the new count, given each policy's wish and configuration.

        https://docs.aws.amazon.com/autoscaling/application/userguide/target-tracking-scaling-policy-overview.html#target-tracking-cooldown
        """
        most, policy = max(wishes, key=lambda wish: wish[0])
        if most > count:
            if now < self.out + policy.get("ScaleOutCooldown", 300):
                return count
            self.out = now
            return most
        if most < count and not any(one.get("DisableScaleIn") for _, one in wishes):
            cooldown = max(one.get("ScaleInCooldown", 300) for _, one in wishes)
            if now >= max(self.into, self.out) + cooldown:
                self.into = now
                return most
        return count


_scaled: Final[dict[str, Scaled]] = {}


def scale(minutes: Minutes, now: float) -> None:
    """Change the desired count of each service that its policies scale; `now` is of AWS."""
    backend = applicationautoscaling_backends[ACCOUNT][REGION]
    for target in list(backend.targets.get("ecs:service:DesiredCount", {}).values()):
        _, cluster, name = target.resource_id.split("/")
        service = ecs._services.get(f"{cluster}/{name}")
        if service is None or service["status"] != "ACTIVE":
            continue
        count = service["desiredCount"]
        policies = [
            one.target_tracking_scaling_policy_configuration
            for one in list(backend.policies.values())
            if one.resource_id == target.resource_id
            and one.target_tracking_scaling_policy_configuration
        ]
        wishes = [
            (
                wanted(count, policy["TargetValue"], [*_values(policy, cluster, name, minutes)]),
                policy,
            )
            for policy in policies
        ]
        # Out of its bounds, a service is scaled at once.
        new = count
        if wishes and target.min_capacity <= count <= target.max_capacity:
            new = _scaled.setdefault(target.resource_id, Scaled()).change(count, wishes, now)
        new = min(max(new, target.min_capacity), target.max_capacity)
        if new != count:
            ecs._update_service({"cluster": cluster, "service": name, "desiredCount": new})
            message = f"Set desired count to {new}: a target tracking policy of {count} tasks"
            tell(service, message)


def _values(
    policy: dict[str, Any], cluster: str, name: str, minutes: Minutes
) -> Iterator[float | None]:
    """Yield the policy's metric for each of the last minutes, the newest first."""
    stated = policy.get("PredefinedMetricSpecification", {})
    kind = stated.get("PredefinedMetricType", "")
    for minute in range(_IN_MINUTES):
        if kind == "ALBRequestCountPerTarget":
            yield _requests_per_target(stated["ResourceLabel"], minute, minutes)
        elif kind.startswith("ECSServiceAverage"):
            dimensions = {"ClusterName": cluster, "ServiceName": name}
            metric = _metric("AWS/ECS", kind.removeprefix("ECSServiceAverage"), dimensions)
            yield alarms.statistic({**metric, "Stat": "Average"}, minute, minutes)
        else:
            yield None


def _requests_per_target(label: str, number: int, minutes: Minutes) -> float | None:
    balancer, _, group = label.partition("/targetgroup/")
    dimensions = {"LoadBalancer": balancer, "TargetGroup": f"targetgroup/{group}"}
    requests, hosts = (
        alarms.statistic(
            {**_metric("AWS/ApplicationELB", name, dimensions), "Stat": stat}, number, minutes
        )
        for name, stat in (("RequestCount", "Sum"), ("HealthyHostCount", "Average"))
    )
    return None if requests is None or not hosts else requests / hosts


def _metric(namespace: str, name: str, dimensions: dict[str, str]) -> dict[str, Any]:
    named = [{"Name": key, "Value": value} for key, value in dimensions.items()]
    metric = {"Namespace": namespace, "MetricName": name, "Dimensions": named}
    return {"Metric": metric, "Period": 60}
