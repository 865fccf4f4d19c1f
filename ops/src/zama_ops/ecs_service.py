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
from zama_ops.contract_checks import caller, faults_of
from zama_ops.errors import CommandError

# Enough for a rolling deployment of many tasks: each must become healthy and drain.
_ROLL_OUT_SECONDS: Final = 1800
_POLL_SECONDS: Final = 2


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

    @functools.cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """The containers in its task definition, by name."""
        with client("ecs") as ecs:
            response = ecs.describe_task_definition(taskDefinition=_running(self.describe()))
        return {one["name"]: one for one in response["taskDefinition"]["containerDefinitions"]}

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

    def roll_out(self) -> None:
        """Replace all tasks with new ones of the same version, and wait until that is done.

        New tasks read their secrets when they start. In a deployment with CodeDeploy, CodeDeploy
        shifts the traffic.
        """
        service = self.describe()
        if service.get("deploymentController", {}).get("type") == "CODE_DEPLOY":
            shift(self.codedeploy_deployment())
            return
        with client("ecs") as ecs:
            begun = ecs.update_service(
                cluster=self.prefix, service=self.prefix, forceNewDeployment=True
            )["service"]
        identity = next(one["id"] for one in begun["deployments"] if one["status"] == "PRIMARY")
        with notes.status("Replacing the tasks ...") as status:
            self._wait(identity, status)

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

    def codedeploy_deployment(self) -> dict[str, Any]:
        """Return a CodeDeploy request to redeploy the current version, like Terraform's output."""
        service = self.describe()
        (balanced,) = service["loadBalancers"]
        network = _serving(service)["networkConfiguration"]["awsvpcConfiguration"]
        target = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": _running(service),
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
            "applicationName": self.prefix,
            "deploymentGroupName": self.prefix,
            "revision": {
                "revisionType": "AppSpecContent",
                "appSpecContent": {"content": json.dumps(content)},
            },
        }


def primary(service: dict[str, Any]) -> dict[str, Any]:
    """Return the primary deployment, or with CodeDeploy the primary task set."""
    versions = service.get("taskSets") or service["deployments"]
    return next(one for one in versions if one["status"] == "PRIMARY")


def _serving(service: dict[str, Any]) -> dict[str, Any]:
    """Return what serves: the service, or with CodeDeploy its primary task set."""
    return primary(service) if service.get("taskSets") else service


def _running(service: dict[str, Any]) -> str:
    return str(_serving(service)["taskDefinition"])


def shift(deployment: dict[str, Any]) -> None:
    """Have CodeDeploy shift the traffic to new tasks, and fail if it shifts the traffic back.

    CodeDeploy waits until the new tasks have passed a test from outside, before any caller reaches
    them.
    """
    with notes.status("Starting new tasks ...") as status, client("codedeploy") as codedeploy:
        identity = codedeploy.create_deployment(**deployment)["deploymentId"]
        if _settled(codedeploy, identity)["status"] == "Ready":
            status.update("Testing the new tasks ...")
            if faults := _faults_of_new_tasks(codedeploy, deployment):
                codedeploy.stop_deployment(deploymentId=identity, autoRollbackEnabled=True)
                # The next deployment has to wait for CodeDeploy's own rollback.
                while (stopped := _settled(codedeploy, identity))["status"] == "Ready":
                    time.sleep(_POLL_SECONDS)
                if back := stopped.get("rollbackInfo", {}).get("rollbackDeploymentId"):
                    _settled(codedeploy, back)
                raise CommandError(f"No caller has reached the new tasks: {'; '.join(faults)}")
            codedeploy.continue_deployment(deploymentId=identity, deploymentWaitType="READY_WAIT")
        status.update("Shifting the traffic ...")
        codedeploy.get_waiter("deployment_successful").wait(deploymentId=identity)


def _settled(codedeploy: Any, identity: str) -> dict[str, Any]:
    """Wait until a deployment is ready or has ended, and return its description."""
    while True:
        info: dict[str, Any] = codedeploy.get_deployment(deploymentId=identity)["deploymentInfo"]
        if info["status"] not in {"Created", "Queued", "InProgress", "Baking"}:
            return info
        time.sleep(_POLL_SECONDS)


def _faults_of_new_tasks(codedeploy: Any, deployment: dict[str, Any]) -> list[str]:
    """Check the tasks behind the test listener against the contract, with the key in API_KEY."""
    names = {key: deployment[key] for key in ("applicationName", "deploymentGroupName")}
    group = codedeploy.get_deployment_group(**names)["deploymentGroupInfo"]
    (pair,) = group["loadBalancerInfo"]["targetGroupPairInfoList"]
    with client("elbv2") as elbv2:
        (listener,) = elbv2.describe_listeners(
            ListenerArns=pair["testTrafficRoute"]["listenerArns"]
        )["Listeners"]
    url = f"{EcsService(deployment['applicationName']).url()}:{listener['Port']}"
    key, connect_to = os.environ.get("API_KEY", ""), os.environ.get("CONNECT_TO")
    return faults_of(caller(url, key, connect_to))
