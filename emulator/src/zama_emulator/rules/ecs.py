"""Rules of ECS: clusters, services and tasks."""

import re
from typing import Any, Final

from ministack.services import alb, ecs

from zama_emulator.rules import Given, rule, state
from zama_emulator.rules.task_definitions import each, is_awsvpc, is_fargate

_API: Final = "AmazonECS/latest/APIReference/API_"
_GUIDE: Final = "AmazonECS/latest/developerguide/"
_CLIENT: Final = "ClientException"
_INVALID: Final = "InvalidParameterException"

_FARGATE_VERSIONS: Final = {"LATEST", "1.4.0", "1.3.0", "1.0.0"}


# --- Clusters -------------------------------------------------------------------------------------


def _cluster(given: Given) -> str:
    return str(given.get("cluster") or "default").rpartition("/")[2]


@rule("ecs", "CreateCluster", _INVALID, f"{_API}CreateCluster.html")
def cluster_name(given: Given) -> Any:
    """A cluster's name has up to 255 letters, digits, hyphens and underscores."""
    return not re.fullmatch(r"[\w-]{1,255}", given.get("clusterName", "default"), re.ASCII)


@rule(
    "ecs",
    "CreateCluster UpdateCluster UpdateClusterSettings",
    _INVALID,
    f"{_API}ClusterSetting.html",
)
def container_insights(given: Given) -> Any:
    """Container Insights is enabled, disabled or enhanced."""
    return any(
        one.get("value") not in {"enabled", "disabled", "enhanced"}
        for one in given.get("settings") or []
    )


@rule("ecs", "CreateService UpdateService DeleteService RunTask UpdateClusterSettings DeleteCluster",
      "ClusterNotFoundException", f"{_API}CreateService.html")  # fmt: skip
def cluster_exists(given: Given) -> Any:
    """The cluster exists and is active."""
    return (ecs._clusters.get(_cluster(given)) or {}).get("status") != "ACTIVE"


@rule("ecs", "DeleteCluster", "ClusterContainsServicesException", f"{_API}DeleteCluster.html")
def cluster_has_no_services(given: Given) -> Any:
    """A cluster with services cannot be deleted."""
    return any(
        key.startswith(f"{_cluster(given)}/") and service["status"] != "INACTIVE"
        for key, service in [*ecs._services.items()]
    )


# --- Services -------------------------------------------------------------------------------------


def _service(given: Given) -> dict[str, Any]:
    name = str(given.get("service") or given.get("serviceName")).rpartition("/")[2]
    found: dict[str, Any] = ecs._services.get(f"{_cluster(given)}/{name}") or {}
    return found if found.get("status") != "INACTIVE" else {}


def _definition(given: Given) -> dict[str, Any] | None:
    key = ecs._resolve_td_key(
        given.get("taskDefinition") or _service(given).get("taskDefinition", "")
    )
    found: dict[str, Any] | None = ecs._task_defs.get(key)
    return found


def _controller(given: Given) -> str:
    controller = given.get("deploymentController") or _service(given).get("deploymentController")
    return str((controller or {}).get("type", "ECS"))


@rule("ecs", "CreateService", _INVALID, f"{_API}CreateService.html")
def service_name(given: Given) -> Any:
    """A service's name has up to 255 letters, digits, hyphens and underscores."""
    return not re.fullmatch(r"[\w-]{1,255}", given["serviceName"], re.ASCII)


@rule("ecs", "CreateService", _INVALID, f"{_API}CreateService.html")
def service_is_new(given: Given) -> Any:
    """A cluster has no second service of the same name: the creation was not idempotent."""
    return bool(_service(given))


@rule("ecs", "CreateService UpdateService RunTask", _CLIENT, f"{_API}CreateService.html")
def revision_is_active(given: Given) -> Any:
    """The task definition exists and is active."""
    if _controller(given) == "EXTERNAL" or not given.get("taskDefinition"):
        return False
    return (_definition(given) or {}).get("status") != "ACTIVE"


