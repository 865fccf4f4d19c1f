"""Rollouts of good and broken versions under load."""

import json
from collections import Counter
from typing import Any, Final

import pytest

from deployment import Deployment, load, who_failed
from stack import Report
from zama_ops.errors import CommandError
from zama_ops.programs import wait_until

# The emulated load balancer is a Python program that shares this machine with the tests.
REQUESTS_PER_SECOND: Final = 20

# Live, so that the task starts, but never ready.
NEVER_READY: Final = """
from http.server import BaseHTTPRequestHandler, HTTPServer
class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/healthz" else 503)
        self.end_headers()
HTTPServer(("127.0.0.1", 8080), Handler).serve_forever()
"""


# The broken versions come first, so that the next test rolls out a good one after them.
@pytest.mark.parametrize(
    ("tag", "image"),
    [
        ("exits01", {"ENTRYPOINT": '["false"]'}),
        ("unready", {"ENTRYPOINT": json.dumps(["python3", "-c", NEVER_READY])}),
    ],
)
def test_a_broken_version_does_not_replace_the_running_one(
    minimal: Deployment, tag: str, image: dict[str, str], report: Report
) -> None:
    """A version that exits or is never ready is rolled back without a lost request."""
    good = minimal.get("/healthz").json()["version"]
    running = minimal.service()["taskDefinition"]
    minimal.publish(tag, **image)
    with load(minimal, REQUESTS_PER_SECOND) as calls:
        with pytest.raises(CommandError, match="The deployment was rolled back"):
            minimal.apply(image_tag=tag)
        assert minimal.service()["taskDefinition"] == running
    failed = Counter(who_failed(outcome) for outcome in calls.lost())
    report(f"broken version ({tag}): {len(calls.outcomes)} requests, lost {dict(failed)}")
    assert failed == {}
    assert minimal.get("/healthz").json()["version"] == good


def test_a_new_version_replaces_the_old_without_a_lost_request(
    minimal: Deployment, report: Report
) -> None:
    """`apply` with a new tag loses no request under load."""
    minimal.publish("new0001")
    old = set(minimal.containers())
    with load(minimal, REQUESTS_PER_SECOND) as calls:
        minimal.apply(image_tag="new0001")
        # Keep the load until the old tasks' containers have drained and stopped.
        wait_until(
            lambda: not old & set(minimal.containers()), "the old containers stop", seconds=90
        )
    failed = Counter(who_failed(outcome) for outcome in calls.lost())
    report(f"rollout on ECS: {len(calls.outcomes)} requests, lost {dict(failed)}")
    assert minimal.get("/healthz").json()["version"] == "new0001"
    assert old
    assert failed == {}
    assert len(calls.outcomes) > 10 * REQUESTS_PER_SECOND


def test_a_rollout_that_supersedes_another_loses_nothing(minimal: Deployment) -> None:
    """Each rollout starts while the previous one's tasks run but are not ready."""
    ecs = minimal.account.client("ecs")
    cluster, name = minimal.outputs["cluster_name"], minimal.outputs["service_name"]

    def newest() -> dict[str, Any]:
        deployments = minimal.service()["deployments"]
        return next(one for one in deployments if one["status"] == "PRIMARY")

    with load(minimal, REQUESTS_PER_SECOND) as calls:
        for _ in range(3):
            ecs.update_service(cluster=cluster, service=name, forceNewDeployment=True)
            wait_until(lambda: newest()["runningCount"] == 2, "its tasks run", seconds=60)
            assert newest()["rolloutState"] == "IN_PROGRESS"
        ecs.get_waiter("services_stable").wait(
            cluster=cluster, services=[name], WaiterConfig={"Delay": 2, "MaxAttempts": 60}
        )
    assert newest()["rolloutState"] == "COMPLETED"
    assert Counter(who_failed(outcome) for outcome in calls.lost()) == {}
