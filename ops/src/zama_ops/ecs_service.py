"""The deployed service, found by its name_prefix, which is in the name of every resource."""

import functools
import json
import os
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from zama_ops.aws import client
from zama_ops.console import Status, notes
from zama_ops.container_images import IMAGES
from zama_ops.contract_checks import caller, faults_of
from zama_ops.errors import CommandError

# Enough for a rolling deployment of many tasks: each must become healthy and drain.
_ROLL_OUT_SECONDS: Final = 1800
_POLL_SECONDS: Final = 2
# Before a deployment with CodeDeploy has succeeded, stopping it is the fastest rollback: the old
# tasks still run.
# https://docs.aws.amazon.com/codedeploy/latest/APIReference/API_DeploymentInfo.html
_UNDER_WAY: Final = ["Created", "Queued", "InProgress", "Baking", "Ready"]
_OWN_ROLLBACK: Final = "codeDeployRollback"


class ShiftedBackError(CommandError):
    """CodeDeploy has shifted the traffic back to the tasks that served before."""


@dataclass(frozen=True)
class EcsService:
    """A deployment's service on ECS, in the account and region of the environment."""

    prefix: str

    def describe(self) -> Any:
        """Return ECS's description of the service."""
        with client("ecs") as ecs:
            try:
                response = ecs.describe_services(cluster=self.prefix, services=[self.prefix])
            except ecs.exceptions.ClusterNotFoundException:
                response = {"services": []}
        active = [one for one in response["services"] if one["status"] == "ACTIVE"]
        if not active:
            raise CommandError(
                f"There is no service {self.prefix} in this account and region. Check --prefix,"
                " AWS_REGION and the credentials."
            )
        return active[0]

    @property
    def uses_codedeploy(self) -> bool:
        """Whether CodeDeploy shifts its traffic."""
        return bool(self.describe().get("deploymentController", {}).get("type") == "CODE_DEPLOY")

    @property
    def _deployment_group(self) -> dict[str, str]:
        return {"applicationName": self.prefix, "deploymentGroupName": self.prefix}

    def running(self) -> str:
        """Return the ARN of the task definition that serves."""
        return _running(self.describe())

    @functools.cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """The containers in its task definition, by name."""
        return _containers(self.running())

    def images(self, task_definition: str | None = None) -> dict[str, str]:
        """Return the images of API and gateway, by default of the task definition that serves."""
        containers = _containers(task_definition or self.running())
        return {name: containers[name]["image"] for name in IMAGES}

    def parameter(self) -> str:
        """Return the name of the SSM parameter that holds the gateway's keys."""
        secrets = self.containers["nginx"]["secrets"]
        (arn,) = [one["valueFrom"] for one in secrets if one["name"] == "API_KEYS"]
        return str(re.sub(r"^arn:.*:parameter/?", "/", arn))

    @functools.cached_property
    def load_balancer(self) -> Any:
        """AWS's description of its load balancer."""
        with client("elbv2") as elbv2:
            return elbv2.describe_load_balancers(Names=[self.prefix])["LoadBalancers"][0]

    def url(self) -> str:
        """Return its public URL."""
        balancer = self.load_balancer
        with client("elbv2") as elbv2:
            listeners = elbv2.describe_listeners(LoadBalancerArn=balancer["LoadBalancerArn"])
        for listener in listeners["Listeners"]:
            if listener["Protocol"] == "HTTPS":
                (certificate,) = listener["Certificates"]
                with client("acm") as acm:
                    described = acm.describe_certificate(**certificate)["Certificate"]
                return f"https://{described['DomainName']}"
        return f"http://{balancer['DNSName']}"

    def roll_out(
        self, task_definition: str | None = None, *, connect_to: str | None = None
    ) -> None:
        """Replace all tasks, by default with the same version, and wait until that is done.

        New tasks read their secrets when they start. In a deployment with CodeDeploy, CodeDeploy
        shifts the traffic.
        """
        if self.uses_codedeploy:
            deployment = self.codedeploy_deployment(task_definition)
            shift({**deployment, **self._despite_alarms()}, connect_to)
            return
        chosen = {"taskDefinition": task_definition} if task_definition else {}
        with client("ecs") as ecs:
            begun = ecs.update_service(
                cluster=self.prefix, service=self.prefix, forceNewDeployment=True, **chosen
            )["service"]
        with notes.status("Replacing the tasks ...") as status:
            self._wait(primary(begun)["id"], status)

    def wait_for(self, definition: str) -> None:
        """Wait until ECS has completed the rollout of a task definition.

        `apply` waits only until the tasks are stable. The rollout ends after that, once its alarms
        have been watched as well, and until then ECS may roll it back.

        Raises:
            CommandError: ECS rolled it back, or its tasks run another task definition.

        """
        newest = primary(self.describe())
        if newest["taskDefinition"] != definition:
            reason = newest.get("rolloutStateReason") or "see the service's events"
            raise CommandError(f"The service runs {newest['taskDefinition']}: {reason}")
        with notes.status("Waiting for the end of the rollout ...") as status:
            self._wait(newest["id"], status)

    def undo(self) -> bool:
        """Undo the deployment that is under way, or follow AWS's own rollback; False: none is."""
        if self.uses_codedeploy:
            return _stop_shift(self._deployment_group)
        newest = primary(self.describe())
        reason = newest.get("rolloutStateReason", "")
        if "rolling back" not in reason or newest["rolloutState"] != "IN_PROGRESS":
            return False
        with notes.status("ECS is rolling back ...") as status:
            self._wait(newest["id"], status)
        return True

    def _wait(self, identity: str, status: Status) -> None:
        deadline = time.monotonic() + _ROLL_OUT_SECONDS
        while time.monotonic() < deadline:
            deployments = {one["id"]: one for one in self.describe()["deployments"]}
            ours = deployments.get(identity)
            if ours is None or ours.get("rolloutState") == "FAILED":
                reason = (ours or {}).get(
                    "rolloutStateReason", "a newer deployment replaced this one"
                )
                raise CommandError(f"The tasks were not replaced: {reason}")
            if len(deployments) == 1 and ours["rolloutState"] == "COMPLETED":
                return
            left = sum(one["runningCount"] for one in deployments.values()) - ours["runningCount"]
            status.update(
                f"Replacing the tasks: {ours['runningCount']} of {ours['desiredCount']} new tasks"
                f" running, {left} old tasks left ..."
            )
            time.sleep(_POLL_SECONDS)
        raise CommandError("The tasks were not replaced within 30 minutes; see `zama status`.")

    def codedeploy_deployment(self, task_definition: str | None = None) -> dict[str, Any]:
        """Return a CodeDeploy request like Terraform's output, by default for the same version."""
        service = self.describe()
        (balanced,) = service["loadBalancers"]
        network = _serving(service)["networkConfiguration"]["awsvpcConfiguration"]
        target = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": task_definition or _running(service),
                "LoadBalancerInfo": {
                    "ContainerName": balanced["containerName"],
                    "ContainerPort": balanced["containerPort"],
                },
                "NetworkConfiguration": {
                    "AwsvpcConfiguration": {
                        "Subnets": sorted(network["subnets"]),
                        "SecurityGroups": network["securityGroups"],
                        "AssignPublicIp": network["assignPublicIp"],
                    },
                },
            },
        }
        content = {"version": "0.0", "Resources": [{"TargetService": target}]}
        return {
            **self._deployment_group,
            "revision": {
                "revisionType": "AppSpecContent",
                "appSpecContent": {"content": json.dumps(content)},
            },
        }

    def _despite_alarms(self) -> dict[str, Any]:
        """Return the setting with which CodeDeploy ignores alarms, if one is firing already.

        Otherwise CodeDeploy would stop the very deployment that is to end the fault.
        """
        with client("codedeploy") as codedeploy:
            found = codedeploy.get_deployment_group(**self._deployment_group)
            group = found["deploymentGroupInfo"]
        names = [one["name"] for one in group.get("alarmConfiguration", {}).get("alarms", [])]
        if not names:
            return {}
        with client("cloudwatch") as cloudwatch:
            alarms = cloudwatch.describe_alarms(AlarmNames=names, StateValue="ALARM")
        return {"overrideAlarmConfiguration": {"enabled": False}} if alarms["MetricAlarms"] else {}


