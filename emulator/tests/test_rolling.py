"""Alarms of rolling deployments."""

from typing import Any

import pytest
from ministack.core.responses import request_scope
from world import World, shared

from zama_emulator import ACCOUNT, REGION, rolling


class Service:
    """A rolling service that wants no tasks, with an alarm."""

    def __init__(self, world: World, name: str) -> None:
        self.world, self.name = world, name
        self._alarm = world.create_alarm(name)
        alarms = {"alarmNames": [self._alarm], "enable": True, "rollback": True}
        given = {"serviceName": name, "deploymentConfiguration": {"alarms": alarms}}
        world.account.call("ecs", "CreateService", {**world.service, **given})

    def alarm(self, state: str) -> None:
        self.world.set_alarm(self._alarm, state)

    def deploy(self) -> str:
        """Deploy a new revision of the task definition, and return its ARN."""
        found = self.world.account.call(
            "ecs", "DescribeTaskDefinition", {"taskDefinition": self.world.definition}
        )["taskDefinition"]
        names = ("family", "cpu", "memory", "networkMode", "requiresCompatibilities",
                 "containerDefinitions", "executionRoleArn")  # fmt: skip
        given = {name: found[name] for name in names if name in found}
        new = self.world.account.call("ecs", "RegisterTaskDefinition", given)["taskDefinition"]
        arn: str = new["taskDefinitionArn"]
        change = {"cluster": "used", "service": self.name, "taskDefinition": arn}
        self.world.account.call("ecs", "UpdateService", change)
        return arn

    def described(self) -> Any:
        with request_scope(ACCOUNT, REGION):
            rolling.watch()
        given = {"cluster": "used", "services": [self.name]}
        return self.world.account.call("ecs", "DescribeServices", given)["services"][0]


@pytest.fixture(scope="module")
def world() -> World:
    return shared()


def test_an_alarm_after_a_rollout_brings_the_previous_version_back(world: World) -> None:
    """The service's events name the alarm."""
    service = Service(world, "alarmed-rollout")
    new = service.deploy()
    assert service.described()["taskDefinition"] == new
    service.alarm("ALARM")
    described = service.described()
    assert described["taskDefinition"] == world.definition
    assert any("bad-alarmed-rollout" in one["message"] for one in described["events"])


def test_an_alarm_that_was_active_before_is_ignored(world: World) -> None:
    """Otherwise no version could be the cure."""
    service = Service(world, "cured-rollout")
    service.alarm("ALARM")
    new = service.deploy()
    assert service.described()["taskDefinition"] == new


def test_a_first_deployment_is_not_rolled_back(world: World) -> None:
    """There is no previous version."""
    service = Service(world, "first-rollout")
    service.alarm("ALARM")
    assert service.described()["taskDefinition"] == world.definition
