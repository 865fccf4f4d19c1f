"""The service, deployed to an emulated AWS account."""

import contextlib
import json
import re
import socket
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, Self

import pytest
from typer.testing import CliRunner

from stack import AUTHORISED, send
from zama_ops.aws import session
from zama_ops.callers import Callers, Outcome
from zama_ops.cli import app
from zama_ops.contract_checks import SUM
from zama_ops.emulated_account import EmulatedAccount
from zama_ops.http_client import Answer, HttpClient
from zama_ops.programs import run
from zama_ops.terraform import Profile

# The tests under load do not test the limit of one client.
UNLIMITED: dict[str, object] = {
    "rate_limit": {"rate": 100000, "burst": 100000},
    # With a fast clock, a start of tasks is minutes of load.
    "autoscaling": {"max_count": 3, "cpu_percent": 90, "requests_per_minute": 60000},
}

# Resource type to the attributes that an emulator returns differently from AWS.
_GAPS: Final = {
    # Moto does not store the description of a rule that names a group or a prefix list.
    "aws_vpc_security_group_egress_rule": {"description"},
    "aws_vpc_security_group_ingress_rule": {"description"},
    # MiniStack does not store regions.
    "aws_route53_health_check": {"regions"},
}

on_production: Final = pytest.mark.parametrize("deployment", ["production"], indirect=True)
"""Marks a test of a feature that only the production profile has."""


def zama(
    account: EmulatedAccount, *words: str, given: str = "", **environ: str
) -> subprocess.CompletedProcess[str]:
    """Run a short `zama` command on an account, with `given` on standard input.

    It runs in this process: as a program, most of its time would be the start.
    """
    # The session remembers the credentials of the first client.
    session.cache_clear()
    done = CliRunner().invoke(
        app, words, given, env={**account.environ(), **environ}, catch_exceptions=False
    )
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr)


def load(deployment: "Deployment", rate: float, **headers: str) -> Callers:
    """Call the service through its load balancer, with additional or other headers."""
    url = deployment.outputs["url"]
    given = {**AUTHORISED, **{name.replace("_", "-"): value for name, value in headers.items()}}
    return Callers(HttpClient(url, given, deployment.address, timeout=15), rate)


def planned_changes(plan: str) -> dict[str, set[str]]:
    """Return the attributes that a plan changes, by resource, except for the emulator's gaps.

    The plan may neither add nor destroy a resource.
    """
    assert "No changes." in plan or (" 0 to add, " in plan and " 0 to destroy." in plan), plan
    _, *changes = re.split(
        r"^  # (?=\S)", plan.partition("perform the following actions:")[2], flags=re.MULTILINE
    )
    found = {}
    for change in changes:
        address = change.split()[0]
        lines = change.partition("\nPlan:")[0]
        changed = set(re.findall(r"^ +[-+~] (\w+) +(?:=|\{)", lines, re.MULTILINE))
        if beyond := changed - _GAPS.get(address.partition(".")[0], set()):
            found[address] = beyond
    return found


def who_failed(outcome: Outcome) -> str:
    """Return who failed a lost request, and how."""
    if outcome.answer is None:
        return f"load balancer: {outcome.error}"
    who = "service" if "x-request-id" in outcome.answer.headers else "load balancer"
    return f"{who}: {outcome.answer.status}"


