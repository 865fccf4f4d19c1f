"""Rules of CodeDeploy."""

import hashlib
import json
import re
from typing import Any, Final

import yaml
from ministack.core.responses import get_region
from ministack.services import alb, ecs
from moto.codedeploy.models import codedeploy_backends

from zama_emulator import ACCOUNT
from zama_emulator.rules import Given, rule, state

_API: Final = "codedeploy/latest/APIReference/API_"
_GUIDE: Final = "codedeploy/latest/userguide/"
_GROUP: Final = "CreateDeploymentGroup UpdateDeploymentGroup"

_CONFIGURATIONS: Final = {
    "ECS": (
        r"CodeDeployDefault\.ECS(AllAtOnce|Linear10PercentEvery[13]Minutes"
        r"|Canary10Percent(5|15)Minutes)"
    ),
    "Lambda": (
        r"CodeDeployDefault\.Lambda(AllAtOnce|Linear10PercentEvery(1|2|3|10)Minutes?"
        r"|Canary10Percent(5|10|15|30)Minutes)"
    ),
    "Server": r"CodeDeployDefault\.(AllAtOnce|HalfAtATime|OneAtATime)",
}


def _backend() -> Any:
    return codedeploy_backends[ACCOUNT][get_region()]


def _platform(given: Given) -> str:
    application = _backend().applications.get(given.get("applicationName"))
    return str(getattr(application, "compute_platform", "Server"))


