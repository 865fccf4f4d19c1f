"""Ten minutes of an account pass without an alarm, and the number of tasks follows the load."""

import json
import re
import time
from typing import Any, Final

from deployment import Deployment, load, zama
from stack import Report
from zama_ops.programs import wait_until

# A minute of AWS is a second.
_SPEED: Final = 60
_REQUESTS_PER_SECOND: Final = 20
_TARGET: Final = 4.0
_ON_LATENCY: Final = re.compile("latency budget|Latency(Budget)?Burn|SlowResponses")


def test_ten_minutes_after_the_start_all_is_well(deployment: Deployment, report: Report) -> None:
    """With some requests, no alarm fires, both budgets are figures, and `zama status` exits 0.

    On a busy machine the responses are really late, which the budget and its alarms must show.
    """
    with deployment.fast(_SPEED), load(deployment, _REQUESTS_PER_SECOND) as calls:
        time.sleep(10 * 60 / _SPEED)
        wait_until(lambda: _status(deployment)["budgets"]["latency"] is not None, "a figure")
        done = zama(deployment.account, "status", "--json")
    status = json.loads(done.stdout)
    late = status["budgets"]["latency"] <= 0
    assert [one for one in status["wrong"] if not (late and _ON_LATENCY.search(one))] == []
    assert done.returncode == bool(status["wrong"])
    assert status["budgets"]["availability"] == 1
    assert calls.lost() == []
    report(f"ten minutes of {deployment.profile}: {len(calls.outcomes)} requests, no alarm")


def _status(deployment: Deployment) -> Any:
    return json.loads(zama(deployment.account, "status", "--json").stdout)


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
    (policy,) = (one for one in _policies(minimal) if one["PolicyName"].endswith("-requests"))
    kept = policy["TargetTrackingScalingPolicyConfiguration"]
    low = {**kept, "TargetValue": _TARGET}
    wanted = int(minimal.service()["desiredCount"])
    counts = [wanted]

    def count() -> int:
        counts.append(int(minimal.service()["desiredCount"]))
        return counts[-1]

    try:
        with minimal.fast(_SPEED):
            # The requests of earlier tests do not count.
            time.sleep(5 * 60 / _SPEED)
            scaling.put_scaling_policy(
                **{**policy, "TargetTrackingScalingPolicyConfiguration": low}
            )
            began = time.time()
            with load(minimal, _REQUESTS_PER_SECOND) as calls:
                wait_until(lambda: count() > wanted, "tasks are added", seconds=90)
                out = time.time()
                most = counts[-1]
                wait_until(
                    lambda: minimal.service()["runningCount"] == most, "they run", seconds=90
                )
                ended = time.time()
                # A minute without a request has no data, and changes nothing.
                calls.rate = 1
                wait_until(lambda: count() == wanted, "tasks are removed", seconds=240)
                into = time.time()
    finally:
        scaling.put_scaling_policy(**policy)
    wait_until(lambda: minimal.service()["runningCount"] == wanted, "they stop", seconds=90)
    report(
        f"scaling: {wanted} to {max(counts)} tasks {(out - began) * _SPEED / 60:.0f} minutes after"
        f" the load began, and back {(into - ended) * _SPEED / 60:.0f} minutes after it ended;"
        f" {len(calls.outcomes)} requests, lost {len(calls.lost())}"
    )
    assert calls.lost() == []