@rule("ecs", "CreateService", _INVALID, f"{_API}CreateService.html")
def definition_is_given(given: Given) -> Any:
    """A service has a task definition, unless its deployment controller is EXTERNAL."""
    return _controller(given) != "EXTERNAL" and not given.get("taskDefinition")


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}DeploymentConfiguration.html")
def circuit_breaker_is_rolling(given: Given) -> Any:
    """Circuit breaker and alarms are only for the deployment controller ECS."""
    wanted = given.get("deploymentConfiguration") or {}
    return _controller(given) != "ECS" and any(
        (wanted.get(name) or {}).get("enable") for name in ("deploymentCircuitBreaker", "alarms")
    )


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}DeploymentAlarms.html")
def deployment_alarms_are_named(given: Given) -> Any:
    """Deployment alarms that are enabled have names."""
    alarms = (given.get("deploymentConfiguration") or {}).get("alarms") or {}
    return alarms.get("enable") and not all(alarms.get("alarmNames") or [""])


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}DeploymentConfiguration.html")
def deployment_percents(given: Given) -> Any:
    """At least 0-100 % of the tasks are healthy, at most 100-200 % run, and the two differ."""
    wanted = given.get("deploymentConfiguration") or {}
    least, most = wanted.get("minimumHealthyPercent"), wanted.get("maximumPercent")
    return (
        (least is not None and not 0 <= least <= 100)
        or (most is not None and not 100 <= most <= 200)
        or (least == most == 100)
    )


@rule("ecs", "CreateService UpdateService RunTask", _INVALID, f"{_API}CreateService.html")
def launch_type_or_strategy(given: Given) -> Any:
    """A launch type and a capacity provider strategy exclude each other."""
    return given.get("launchType") and given.get("capacityProviderStrategy")


@rule(
    "ecs",
    "CreateService UpdateService RunTask",
    _INVALID,
    f"{_API}CapacityProviderStrategyItem.html",
)
def capacity_strategy(given: Given) -> Any:
    """In a capacity provider strategy one provider has a base, and one a weight over 0."""
    strategy = given.get("capacityProviderStrategy") or []
    return strategy and (
        sum(bool(one.get("base")) for one in strategy) > 1
        or not any(one.get("weight") for one in strategy)
    )


@rule("ecs", "CreateService RunTask", _INVALID, f"{_API}CreateService.html")
def capacity_provider_is_associated(given: Given) -> Any:
    """The providers of a capacity provider strategy are associated with the cluster."""
    known = (ecs._clusters.get(_cluster(given)) or {}).get("capacityProviders") or []
    return any(
        one["capacityProvider"] not in known for one in given.get("capacityProviderStrategy") or []
    )


@rule("ecs", "CreateService RunTask", _INVALID, f"{_API}CreateService.html")
def definition_fits_launch_type(given: Given) -> Any:
    """With the launch type `FARGATE`, the task definition is compatible with Fargate."""
    definition = _definition(given) or {}
    return given.get("launchType") == "FARGATE" and definition and not is_fargate(definition)


@rule("ecs", "CreateService RunTask", _INVALID, f"{_GUIDE}task-networking-awsvpc.html")
def network_is_configured(given: Given) -> Any:
    """Tasks with the network mode awsvpc, and no others, have a network configuration."""
    definition = _definition(given)
    given_network = bool((given.get("networkConfiguration") or {}).get("awsvpcConfiguration"))
    return definition is not None and given_network != is_awsvpc(definition)


