"""CodeDeploy shifts the traffic between task sets, and back."""

import itertools
import json
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from botocore.exceptions import ClientError
from ministack.core.responses import request_scope
from ministack.services import alb
from world import World, shared

from zama_emulator import ACCOUNT, REGION, codedeploy
from zama_emulator.clock import clock

_ports = itertools.count(1000)
CANARY = "CodeDeployDefault.ECSCanary10Percent5Minutes"


@pytest.fixture(scope="module")
def world() -> World:
    return shared()


@pytest.fixture
def _fast() -> Iterator[None]:
    before = clock.speed
    clock.set(600)
    yield
    clock.set(before)


class Group:
    """A deployment group with an own service, which wants no tasks."""

    def __init__(self, world: World, name: str, **changes: Any) -> None:
        self.world, self.names = world, {"applicationName": "used", "deploymentGroupName": name}
        world.account.call(
            "ecs",
            "CreateService",
            {**world.service, "serviceName": name, "deploymentController": {"type": "CODE_DEPLOY"}},
        )
        self._alarm = world.create_alarm(name)
        self._listener = self._listen()
        (pair,) = world.deployment_group["loadBalancerInfo"]["targetGroupPairInfoList"]
        route = {"prodTrafficRoute": {"listenerArns": [self._listener]}}
        given = {
            **world.deployment_group,
            **self.names,
            "loadBalancerInfo": {"targetGroupPairInfoList": [{**pair, **route}]},
            "deploymentConfigName": CANARY,
            "ecsServices": [{"clusterName": "used", "serviceName": name}],
            "alarmConfiguration": {"enabled": True, "alarms": [{"name": self._alarm}]},
            "autoRollbackConfiguration": {
                "enabled": True,
                "events": ["DEPLOYMENT_FAILURE", "DEPLOYMENT_STOP_ON_ALARM"],
            },
            **changes,
        }
        world.account.call("codedeploy", "CreateDeploymentGroup", given)

    def _listen(self) -> str:
        """Return the ARN of a listener that only this group shifts."""
        given = {
            "LoadBalancerArn": self.world.balancer["LoadBalancerArn"],
            "Port": next(_ports),
            "Protocol": "HTTP",
            "DefaultActions": [{"Type": "forward", "TargetGroupArn": self.world.blue}],
        }
        created = self.world.account.call("elbv2", "CreateListener", given)
        return str(created["Listeners"][0]["ListenerArn"])

    def call(self, operation: str, **given: Any) -> Any:
        return self.world.account.call("codedeploy", operation, given)

    def deploy(self, override: dict[str, Any] | None = None, **content: Any) -> str:
        balancer = {"ContainerName": "api", "ContainerPort": 8080}
        properties = {"TaskDefinition": self.world.definition, "LoadBalancerInfo": balancer}
        target = {"TargetService": {"Type": "AWS::ECS::Service", "Properties": properties}}
        spec = json.dumps({"version": 0.0, "Resources": [target], **content})
        revision = {"revisionType": "AppSpecContent", "appSpecContent": {"content": spec}}
        alarms = {"overrideAlarmConfiguration": override} if override else {}
        given = {**self.names, "revision": revision, **alarms}
        return str(self.call("CreateDeployment", **given)["deploymentId"])

    def info(self, identity: str) -> Any:
        return self.call("GetDeployment", deploymentId=identity)["deploymentInfo"]

    def until(self, identity: str, *statuses: str) -> Any:
        return until(lambda: (found := self.info(identity))["status"] in statuses and found)

    def weights(self) -> dict[str, int]:
        with request_scope(ACCOUNT, REGION):
            (action,) = alb._listeners[self._listener]["DefaultActions"]
            return {
                alb._tgs[arn]["TargetGroupName"]: weight
                for arn, weight in action.get("Weights", {}).items()
            }

    def alarm(self, state: str) -> None:
        self.world.set_alarm(self._alarm, state)

    def service(self) -> Any:
        given = {"cluster": "used", "services": [self.names["deploymentGroupName"]]}
        return self.world.account.call("ecs", "DescribeServices", given)["services"][0]


def until(done: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + 60
    while not (found := done()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return found


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        ("CodeDeployDefault.ECSAllAtOnce", [(0, 100)]),
        (CANARY, [(0, 10), (5, 100)]),
        (
            "CodeDeployDefault.ECSLinear10PercentEvery3Minutes",
            [(3 * number, 10 + 10 * number) for number in range(10)],
        ),
    ],
)
def test_a_configuration_says_when_how_much_traffic_moves(
    name: str, steps: list[tuple[float, int]]
) -> None:
    """The steps of AWS's own configurations: minutes since the first, and percentage."""
    assert list(codedeploy.shifts(name)) == steps


def test_a_service_of_codedeploy_has_task_sets_and_no_deployments(world: World) -> None:
    """As on AWS, where `deployments` is for rolling deployments only."""
    service = Group(world, "described").service()
    assert service["deployments"] == []
    assert [one["status"] for one in service["taskSets"]] == ["PRIMARY"]


