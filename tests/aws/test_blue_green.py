"""CodeDeploy's canaries in the production profile: real tasks, a real proxy, callers."""

import json
import time
from collections import Counter
from typing import Any, Final

import pytest

from deployment import Deployment, load, on_production, who_failed
from stack import KEY, Report, zama
from zama_ops.ecs_service import shift
from zama_ops.errors import CommandError
from zama_ops.paths import ROOT
from zama_ops.programs import wait_until

pytestmark = on_production

REQUESTS_PER_SECOND: Final = 20

GOOD: Final = "return Sum(addends.a + addends.b)"
# The image's bytecode is not compared with its source, unless asked.
CHANGED: Final = ["python3", "--check-hash-based-pycs", "always", "-m", "zama_api"]
BAD: Final = 'raise RuntimeError("a bad release")'


class CodeDeploy:
    """CodeDeploy, for a deployment."""

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment
        self._ecs = deployment.account.client("ecs")
        self._client = deployment.account.client("codedeploy")

    def release(self, tag: str) -> str:
        """Deploy the running task definition with another version of the API."""
        return str(self._client.create_deployment(**self.request(tag))["deploymentId"])

    def request(self, tag: str) -> dict[str, Any]:
        """Return the request that deploys another version of the API."""
        running = self.deployment.service()["taskDefinition"]
        found = self._ecs.describe_task_definition(taskDefinition=running)["taskDefinition"]
        kept = ("family", "cpu", "memory", "networkMode", "requiresCompatibilities",
                "executionRoleArn", "taskRoleArn", "runtimePlatform")  # fmt: skip
        containers = found["containerDefinitions"]
        api = next(one for one in containers if one["name"] == "api")
        api["image"] = f"{api['image'].rpartition(':')[0]}:{tag}"
        new = self._ecs.register_task_definition(
            **{name: found[name] for name in kept if name in found},
            containerDefinitions=containers,
        )["taskDefinition"]["taskDefinitionArn"]
        given: dict[str, Any] = json.loads(self.deployment.outputs["codedeploy_deployment"])
        content = given["revision"]["appSpecContent"]
        spec = json.loads(content["content"])
        spec["Resources"][0]["TargetService"]["Properties"]["TaskDefinition"] = new
        content["content"] = json.dumps(spec)
        content.pop("sha256", None)
        return given

    def wait(self, identity: str, status: str) -> Any:
        """Wait until a deployment has ended like this, without a test; return its description."""

        def ended() -> bool:
            state = self.info(identity)["status"]
            if state == "Ready":
                self._client.continue_deployment(
                    deploymentId=identity, deploymentWaitType="READY_WAIT"
                )
            return state in {"Succeeded", "Failed", "Stopped"}

        wait_until(ended, f"the deployment {identity} ends", seconds=240)
        info = self.info(identity)
        assert info["status"] == status, info
        return info

    def info(self, identity: str) -> Any:
        return self._client.get_deployment(deploymentId=identity)["deploymentInfo"]

    def alarms(self) -> list[str]:
        """Return the names of the alarms that would stop a deployment."""
        cloudwatch = self.deployment.account.client("cloudwatch")
        names = [f"zama-challenge-{name}" for name in ("ServerErrors", "LoadBalancerErrors")]
        found = cloudwatch.describe_alarms(AlarmNames=names, StateValue="ALARM")
        return [one["AlarmName"] for one in found["MetricAlarms"]]

    def version(self) -> str:
        """Return the version of the task definition that serves."""
        (primary,) = self.deployment.service()["taskSets"]
        found = self._ecs.describe_task_definition(taskDefinition=primary["taskDefinition"])
        containers = found["taskDefinition"]["containerDefinitions"]
        image: str = next(one["image"] for one in containers if one["name"] == "api")
        return image.rpartition(":")[2]


@pytest.fixture
def codedeploy(deployment: Deployment) -> CodeDeploy:
    return CodeDeploy(deployment)