def _groups(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = _backend().deployment_groups.get(given.get("applicationName")) or {}
    return found


def _is_ecs(given: Given) -> bool:
    return _platform(given) == "ECS"


@rule("codedeploy", f"{_GROUP} CreateDeployment", "DeploymentConfigDoesNotExistException",
      f"{_GUIDE}deployment-configurations.html")  # fmt: skip
def configuration_exists(given: Given) -> Any:
    """A deployment configuration is one of AWS's for the compute platform, or the account's."""
    name = given.get("deploymentConfigName")
    own = getattr(_backend(), "deployment_configs", {})
    return name and name not in own and not re.fullmatch(_CONFIGURATIONS[_platform(given)], name)


@rule(
    "codedeploy",
    "CreateDeploymentGroup",
    "InvalidDeploymentStyleException",
    f"{_API}DeploymentStyle.html",
)
def ecs_is_blue_green(given: Given) -> Any:
    """A deployment group for ECS is BLUE_GREEN, WITH_TRAFFIC_CONTROL."""
    style = given.get("deploymentStyle") or {}
    wanted = {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"}
    return _is_ecs(given) and style != wanted


@rule("codedeploy", "CreateDeploymentGroup", "InvalidBlueGreenDeploymentConfigurationException",
      f"{_API}BlueGreenDeploymentConfiguration.html")  # fmt: skip
def blue_green_configuration(given: Given) -> Any:
    """A blue/green deployment group says when traffic moves and old tasks end."""
    found = given.get("blueGreenDeploymentConfiguration") or {}
    needed = {"deploymentReadyOption", "terminateBlueInstancesOnDeploymentSuccess"}
    return _is_ecs(given) and needed - found.keys()


@rule("codedeploy", _GROUP, "InvalidBlueGreenDeploymentConfigurationException",
      f"{_API}BlueInstanceTerminationOption.html")  # fmt: skip
def termination_wait(given: Given) -> Any:
    """Old tasks end up to 2880 minutes after a deployment."""
    found = (given.get("blueGreenDeploymentConfiguration") or {}).get(
        "terminateBlueInstancesOnDeploymentSuccess"
    ) or {}
    return not 0 <= found.get("terminationWaitTimeInMinutes", 0) <= 2880


@rule("codedeploy", _GROUP, "InvalidBlueGreenDeploymentConfigurationException",
      f"{_API}DeploymentReadyOption.html")  # fmt: skip
def ready_wait(given: Given) -> Any:
    """A deployment waits up to 2880 minutes for its traffic, if it stops at the timeout."""
    found = (given.get("blueGreenDeploymentConfiguration") or {}).get("deploymentReadyOption") or {}
    minutes = found.get("waitTimeInMinutes") or 0
    return not 0 <= minutes <= 2880 or (
        minutes and found.get("actionOnTimeout") == "CONTINUE_DEPLOYMENT"
    )


@rule("codedeploy", _GROUP, "InvalidECSServiceException", f"{_API}ECSService.html")
def deployed_service_exists(given: Given) -> Any:
    """A deployment group has one ECS service, which exists and is controlled by CODE_DEPLOY."""
    services = given.get("ecsServices")
    if services is None:
        return _is_ecs(given) and "deploymentStyle" in given
    return len(services) != 1 or any(
        ((ecs._services.get(f"{one.get('clusterName')}/{one.get('serviceName')}") or {}).get(
            "deploymentController"
        ) or {}).get("type")
        != "CODE_DEPLOY"
        for one in services
    )  # fmt: skip


def _pairs(given: Given) -> list[dict[str, Any]]:
    return (given.get("loadBalancerInfo") or {}).get("targetGroupPairInfoList") or []


@rule("codedeploy", _GROUP, "InvalidLoadBalancerInfoException", f"{_API}TargetGroupPairInfo.html")
def two_target_groups(given: Given) -> Any:
    """A blue/green deployment shifts one listener between two different target groups that exist."""
    known = {one["TargetGroupName"] for one in [*alb._tgs.values()]}
    return any(
        len(names := {group.get("name") for group in pair.get("targetGroups") or []}) != 2
        or names - known
        or len((pair.get("prodTrafficRoute") or {}).get("listenerArns") or []) != 1
        for pair in _pairs(given)
    ) or (_is_ecs(given) and given.get("ecsServices") and len(_pairs(given)) != 1)


@rule("codedeploy", _GROUP, "InvalidLoadBalancerInfoException", f"{_API}TrafficRoute.html")
def routed_listener_exists(given: Given) -> Any:
    """The listeners of a deployment group exist, and production and test differ."""
    for pair in _pairs(given):
        routes = [pair.get(name) or {} for name in ("prodTrafficRoute", "testTrafficRoute")]
        arns = [arn for route in routes for arn in route.get("listenerArns") or []]
        if len({*arns}) < len(arns) or {*arns} - {*alb._listeners}:
            return True
    return False


@rule("codedeploy", _GROUP, "AlarmsLimitExceededException", f"{_GUIDE}limits.html")
def deployment_alarms(given: Given) -> Any:
    """A deployment group has up to 10 alarms."""
    return len((given.get("alarmConfiguration") or {}).get("alarms") or []) > 10


@rule("codedeploy", _GROUP, "InvalidAlarmConfigException", f"{_API}AlarmConfiguration.html")
def enabled_alarms(given: Given) -> Any:
    """An alarm configuration that is enabled has alarms, with different names."""
    found = given.get("alarmConfiguration") or {}
    names = [one.get("name") for one in found.get("alarms") or []]
    return (found.get("enabled") and not all(names or [""])) or len({*names}) < len(names)


@rule(
    "codedeploy",
    _GROUP,
    "InvalidAutoRollbackConfigException",
    f"{_API}AutoRollbackConfiguration.html",
)
def rollback_events(given: Given) -> Any:
    """An automatic rollback that is enabled has events."""
    found = given.get("autoRollbackConfiguration") or {}
    return found.get("enabled") and not found.get("events")


@rule("codedeploy", _GROUP, "InvalidRoleException", f"{_API}CreateDeploymentGroup.html")
def service_role(given: Given) -> Any:
    """A deployment group's role is a role that CodeDeploy can assume."""
    arn = given.get("serviceRoleArn")
    return arn and "codedeploy" not in state.trust_policy(arn)


@rule("codedeploy", "CreateDeployment", "RevisionRequiredException", f"{_API}CreateDeployment.html")
def revision_is_given(given: Given) -> Any:
    """A deployment has a revision."""
    return not given.get("revision")


def _content(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = (given.get("revision") or {}).get("appSpecContent") or {}
    return found


@rule("codedeploy", "CreateDeployment", "InvalidRevisionException", f"{_API}AppSpecContent.html")
def revision_digest(given: Given) -> Any:
    """An AppSpec's sha256 is that of its content."""
    digest = _content(given).get("sha256")
    return digest and digest != hashlib.sha256(_content(given)["content"].encode()).hexdigest()


@rule("codedeploy", "CreateDeployment", "InvalidRevisionException",
      f"{_GUIDE}reference-appspec-file-structure-resources.html")  # fmt: skip
def app_spec(given: Given) -> Any:
    """An AppSpec for ECS has version 0.0 and a service with task definition, container and port."""
    if not _is_ecs(given) or not _content(given):
        return False
    try:
        spec, target = _target(given)
        balancer = target["Properties"]["LoadBalancerInfo"]
        wanted = target["Properties"]["TaskDefinition"], balancer["ContainerName"]
        return (
            str(spec.get("version")) not in {"0", "0.0"}
            or target["Type"] != "AWS::ECS::Service"
            or not all(wanted)
            or not 1 <= int(balancer["ContainerPort"]) <= 65535
        )
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return True


def _target(given: Given) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return an AppSpec, in JSON or YAML, and its service."""
    text = _content(given)["content"]
    spec = json.loads(text) if text.lstrip().startswith("{") else yaml.safe_load(text)
    (resource,) = spec.get("Resources") or spec["resources"]
    (target,) = resource.values()
    return spec, target


@rule("codedeploy", "CreateDeployment", "InvalidRevisionException",
      f"{_GUIDE}reference-appspec-file-structure-resources.html")  # fmt: skip
def app_spec_network(given: Given) -> Any:
    """An AppSpec's subnets and security groups, if it states a network, exist in one VPC."""
    if not _is_ecs(given) or not _content(given):
        return False
    network = _target(given)[1]["Properties"].get("NetworkConfiguration")
    if network is None:
        return False
    found = network.get("AwsvpcConfiguration") or {}
    places = [*(found.get("Subnets") or []), *(found.get("SecurityGroups") or [])]
    vpcs = {state.vpc_of(one) for one in places}
    return (
        not found.get("Subnets")
        or len(vpcs) != 1
        or None in vpcs
        or found.get("AssignPublicIp", "DISABLED") not in {"ENABLED", "DISABLED"}
    )


@rule("codedeploy", "CreateDeployment", "InvalidRevisionException",
      f"{_GUIDE}reference-appspec-file-structure-resources.html")  # fmt: skip
def app_spec_definition(given: Given) -> Any:
    """An AppSpec's task definition is an active revision."""
    found = re.search(
        r"arn:aws[\w-]*:ecs:[\w:-]+:task-definition/([\w-]+:\d+)", str(_content(given))
    )
    return found and (ecs._task_defs.get(found[1]) or {}).get("status") != "ACTIVE"


@rule("codedeploy", "CreateDeployment", "DeploymentLimitExceededException", f"{_GUIDE}limits.html")
def one_deployment_at_a_time(given: Given) -> Any:
    """A deployment group has one deployment in progress."""
    return any(
        one.application_name == given["applicationName"]
        and one.deployment_group_name == given.get("deploymentGroupName")
        and one.status not in {"Succeeded", "Failed", "Stopped"}
        for one in [*_backend().deployments.values()]
    )
