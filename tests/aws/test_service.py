"""The running service, seen from outside and from its logs."""

import contextlib
import http.client
import json
import ssl
import subprocess

import pytest

from deployment import Deployment
from stack import read, wait_until


@pytest.fixture(params=["minimal", "production"])
def deployment(request: pytest.FixtureRequest) -> Deployment:
    """Return each applied profile in turn."""
    applied: Deployment = request.getfixturevalue(request.param)
    return applied


def test_the_load_balancer_serves_under_its_own_name(minimal: Deployment) -> None:
    """Health, readiness, and the sum for who has the key."""
    assert minimal.get("/healthz").json()["version"] == minimal.variables["image_tag"]
    assert minimal.get("/readyz").json() == {"status": "ready"}
    assert minimal.sum().json() == {"sum": 42}
    assert minimal.sum({}).status == 200
    assert minimal.sum({"X-Api-Key": ""}).status == 401
    assert minimal.sum({"X-Api-Key": "wrong"}).status == 403
    assert minimal.get("/metrics").status == 404


def test_the_printed_curl_works(deployment: Deployment) -> None:
    """What `make aws-local` prints, pasted, gives the sum."""
    command = deployment.account.curl(deployment.outputs["url"])
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=True)
    assert done.stdout == '{"sum":42}'


def test_https_ends_at_the_load_balancer(production: Deployment) -> None:
    """Plain HTTP is redirected, and HTTPS answers carry HSTS."""
    redirect = production.get("/sum")
    assert redirect.status == 301
    assert redirect.headers["location"].startswith("https://")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = production.account.port + 1
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    host = production.outputs["url"].removeprefix("https://")
    with contextlib.closing(connection):
        connection.request("GET", "/readyz", headers={"Host": host})
        answer = read(connection)
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_both_containers_log_json_to_the_log_group(deployment: Deployment) -> None:
    """A request is in both logs, under one id."""
    if deployment.profile == "minimal":
        answer = deployment.sum({"X-Request-Id": "find-me-in-the-logs"})
        assert answer.status == 200

    def lines() -> list[dict[str, object]]:
        return [json.loads(line) for line in deployment.log_lines()]

    def seen() -> set[object]:
        return {line["service"] for line in lines() if line["request_id"] == "find-me-in-the-logs"}

    if deployment.profile == "minimal":
        wait_until(lambda: seen() == {"api", "nginx"}, "the request is in both logs")
    wait_until(
        lambda: {line["service"] for line in lines()} >= {"api", "nginx"}, "both containers log"
    )


def test_callers_are_told_apart_behind_the_load_balancer(minimal: Deployment) -> None:
    """The log has the caller's address, not the load balancer's, nor one that the caller claims."""
    minimal.sum({"X-Request-Id": "who-am-i", "X-Forwarded-For": "192.0.2.1"})

    def line() -> dict[str, object] | None:
        lines = [json.loads(one) for one in minimal.log_lines()]
        mine = [one for one in lines if one["request_id"] == "who-am-i"]
        return next((one for one in mine if one["service"] == "nginx"), None)

    wait_until(line, "the request is in the log")
    found = line()
    assert found
    assert found["remote_addr"] == "127.0.0.1"


def test_tasks_are_healthy_in_every_respect(deployment: Deployment) -> None:
    """Containers and targets pass their checks; nothing was started more often than needed."""
    wait_until(
        lambda: all(task["healthStatus"] == "HEALTHY" for task in deployment.tasks()),
        "tasks are healthy",
        seconds=60,
    )
    service = deployment.service()
    assert service["runningCount"] == service["desiredCount"]
    assert service["deployments"][0]["rolloutState"] == "COMPLETED"
    assert service["deployments"][0]["failedTasks"] == 0
