"""The deployed service, found by its name_prefix, which all of its parts are named after."""

import functools
import json
import re
import time
from dataclasses import dataclass
from typing import Any, Final

from rich.status import Status

from zama_ops.aws import client
from zama_ops.console import notes
from zama_ops.errors import CommandError

# A rolling deployment of many tasks, each of which has to get healthy and to drain.
_ROLL_OUT_SECONDS: Final = 1800
_POLL_SECONDS: Final = 2


@dataclass(frozen=True)
class EcsService:
    """A deployment's service on ECS, in the account and region of the environment."""

    prefix: str

    def describe(self) -> dict[str, Any]:
        """Return how ECS describes it.

        Raises:
            CommandError: there is none of this name.

        """
        with client("ecs") as ecs:
            try:
                response = ecs.describe_services(cluster=self.prefix, services=[self.prefix])
            except ecs.exceptions.ClusterNotFoundException:
                response = {"services": []}
        active = [one for one in response["services"] if one["status"] == "ACTIVE"]
        if not active:
            raise CommandError(
                f"There is no service {self.prefix} in this account and region: is that the"
                " name_prefix, and are AWS_REGION and the credentials of the right account?"
            )
        service: dict[str, Any] = active[0]
        return service

    @functools.cached_property
    def containers(self) -> dict[str, dict[str, Any]]:
        """Return the containers of its task definition, by name."""
        with client("ecs") as ecs:
            response = ecs.describe_task_definition(taskDefinition=_running(self.describe()))
        return {one["name"]: one for one in response["taskDefinition"]["containerDefinitions"]}

    def parameter(self) -> str:
        """Return the name of the parameter that its gateway takes the keys from."""
        secrets = self.containers["nginx"]["secrets"]
        (arn,) = [one["valueFrom"] for one in secrets if one["name"] == "API_KEYS"]
        return str(re.sub(r"^arn:.*:parameter/?", "/", arn))

    @functools.cached_property
    def load_balancer(self) -> dict[str, Any]:
        """Return how its load balancer is described."""
        with client("elbv2") as elbv2:
            (only,) = elbv2.describe_load_balancers(Names=[self.prefix])["LoadBalancers"]
        balancer: dict[str, Any] = only
        return balancer

    def url(self) -> str:
        """Return where it is called."""
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

    # --- Roll out -----------------------------------------------------------------------------

    def roll_out(self) -> None:
        """Replace all tasks by new ones of the same version, and return when that is done.

        They read their secrets when they start. Where CodeDeploy shifts the traffic, it does here.

        Raises:
            CommandError: AWS gave up and kept the old tasks, or is not done in half an hour.

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

    def _wait(self, identity: str, status: Status) -> None:
        deadline = time.monotonic() + _ROLL_OUT_SECONDS
        while time.monotonic() < deadline:
            deployments = {one["id"]: one for one in self.describe()["deployments"]}
            ours = deployments.get(identity)
            if ours is None or ours.get("rolloutState") == "FAILED":
                reason = (ours or {}).get("rolloutStateReason", "another has taken its place")
                raise CommandError(f"The tasks were not replaced: {reason}")
            if len(deployments) == 1 and ours["rolloutState"] == "COMPLETED":
                return
            left = sum(one["runningCount"] for one in deployments.values()) - ours["runningCount"]
            status.update(
                f"Replacing the tasks: {ours['runningCount']} of {ours['desiredCount']} new ones"
                f" run, {left} old ones ..."
            )
            time.sleep(_POLL_SECONDS)
        raise CommandError("The tasks are not replaced after half an hour; see `zama status`.")

    def codedeploy_deployment(self) -> dict[str, Any]:
        """Return what tells CodeDeploy to deploy again what runs, as Terraform's output does."""
        service = self.describe()
        (balanced,) = service["loadBalancers"]
        target = {
            "Type": "AWS::ECS::Service",
            "Properties": {
                "TaskDefinition": _running(service),
                "LoadBalancerInfo": {
                    "ContainerName": balanced["containerName"],
                    "ContainerPort": balanced["containerPort"],
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


def _running(service: dict[str, Any]) -> str:
    """Return the task definition that serves; CodeDeploy gives each set of tasks its own."""
    sets = service.get("taskSets", [])
    primary = next((one for one in sets if one["status"] == "PRIMARY"), service)
    return str(primary["taskDefinition"])


def shift(deployment: dict[str, Any]) -> None:
    """Have CodeDeploy shift the traffic to new tasks; it shifts it back where alarms fire.

    Raises:
        CommandError: it did.

    """
    with notes.status("Shifting the traffic ..."), client("codedeploy") as codedeploy:
        identity = codedeploy.create_deployment(**deployment)["deploymentId"]
        codedeploy.get_waiter("deployment_successful").wait(deploymentId=identity)