@rule("ecs", "CreateService UpdateService RunTask", _INVALID, f"{_API}AwsVpcConfiguration.html")
def network_exists(given: Given) -> Any:
    """A service's 1-16 subnets and up to 5 security groups exist, in the same VPC."""
    network = (given.get("networkConfiguration") or {}).get("awsvpcConfiguration")
    if network is None:
        return False
    subnets, groups = network.get("subnets") or [], network.get("securityGroups") or []
    vpcs = {state.vpc_of(one) for one in [*subnets, *groups]}
    return not 1 <= len(subnets) <= 16 or len(groups) > 5 or len(vpcs) != 1 or None in vpcs


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}AwsVpcConfiguration.html")
def public_addresses_are_fargates(given: Given) -> Any:
    """Only tasks on Fargate get public addresses."""
    network = (given.get("networkConfiguration") or {}).get("awsvpcConfiguration") or {}
    launch = given.get("launchType") or _service(given).get("launchType")
    return launch == "EC2" and network.get("assignPublicIp") == "ENABLED"


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}LoadBalancer.html")
def balanced_container_exists(given: Given) -> Any:
    """A load balancer's container and port are in the task definition."""
    definition = _definition(given)
    ports = {
        (container["name"], mapping.get("containerPort"))
        for container, mappings in each(definition or {}, "portMappings")
        for mapping in mappings
    }
    return definition is not None and any(
        (one.get("containerName"), one.get("containerPort")) not in ports
        for one in given.get("loadBalancers") or []
    )


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_GUIDE}service-load-balancing.html")
def target_group_is_served(given: Given) -> Any:
    """A service's target groups exist and belong to a load balancer."""
    return any(
        not state.load_balancers_of(one["targetGroupArn"])
        for one in given.get("loadBalancers") or []
        if one.get("targetGroupArn")
    )


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_GUIDE}alb.html")
def target_group_has_addresses(given: Given) -> Any:
    """The target groups of tasks with the network mode awsvpc have the target type ip."""
    return is_awsvpc(_definition(given) or {}) and any(
        (alb._tgs.get(one.get("targetGroupArn")) or {}).get("TargetType", "ip") != "ip"
        for one in given.get("loadBalancers") or []
    )


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_API}CreateService.html")
def grace_period(given: Given) -> Any:
    """A health check grace period needs a load balancer, and has at most 2,147,483,647 seconds."""
    seconds = given.get("healthCheckGracePeriodSeconds")
    balanced = given.get("loadBalancers") or _service(given).get("loadBalancers")
    return seconds is not None and (not 0 <= seconds < 2**31 or (seconds and not balanced))


@rule("ecs", "CreateService", _INVALID, f"{_GUIDE}deployment-type-bluegreen.html")
def code_deploy_needs_a_load_balancer(given: Given) -> Any:
    """A service with the deployment controller CODE_DEPLOY has one load balancer."""
    return _controller(given) == "CODE_DEPLOY" and len(given.get("loadBalancers") or []) != 1


@rule("ecs", "CreateService", "PlatformUnknownException", f"{_GUIDE}platform-fargate.html")
def platform_version(given: Given) -> Any:
    """A platform version is one of Fargate's, and only Fargate has them."""
    version = given.get("platformVersion")
    return version and (
        version not in _FARGATE_VERSIONS or given.get("launchType", "FARGATE") != "FARGATE"
    )


@rule("ecs", "CreateService", _INVALID, f"{_API}CreateService.html")
def fargate_has_no_daemons(given: Given) -> Any:
    """The scheduling strategy DAEMON is not for Fargate, CODE_DEPLOY or EXTERNAL."""
    return given.get("schedulingStrategy") == "DAEMON" and (
        given.get("launchType") == "FARGATE" or _controller(given) != "ECS"
    )


@rule("ecs", "CreateService UpdateService", _INVALID, f"{_GUIDE}service-quotas.html")
def desired_count(given: Given) -> Any:
    """A service has between 0 and 5000 tasks."""
    return not 0 <= (given.get("desiredCount") or 0) <= 5000


@rule("ecs", "RunTask", _INVALID, f"{_API}RunTask.html")
def run_task_count(given: Given) -> Any:
    """One call starts between 1 and 10 tasks."""
    return not 1 <= given.get("count", 1) <= 10


@rule("ecs", "UpdateService", _INVALID, f"{_API}UpdateService.html")
def code_deploy_changes_tasks(given: Given) -> Any:
    """Only CodeDeploy changes task definition, network or load balancers if it is the controller."""
    changed = ("taskDefinition", "networkConfiguration", "loadBalancers", "platformVersion",
               "forceNewDeployment", "capacityProviderStrategy")  # fmt: skip
    return _controller(given) == "CODE_DEPLOY" and any(given.get(name) for name in changed)


@rule("ecs", "DeregisterTaskDefinition", _CLIENT, f"{_API}DeregisterTaskDefinition.html")
def revision_is_stated(given: Given) -> Any:
    """A revision is deregistered by family and number, and exists."""
    reference = given["taskDefinition"].rpartition("/")[2]
    return ":" not in reference or _definition(given) is None
