"""`docker stop` and a rolling replacement behind a load balancer, under constant load."""

import csv
import io
import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from compose import ComposeStack, Project
from engine import inspect
from stack import UNLIMITED, Report, constant_load, send, status, with_defaults
from zama_ops.programs import free_port, run, wait_until

CONFIGURATION = Path(__file__).with_name("haproxy.cfg")
# Two health checks 5 s apart, after a check that was just missed.
UNHEALTHY_SECONDS = 12
GRACE_SECONDS = 30


def test_docker_stop_loses_no_request(stack: ComposeStack) -> None:
    """Both containers exit with 0 within the grace period, and every request is answered."""
    settings = {"DRAIN_SECONDS": "3", **UNLIMITED}
    api = stack.start_api(**settings)
    gateway = stack.start_gateway(api, **settings)
    stop = ["docker", "stop", "--time", str(GRACE_SECONDS)]
    with constant_load(gateway.url) as load:
        time.sleep(0.5)
        began = time.monotonic()
        with subprocess.Popen([*stop, gateway.id], stdout=subprocess.DEVNULL) as stopping:
            wait_until(
                lambda: send(gateway.url, path="/readyz").status == 503, "unready", seconds=2
            )
            time.sleep(1)
            load.stop()
            assert stopping.wait() == 0
        # As in ECS, the dependent container stops first.
        run(*stop, api.id)
        assert time.monotonic() - began < 2 * GRACE_SECONDS
    for container in (api, gateway):
        assert inspect(container.id)[0]["State"]["ExitCode"] == 0
    assert load.lost() == [], load.breakage()
    assert len(load.outcomes) > 100


class LoadBalancer:
    """HAProxy in front of two running pairs and their two replacements."""

    def __init__(self, targets: dict[str, Project]) -> None:
        port, self._statistics_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{port}"
        ports = {
            name.upper().replace("-", "_"): str(project.gateway_port)
            for name, project in targets.items()
        }
        settings = {"PORT": str(port), "STATISTICS_PORT": str(self._statistics_port), **ports}
        self.process = subprocess.Popen(
            ["haproxy", "-db", "-f", str(CONFIGURATION)], env={**os.environ, **settings}
        )

    def healthy(self) -> set[str]:
        """Return the names of the targets that receive requests."""
        page = send(f"http://127.0.0.1:{self._statistics_port}", path="/;csv").body.decode()
        rows = csv.DictReader(io.StringIO(page.removeprefix("# ")))
        return {
            row["svname"]
            for row in rows
            if row["pxname"] == "targets" and row["svname"] != "BACKEND" and row["status"] == "UP"
        }

    def wait_for(self, *targets: str) -> None:
        wait_until(lambda: self.healthy() == set(targets), f"healthy: {targets}", seconds=40)


@pytest.fixture
def targets() -> Iterator[dict[str, Project]]:
    settings = with_defaults({"DRAIN_SECONDS": str(UNHEALTHY_SECONDS), **UNLIMITED})
    targets = {name: Project(settings) for name in ("old-1", "old-2", "new-1", "new-2")}
    try:
        yield targets
    finally:
        for target in targets.values():
            target.down()


@pytest.fixture
def load_balancer(targets: dict[str, Project]) -> Iterator[LoadBalancer]:
    balancer = LoadBalancer(targets)
    try:
        wait_until(lambda: status(balancer.url, "/healthz"), "load balancer answers")
        yield balancer
    finally:
        balancer.process.terminate()
        balancer.process.wait(10)


@pytest.mark.needs("haproxy")
@pytest.mark.timeout(400)
@pytest.mark.usefixtures("images")
def test_a_rolling_replacement_loses_no_request(
    targets: dict[str, Project], load_balancer: LoadBalancer, report: Report
) -> None:
    """Two tasks are replaced in turn; each stops after its replacement is healthy."""
    targets["old-1"].start()
    targets["old-2"].start()
    load_balancer.wait_for("old-1", "old-2")
    with constant_load(load_balancer.url) as load:
        targets["new-1"].start()
        load_balancer.wait_for("old-1", "old-2", "new-1")
        targets["old-1"].stop()
        load_balancer.wait_for("old-2", "new-1")
        targets["new-2"].start()
        load_balancer.wait_for("old-2", "new-1", "new-2")
        targets["old-2"].stop()
        load_balancer.wait_for("new-1", "new-2")
        time.sleep(1)
    report(f"rolling replacement: {len(load.outcomes)} requests, {len(load.lost())} lost")
    assert load.lost() == [], load.breakage()
    assert len(load.outcomes) > 5000
