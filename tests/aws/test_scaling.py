"""The number of tasks follows the load."""

from typing import Any, Final

from deployment import Deployment
from stack import AUTHORISED, Report, constant_load
from zama_ops.programs import wait_until

# Per second, which is a minute of AWS: 40 requests, and the probe's 6.
_SPEED: Final = 60
_REQUESTS_PER_SECOND: Final = 40
_TARGET: Final = 8.0


def _policies(deployment: Deployment) -> list[dict[str, Any]]:
    scaling = deployment.account.client("application-autoscaling")
    found = scaling.describe_scaling_policies(ServiceNamespace="ecs")["ScalingPolicies"]
    kept = ("PolicyName", "PolicyType", "ServiceNamespace", "ResourceId", "ScalableDimension",
            "TargetTrackingScalingPolicyConfiguration")  # fmt: skip
    return [{name: one[name] for name in kept} for one in found]


def test_tasks_are_added_under_load_and_removed_after_it(
    minimal: Deployment, report: Report
) -> None:
    """The policy on requests scales out within minutes, and in after its cool-down."""
    scaling = minimal.account.client("application-autoscaling")
    before = _policies(minimal)
    (policy,) = (one for one in before if one["PolicyName"].endswith("-requests"))
    kept = policy["TargetTrackingScalingPolicyConfiguration"]
    low = {**kept, "TargetValue": _TARGET}
    wanted = int(minimal.service()["desiredCount"])
    counts = [wanted]

    def count() -> int:
        counts.append(int(minimal.service()["desiredCount"]))
        return counts[-1]

    target = {
        name: policy[name] for name in ("ServiceNamespace", "ResourceId", "ScalableDimension")
    }
    (bounds,) = scaling.describe_scalable_targets(ServiceNamespace="ecs")["ScalableTargets"]
    scaling.register_scalable_target(**target, MaxCapacity=wanted + 1)
    scaling.put_scaling_policy(**{**policy, "TargetTrackingScalingPolicyConfiguration": low})
    try:
        with minimal.fast(_SPEED):
            headers = {**AUTHORISED, **minimal.host}
            with constant_load(minimal.url, _REQUESTS_PER_SECOND, headers) as calls:
                wait_until(lambda: count() > wanted, "tasks are added", seconds=90)
            wait_until(lambda: count() == wanted, "tasks are removed", seconds=180)
    finally:
        scaling.put_scaling_policy(**policy)
        scaling.register_scalable_target(**target, MaxCapacity=bounds["MaxCapacity"])
    wait_until(lambda: minimal.service()["runningCount"] == wanted, "they stop", seconds=90)
    report(f"scaling: {len(calls.outcomes)} requests, {wanted} to {max(counts)} tasks and back")
    assert calls.lost() == []
