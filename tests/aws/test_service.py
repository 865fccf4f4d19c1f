"""The running service, seen from outside and in its logs."""

import contextlib
import http.client
import ssl
from typing import Any

from deployment import Deployment, on_production, zama
from stack import KEY, read
from zama_ops.programs import run, wait_until


def test_the_printed_curl_works(deployment: Deployment) -> None:
    """The command that `make aws-local` prints returns the sum."""
    command = deployment.account.curl(deployment.outputs["url"])
    assert run("sh", "-c", command) == '{"sum":42}'


def test_the_deployment_follows_the_contract(deployment: Deployment) -> None:
    """`zama smoke` passes through the load balancer, over HTTP or HTTPS."""
    url, port = deployment.outputs["url"], deployment.account.port
    https = url.startswith("https:")
    connect_to = f"127.0.0.1:{port + 1 if https else port}"
    options = ["--connect-to", connect_to, *(["--insecure"] if https else [])]
    done = zama(deployment.account, "smoke", url, *options, API_KEY=KEY)
    assert done.returncode == 0, done.stdout + done.stderr


@on_production
def test_the_load_balancer_terminates_https(deployment: Deployment) -> None:
    """Plain HTTP is redirected, and HTTPS responses carry HSTS."""
    redirect = deployment.get("/sum")
    assert redirect.status == 301
    assert redirect.headers["location"].startswith("https://")
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    port = deployment.account.port + 1
    connection = http.client.HTTPSConnection("127.0.0.1", port, context=context)
    host = deployment.outputs["url"].removeprefix("https://")
    with contextlib.closing(connection):
        connection.request("GET", "/readyz", headers={"Host": host})
        answer = read(connection)
    assert answer.status == 200
    assert answer.headers["strict-transport-security"] == "max-age=63072000; includeSubDomains"


def test_both_containers_log_json_to_the_log_group(minimal: Deployment) -> None:
    """A request is in both logs under one id."""
    assert minimal.sum(X_Request_Id="find-me").status == 200
    wait_until(
        lambda: {line["service"] for line in found(minimal, "find-me")} == {"api", "nginx"},
        "the request is in both logs",
    )


def test_a_caller_cannot_claim_another_address(minimal: Deployment) -> None:
    """The log has the request's source address, not the address in the caller's header."""
    minimal.sum(X_Request_Id="who-am-i", X_Forwarded_For="192.0.2.1")
    wait_until(lambda: len(found(minimal, "who-am-i")) == 2, "the request is in both logs")
    (line,) = (line for line in found(minimal, "who-am-i") if line["service"] == "nginx")
    assert line["remote_addr"] not in {"", "192.0.2.1"}


def found(deployment: Deployment, request_id: str) -> list[dict[str, Any]]:
    return [line for line in deployment.log_lines() if line.get("request_id") == request_id]


def test_tasks_and_targets_are_healthy(deployment: Deployment) -> None:
    """Containers and targets pass their checks, and no task has failed."""
    # Each check has three tries, and the collector's are 30 s apart.
    wait_until(
        lambda: all(task["healthStatus"] == "HEALTHY" for task in deployment.tasks()),
        "tasks are healthy",
        seconds=240,
    )

    def is_complete() -> bool:
        service = deployment.service()
        # With CodeDeploy, a service has task sets instead of deployments.
        sets = [one["stabilityStatus"] for one in service.get("taskSets", [])]
        deployments = [(one["rolloutState"], one["failedTasks"]) for one in service["deployments"]]
        complete = sets == ["STEADY_STATE"] or deployments == [("COMPLETED", 0)]
        return complete and service["runningCount"] == service["desiredCount"]

    wait_until(is_complete, "the deployment is complete", seconds=240)
