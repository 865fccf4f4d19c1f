"""Deployments to emulated AWS accounts, each for all tests that only look at it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from engine import Images, run
from stack import AUTHORISED, Answer, send
from zama_ops.account import Account, Profile, temporary_account

# One task serves more than a test sends.
UNLIMITED = {"rate": 100000, "burst": 100000}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test of this folder: all need Terraform; those with an account an engine too."""
    for item in items:
        if item.path.is_relative_to(Path(__file__).parent):
            item.add_marker(pytest.mark.needs("terraform"))
            if "account" in getattr(item, "fixturenames", ()):
                item.add_marker(pytest.mark.needs("docker"))
            item.add_marker(pytest.mark.timeout(600))


@dataclass
class Deployment:
    """The service, applied to an account."""

    account: Account
    profile: Profile
    variables: dict[str, Any]
    log: str = ""

    def apply(self, **variables: object) -> None:
        """Apply with these variables from now on.

        Raises:
            AccountError: `apply` failed.

        """
        self.variables |= variables
        self.log = self.account.apply(self.profile, **self.variables)

    def outputs(self) -> dict[str, Any]:
        """Return Terraform's outputs."""
        return self.account.outputs()

    @property
    def host(self) -> dict[str, str]:
        """The header by which the load balancer is called by its own name."""
        return {"Host": self.outputs()["alb_dns_name"]}

    @property
    def url(self) -> str:
        """Where the emulator's load balancers listen."""
        return f"http://127.0.0.1:{self.account.port}"

    def call(self, method: str, path: str, body: bytes | None = None, **headers: str) -> Answer:
        """Send one request through the load balancer."""
        return send(self.url, method, path, {**self.host, **headers}, body)

    def task_definition(self) -> dict[str, Any]:
        """Return what the service runs."""
        outputs = self.outputs()
        ecs = self.account.client("ecs")
        (service,) = ecs.describe_services(
            cluster=outputs["cluster_name"], services=[outputs["service_name"]]
        )["services"]
        answer = ecs.describe_task_definition(taskDefinition=service["taskDefinition"])
        definition: dict[str, Any] = answer["taskDefinition"]
        return definition


def deploy(profile: Profile) -> Iterator[Deployment]:
    """Apply a profile to an account of its own, which ends with the fixture."""
    with temporary_account() as account:
        account.bootstrap()
        deployment = Deployment(account, profile, {"rate_limit": UNLIMITED})
        deployment.apply(image_tag=account.push())
        yield deployment


@pytest.fixture(scope="session")
def minimal(images: Images) -> Iterator[Deployment]:
    """Apply the minimal profile."""
    del images
    yield from deploy("minimal")