@pytest.fixture(scope="module")
def bad(production: Deployment) -> str:
    """Publish a version that is ready, and that fails every sum; return its tag."""
    source = (ROOT / "services/api/src/zama_api/operations.py").read_text()
    assert GOOD in source
    production.publish(
        "bad0001", operations=source.replace(GOOD, BAD), ENTRYPOINT=json.dumps(CHANGED)
    )
    return "bad0001"


def test_a_key_is_rotated_without_a_lost_request(deployment: Deployment, report: Report) -> None:
    """`zama keys rotate` ends when CodeDeploy's deployment has succeeded, and the new key works."""
    address = deployment.address
    with deployment.fast(60), load(deployment, REQUESTS_PER_SECOND) as calls:
        began = time.time()
        environ = {**deployment.account.environ(), "CONNECT_TO": address}
        done = zama("keys", "rotate", "default", "--keep", **environ)
        seconds = time.time() - began
    assert done.returncode == 0, done.stderr
    failed = Counter(who_failed(outcome) for outcome in calls.lost())
    report(
        f"key rotation by CodeDeploy: {len(calls.outcomes)} requests, lost {dict(failed)},"
        f" {seconds:.0f} s"
    )
    assert failed == {}


def test_a_good_release_loses_no_request(codedeploy: CodeDeploy, report: Report) -> None:
    """A tenth of the traffic, then all of it, and then the old tasks stop."""
    codedeploy.deployment.publish("good001")
    with codedeploy.deployment.fast(60), load(codedeploy.deployment, REQUESTS_PER_SECOND) as calls:
        codedeploy.wait(codedeploy.release("good001"), "Succeeded")
    failed = Counter(who_failed(outcome) for outcome in calls.lost())
    report(f"canary, good release: {len(calls.outcomes)} requests, lost {dict(failed)}")
    assert codedeploy.version() == "good001"
    assert failed == {}


def test_a_release_that_fails_its_test_reaches_no_caller(
    codedeploy: CodeDeploy, bad: str, monkeypatch: pytest.MonkeyPatch, report: Report
) -> None:
    """The new tasks are tested on the test listener, before the canary."""
    good = codedeploy.version()
    account = codedeploy.deployment.account
    for name, value in {**account.environ(), "API_KEY": KEY}.items():
        monkeypatch.setenv(name, value)
    with load(codedeploy.deployment, REQUESTS_PER_SECOND) as calls:
        with pytest.raises(CommandError, match=r"No caller has reached .*: POST /sum: the sum: "):
            shift(codedeploy.request(bad), codedeploy.deployment.address)
        # CodeDeploy's own rollback has ended, so that another deployment can begin.
        assert len(codedeploy.deployment.service()["taskSets"]) == 1
    report(f"canary, failed test: {len(calls.outcomes)} requests, lost {len(calls.lost())}")
    assert codedeploy.version() == good
    assert calls.lost() == []


def test_a_bad_release_is_rolled_back_by_its_alarm(
    codedeploy: CodeDeploy, bad: str, report: Report
) -> None:
    """At most the canary's share of the requests fails, and the rollback names its cause."""
    good = codedeploy.version()
    with codedeploy.deployment.fast(20), load(codedeploy.deployment, REQUESTS_PER_SECOND) as calls:
        began = time.time()
        info = codedeploy.wait(codedeploy.release(bad), "Stopped")
        seconds = time.time() - began
        codedeploy.wait(info["rollbackInfo"]["rollbackDeploymentId"], "Succeeded")
    assert info["errorInformation"]["code"] == "ALARM_ACTIVE"
    # The next deployment needs the alarm's end.
    wait_until(lambda: not codedeploy.alarms(), "the alarm clears", seconds=90)
    failed = Counter(who_failed(outcome) for outcome in calls.lost())
    report(
        f"canary, bad release: {len(calls.outcomes)} requests, lost {dict(failed)}, rolled back"
        f" after {seconds:.0f} s"
    )
    assert codedeploy.version() == good
    assert {*failed} == {"service: 500"}
    assert failed["service: 500"] < 0.2 * len(calls.outcomes)