def primary(service: dict[str, Any]) -> dict[str, Any]:
    """Return the primary deployment, or with CodeDeploy the primary task set."""
    versions = service.get("taskSets") or service["deployments"]
    return next(one for one in versions if one["status"] == "PRIMARY")


def _serving(service: dict[str, Any]) -> dict[str, Any]:
    """Return what serves: the service, or with CodeDeploy its primary task set."""
    return primary(service) if service.get("taskSets") else service


def _running(service: dict[str, Any]) -> str:
    return str(_serving(service)["taskDefinition"])


def _containers(task_definition: str) -> dict[str, dict[str, Any]]:
    with client("ecs") as ecs:
        response = ecs.describe_task_definition(taskDefinition=task_definition)
    return {one["name"]: one for one in response["taskDefinition"]["containerDefinitions"]}


# --- CodeDeploy -----------------------------------------------------------------------------------


def shift(deployment: dict[str, Any], connect_to: str | None = None) -> None:
    """Have CodeDeploy shift the traffic to new tasks, and fail if it shifts the traffic back.

    A deployment group has one deployment at a time, so first wait for CodeDeploy's own rollback.
    Before any caller reaches the new tasks, CodeDeploy waits until they have passed a test from
    outside, with the key in API_KEY if there is one. `connect_to` is where the test connects
    instead of the service's name.
    """
    group = {key: deployment[key] for key in ("applicationName", "deploymentGroupName")}
    faults: list[str] = []
    with notes.status("Starting new tasks ...") as status, client("codedeploy") as codedeploy:
        for one in _under_way(codedeploy, group):
            if one.get("creator") == _OWN_ROLLBACK:
                _end_of(codedeploy, one["deploymentId"])
        identity = codedeploy.create_deployment(**deployment)["deploymentId"]
        ended = _end_of(codedeploy, identity, or_ready=True)
        if ended["status"] == "Ready":
            status.update("Testing the new tasks ...")
            if faults := _faults_of_new_tasks(codedeploy, group, connect_to):
                codedeploy.stop_deployment(deploymentId=identity, autoRollbackEnabled=True)
            else:
                status.update("Shifting the traffic ...")
                codedeploy.continue_deployment(
                    deploymentId=identity, deploymentWaitType="READY_WAIT"
                )
            ended = _end_of(codedeploy, identity)
        if ended["status"] == "Succeeded":
            return
        reason = ended.get("errorInformation", {}).get("message", f"it has {ended['status']}")
        back = ended.get("rollbackInfo", {}).get("rollbackDeploymentId")
        state = _end_of(codedeploy, back)["status"] if back else ""
    if faults:
        raise ShiftedBackError(f"No caller has reached the new tasks: {'; '.join(faults)}")
    if not back:
        raise CommandError(f"CodeDeploy did not shift the traffic: {reason}")
    raise ShiftedBackError(f"CodeDeploy shifted the traffic back ({back}: {state}): {reason}")