@dataclass
class Deployment:
    """A profile in a separate account."""

    account: EmulatedAccount
    profile: Profile
    variables: dict[str, object] = field(default_factory=lambda: dict(UNLIMITED))
    outputs: dict[str, Any] = field(default_factory=dict)
    printed: str = ""
    _second_plan: str = ""

    def first_apply(self) -> Self:
        """Apply the service, and wait until it answers."""
        self.apply(image_tag=self.account.push())
        self.account.wait_until_served(self.outputs["url"])
        return self

    def apply(self, **variables: object) -> None:
        """Apply with these variables, and keep them for later calls."""
        self.variables |= variables
        self._second_plan = ""
        self.printed += self.account.apply(self.profile, **self.variables)
        self.outputs = self.account.outputs()

    @contextlib.contextmanager
    def fast(self, speed: float) -> Iterator[None]:
        """Let more minutes of AWS pass in a minute during the block."""
        before = json.loads(send(self.url, path="/_zama/clock").body)["speed"]
        self.set_speed(speed)
        try:
            yield
        finally:
            self.set_speed(before)

    def set_speed(self, speed: float) -> None:
        """Let `speed` minutes of AWS pass in a minute."""
        body = json.dumps({"speed": speed}).encode()
        answer = send(self.url, "POST", "/_zama/clock", {}, body)
        assert answer.status == 200, answer.body

    def publish(self, tag: str, operations: str = "", **api: str) -> None:
        """Push images with this tag.

        `api` has changed Dockerfile instructions for the API's, and `operations` another source of
        its operations.
        """
        urls = {name: self.outputs[f"ecr_{name}_repo_url"] for name in ("api", "nginx")}
        for name, url in urls.items():
            run("docker", "tag", f"zama-{name}:local", f"{url}:{tag}")
        if api or operations:
            changes = [
                word for key, value in api.items() for word in ("--change", f"{key} {value}")
            ]
            container = run("docker", "create", "zama-api:local").strip()
            if operations:
                source = self.account.directory / "operations.py"
                source.write_text(operations)
                source.chmod(0o644)
                run("docker", "cp", str(source), f"{container}:/app/zama_api/operations.py")
            run("docker", "commit", *changes, container, f"{urls['api']}:{tag}")
            run("docker", "rm", container)

    def plan(self) -> str:
        """Plan the applied variables again; once for each apply."""
        self._second_plan = self._second_plan or self.account.plan(self.profile, **self.variables)
        return self._second_plan

    @property
    def url(self) -> str:
        """The emulator's address for requests to its load balancers."""
        return f"http://127.0.0.1:{self.account.port}"

    @property
    def address(self) -> str:
        """HOST:PORT for CONNECT_TO, because only AWS's DNS can resolve the service's name."""
        return self.account.address(self.outputs["url"])

    @property
    def host(self) -> dict[str, str]:
        """The Host header with the load balancer's name, as DNS would select it."""
        return {"Host": self.outputs["alb_dns_name"]}

    def get(self, path: str) -> Answer:
        return send(self.url, path=path, headers=self.host)

    def sum(self, **headers: str) -> Answer:
        """Request 2 + 40 through the load balancer, with additional or other headers."""
        given = {name.replace("_", "-"): value for name, value in headers.items()}
        return send(self.url, "POST", "/sum", {**AUTHORISED, **self.host, **given}, SUM)

    def service(self) -> Any:
        cluster, name = self.outputs["cluster_name"], self.outputs["service_name"]
        ecs = self.account.client("ecs")
        return ecs.describe_services(cluster=cluster, services=[name])["services"][0]

    def tasks(self) -> Any:
        """Return ECS's description of the service's running tasks."""
        cluster = self.outputs["cluster_name"]
        ecs = self.account.client("ecs")
        arns = ecs.list_tasks(cluster=cluster, desiredStatus="RUNNING")["taskArns"]
        return ecs.describe_tasks(cluster=cluster, tasks=arns)["tasks"]

    def containers(self) -> list[str]:
        """Return the ids of all containers that this account's tasks left on this machine."""
        label = f"label=ministack.instance={socket.gethostname()}:{self.account.port}"
        return run("docker", "ps", "--all", "--quiet", "--filter", label).split()

    def log(self) -> str:
        """Return the content of the service's log group, stream by stream.

        MiniStack returns only the oldest 10,000 events of a query, without further pages.
        """
        logs = self.account.client("logs")
        group = {"logGroupName": self.outputs["log_group_name"]}
        pages = logs.get_paginator("describe_log_streams").paginate(**group)
        streams = [one["logStreamName"] for page in pages for one in page["logStreams"]]
        return "\n".join(
            event["message"]
            for stream in streams
            for event in logs.filter_log_events(**group, logStreamNames=[stream])["events"]
        )

    def log_lines(self) -> list[dict[str, Any]]:
        """Return the lines of the log group, except for nginx's own error log."""
        return [json.loads(line) for line in self.log().splitlines() if line.startswith("{")]
