"""`zama status` describes a running service."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from deployment import Deployment, zama


@pytest.fixture
def _traffic(minimal: Deployment) -> None:
    """Use a quarter of a budget, with so many requests that others do not matter."""
    (balancer,) = minimal.account.client("elbv2").describe_load_balancers()["LoadBalancers"]
    name = balancer["LoadBalancerArn"].partition("loadbalancer/")[2]
    counts = {"RequestCount": 1e12, "HTTPCode_Target_5XX_Count": 0.25e9}
    minimal.account.client("cloudwatch").put_metric_data(
        Namespace="AWS/ApplicationELB",
        MetricData=[
            {
                "MetricName": metric,
                "Dimensions": [{"Name": "LoadBalancer", "Value": name}],
                "Value": value,
                # Days ago, so that no alarm includes it.
                "Timestamp": datetime.fromtimestamp(
                    datetime.now(UTC).timestamp() - 10 * 86400, UTC
                ),
            }
            for metric, value in counts.items()
        ],
    )


@pytest.mark.usefixtures("_traffic")
def test_a_running_service_is_described(minimal: Deployment) -> None:
    """It shows all parts of the service, and a fault sets the exit code."""
    # AWS_REGION alone, as in the README, is enough.
    done = zama(minimal.account, "status", "--json", AWS_DEFAULT_REGION="")
    status: dict[str, Any] = json.loads(done.stdout)
    assert status["url"] == minimal.outputs["url"]
    assert status["version"] == minimal.variables["image_tag"]
    assert status["rollout"] == "COMPLETED"
    assert [task["state"] for task in status["tasks"]] == ["RUNNING"] * status["desired_count"]
    assert status["targets"]["healthy"] == status["desired_count"]
    assert sum(status["alarms"].values()) > 10
    assert status["alarms"].get("ALARM", 0) >= len(status["firing"])
    assert status["budgets"]["availability"] == pytest.approx(0.75, abs=0.001)
    assert [key["client"] for key in status["old_keys"]] == ["default"]
    # An emulated load balancer publishes no metrics, and some alarms fire without them.
    assert status["wrong"] == [f"{name} is firing: docs/runbooks" for name in status["firing"]]
    assert done.returncode == bool(status["wrong"])


def test_it_fits_on_one_screen(minimal: Deployment) -> None:
    """The output is short and names the next steps."""
    shown = zama(minimal.account, "status", COLUMNS="160").stdout
    assert len(shown.splitlines()) < 40
    for phrase in ("2 wanted", "RUNNING", "2 healthy", "left", "zama keys rotate default"):
        assert phrase in shown