def _faults_of_new_tasks(
    codedeploy: Any, group: dict[str, str], connect_to: str | None
) -> list[str]:
    """Check the tasks behind the test listener against the contract, with the key in API_KEY."""
    described = codedeploy.get_deployment_group(**group)["deploymentGroupInfo"]
    (pair,) = described["loadBalancerInfo"]["targetGroupPairInfoList"]
    with client("elbv2") as elbv2:
        (listener,) = elbv2.describe_listeners(
            ListenerArns=pair["testTrafficRoute"]["listenerArns"]
        )["Listeners"]
    url = f"{EcsService(group['applicationName']).url()}:{listener['Port']}"
    return faults_of(caller(url, os.environ.get("API_KEY", ""), connect_to))


def _stop_shift(group: dict[str, str]) -> bool:
    """Stop a deployment and wait until the old tasks have all traffic again.

    If CodeDeploy is rolling back already, only wait. Return False if no deployment is in progress.
    """
    with client("codedeploy") as codedeploy:
        under_way = _under_way(codedeploy, group)
        for one in under_way:
            identity = one["deploymentId"]
            with notes.status(f"Waiting until {identity} is rolled back ..."):
                if one.get("creator") != _OWN_ROLLBACK:
                    codedeploy.stop_deployment(deploymentId=identity, autoRollbackEnabled=True)
                ended = _end_of(codedeploy, identity)
                back = ended.get("rollbackInfo", {}).get("rollbackDeploymentId")
                if back is not None:
                    ended = _end_of(codedeploy, back)
                if ended["status"] not in {"Succeeded", "Stopped"}:
                    raise CommandError(
                        f"The rollback {ended['deploymentId']} has {ended['status']}. See"
                        " `zama status`."
                    )
    return bool(under_way)


def _under_way(codedeploy: Any, group: dict[str, str]) -> list[dict[str, Any]]:
    listed = codedeploy.list_deployments(**group, includeOnlyStatuses=_UNDER_WAY)["deployments"]
    return [codedeploy.get_deployment(deploymentId=one)["deploymentInfo"] for one in listed]


def _end_of(codedeploy: Any, identity: str, *, or_ready: bool = False) -> dict[str, Any]:
    """Wait until a deployment has ended, or is ready; return CodeDeploy's description of it."""
    deadline = time.monotonic() + _ROLL_OUT_SECONDS
    while time.monotonic() < deadline:
        info: dict[str, Any] = codedeploy.get_deployment(deploymentId=identity)["deploymentInfo"]
        state = info["status"]
        if state not in _UNDER_WAY or (or_ready and state == "Ready"):
            return info
        time.sleep(_POLL_SECONDS)
    raise CommandError(f"The deployment {identity} did not end within 30 minutes.")