def test_a_canary_gets_a_tenth_then_all_of_the_traffic(world: World) -> None:
    """The old task set stays until its termination wait is over."""
    group = Group(world, "canary")
    identity = group.deploy()
    until(lambda: group.weights() == {"blue": 90, "green": 10})
    with pytest.raises(ClientError, match="one deployment in progress"):
        group.deploy()
    assert len(group.service()["taskSets"]) == 2
    clock.set(600)
    group.until(identity, "Succeeded")
    clock.set(1)
    assert group.weights() == {"blue": 0, "green": 100}
    (primary,) = group.service()["taskSets"]
    assert primary["externalId"] == identity
    target = group.call("ListDeploymentTargets", deploymentId=identity)["targetIds"][0]
    found = group.call("GetDeploymentTarget", deploymentId=identity, targetId=target)
    events = found["deploymentTarget"]["ecsTarget"]["lifecycleEvents"]
    assert {one["status"] for one in events} == {"Succeeded"}


def test_an_alarm_rolls_the_canary_back(world: World) -> None:
    """The rollback is a second deployment; each names the other."""
    group = Group(world, "alarmed")
    first = group.service()["taskSets"][0]["id"]
    identity = group.deploy()
    until(lambda: 10 in group.weights().values())
    group.alarm("ALARM")
    ended = group.until(identity, "Stopped")
    assert ended["errorInformation"]["code"] == "ALARM_ACTIVE"
    back = group.until(ended["rollbackInfo"]["rollbackDeploymentId"], "Succeeded")
    assert back["creator"] == "codeDeployRollback"
    assert back["rollbackInfo"]["rollbackTriggeringDeploymentId"] == identity
    assert sorted(group.weights().values()) == [0, 100]
    assert [one["id"] for one in group.service()["taskSets"]] == [first]


@pytest.mark.usefixtures("_fast")
def test_a_deployment_can_ignore_its_alarms(world: World) -> None:
    """Otherwise an alarm that fires already would stop the deployment that ends the fault."""
    group = Group(world, "despite-alarms")
    group.alarm("ALARM")
    assert group.until(group.deploy(), "Stopped")["errorInformation"]["code"] == "ALARM_ACTIVE"
    group.until(group.deploy({"enabled": False}), "Succeeded")


@pytest.mark.usefixtures("_fast")
@pytest.mark.parametrize("result", ["Succeeded", "Failed"])
def test_a_hook_decides_before_callers_are_affected(
    world: World, monkeypatch: pytest.MonkeyPatch, result: str
) -> None:
    """A hook reports its result for its execution; a failure ends the deployment."""
    group = Group(world, f"hook-{result}")
    before = group.weights()
    called = []

    def invoke(function: str, payload: dict[str, str]) -> None:
        called.append(function)
        assert group.weights() == before
        group.call(
            "PutLifecycleEventHookExecutionStatus",
            deploymentId=payload["DeploymentId"],
            lifecycleEventHookExecutionId=payload["LifecycleEventHookExecutionId"],
            status=result,
        )

    monkeypatch.setattr(codedeploy, "invoke", invoke)
    identity = group.deploy(Hooks=[{"AfterAllowTestTraffic": "smoke"}])
    info = group.until(identity, "Succeeded", "Failed")
    assert called == ["smoke"]
    assert info["status"] == result
    assert (info.get("rollbackInfo") is not None) == (result == "Failed")


@pytest.mark.parametrize("continued", [True, False])
def test_a_deployment_can_wait_before_callers_are_affected(
    world: World, *, continued: bool
) -> None:
    """Without ContinueDeployment, it stops after the wait."""
    ready = {"actionOnTimeout": "STOP_DEPLOYMENT", "waitTimeInMinutes": 5}
    configuration = world.deployment_group["blueGreenDeploymentConfiguration"]
    changed = {**configuration, "deploymentReadyOption": ready}
    group = Group(world, f"wait-{continued}", blueGreenDeploymentConfiguration=changed)
    before = group.weights()
    identity = group.deploy()
    group.until(identity, "Ready")
    assert group.weights() == before
    if continued:
        wait = {"deploymentId": identity, "deploymentWaitType": "READY_WAIT"}
        group.call("ContinueDeployment", **wait)
        until(lambda: group.weights() == {"blue": 90, "green": 10})
    clock.set(600)
    group.until(identity, "Succeeded" if continued else "Stopped")
    clock.set(1)
    assert (group.weights() == before) == (not continued)


@pytest.mark.parametrize("back", [True, False])
def test_a_stop_rolls_back_if_asked(world: World, *, back: bool) -> None:
    """Otherwise the traffic stays as it is."""
    group = Group(world, f"stop-{back}")
    identity = group.deploy()
    until(lambda: 10 in group.weights().values())
    group.call("StopDeployment", deploymentId=identity, autoRollbackEnabled=back)
    info = group.until(identity, "Stopped")
    assert ("rollbackDeploymentId" in info.get("rollbackInfo", {})) == back
    until(lambda: sorted(group.weights().values()) == ([0, 100] if back else [10, 90]))
    with pytest.raises(ClientError, match="DeploymentAlreadyCompletedException"):
        group.call("StopDeployment", deploymentId=identity)
