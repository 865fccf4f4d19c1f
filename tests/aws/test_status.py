"""`zama status` describes a running service."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from cloudwatch import CloudWatch
from deployment import Deployment, zama
from zama_ops.programs import wait_until


def _spend(deployment: Deployment, requests: float, failed: float) -> None:
    """Publish so many requests, and failed requests, that others do not matter."""
    (balancer,) = deployment.account.client("elbv2").describe_load_balancers()["LoadBalancers"]
    name = balancer["LoadBalancerArn"].partition("loadbalancer/")[2]
    counts = {"RequestCount": requests, "HTTPCode_Target_5XX_Count": failed}
    times = {"MetricName": "TargetResponseTime", "Values": [0.001], "Counts": [requests]}
    sent: list[dict[str, Any]] = [
        *({"MetricName": metric, "Value": value} for metric, value in counts.items()),
        times,
    ]
    deployment.account.client("cloudwatch").put_metric_data(
        Namespace="AWS/ApplicationELB",
        MetricData=[
            {
                **one,
                "Dimensions": [{"Name": "LoadBalancer", "Value": name}],
                # Days ago, so that no alarm includes it.
                "Timestamp": datetime.fromtimestamp(
                    datetime.now(UTC).timestamp() - 10 * 86400, UTC
                ),
            }
            for one in sent
        ],
    )


def _status(deployment: Deployment) -> tuple[int, dict[str, Any]]:
    # AWS_REGION alone, as in the README, is enough.
    done = zama(deployment.account, "status", "--json", AWS_DEFAULT_REGION="")
    return done.returncode, json.loads(done.stdout)


def test_a_running_service_is_described(deployment: Deployment) -> None:
    """It shows all parts of the service; a healthy one has no fault, a used-up budget is one."""
    _spend(deployment, 1e16, 0.25e13)
    # Alarms about the failures of other tests clear.
    CloudWatch(deployment).heal(1e5)
    wait_until(lambda: not _status(deployment)[1]["firing"], "no alarm fires", seconds=120)
    code, status = _status(deployment)
    assert status["url"] == deployment.outputs["url"]
    assert status["rollout"] == "COMPLETED"
    assert [task["state"] for task in status["tasks"]] == ["RUNNING"] * status["desired_count"]
    assert status["targets"]["healthy"] == status["desired_count"]
    assert sum(status["alarms"].values()) > 10
    assert status["budgets"]["availability"] == pytest.approx(0.75, abs=0.001)
    assert status["budgets"]["latency"] > 0.9
    assert [key["client"] for key in status["old_keys"]] == ["default"]
    assert (code, status["wrong"]) == (0, [])

    _spend(deployment, 1, 1e16)
    code, status = _status(deployment)
    assert (code, status["wrong"]) == (1, ["the availability budget is used up: docs/slo.md"])
    _spend(deployment, 1e20, 0)


def test_it_fits_on_one_screen(minimal: Deployment) -> None:
    """The output is short and names the next steps."""
    shown = zama(minimal.account, "status", COLUMNS="160").stdout
    assert len(shown.splitlines()) < 40
    for phrase in ("2 wanted", "RUNNING", "2 healthy", "left", "zama keys rotate default"):
        assert phrase in shown
