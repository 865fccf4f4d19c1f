"""Rules of Elastic Load Balancing: load balancers and target groups."""

import re
from typing import Any, Final

from ministack.services import alb

from zama_emulator.rules import Given, rule, state

_API: Final = "elasticloadbalancing/latest/APIReference/API_"
_GUIDE: Final = "elasticloadbalancing/latest/application/"
_INVALID: Final = "ValidationError"
_CONFIGURATION: Final = "InvalidConfigurationRequest"


# The values of attributes, by key; "" allows any text.
_FLAG: Final = "true|false"
_BALANCER_ATTRIBUTES: Final = {
    "deletion_protection.enabled": _FLAG,
    "access_logs.s3.enabled": _FLAG,
    "access_logs.s3.bucket": "",
    "access_logs.s3.prefix": r"(?!/)(?!.*AWSLogs).*(?<!/)",
    "connection_logs.s3.enabled": _FLAG,
    "connection_logs.s3.bucket": "",
    "connection_logs.s3.prefix": "",
    "health_check_logs.s3.enabled": _FLAG,
    "health_check_logs.s3.bucket": "",
    "health_check_logs.s3.prefix": "",
    "ipv6.deny_all_igw_traffic": _FLAG,
    "load_balancing.cross_zone.enabled": _FLAG,
    "idle_timeout.timeout_seconds": range(1, 4001),
    "client_keep_alive.seconds": range(60, 604801),
    "routing.http.desync_mitigation_mode": "monitor|defensive|strictest",
    "routing.http.drop_invalid_header_fields.enabled": _FLAG,
    "routing.http.preserve_host_header.enabled": _FLAG,
    "routing.http.x_amzn_tls_version_and_cipher_suite.enabled": _FLAG,
    "routing.http.xff_client_port.enabled": _FLAG,
    "routing.http.xff_header_processing.mode": "append|preserve|remove",
    "routing.http2.enabled": _FLAG,
    "waf.fail_open.enabled": _FLAG,
    "zonal_shift.config.enabled": _FLAG,
}
_GROUP_ATTRIBUTES: Final = {
    "deregistration_delay.timeout_seconds": range(3601),
    "stickiness.enabled": _FLAG,
    "stickiness.type": "lb_cookie|app_cookie|source_ip.*",
    "load_balancing.cross_zone.enabled": f"{_FLAG}|use_load_balancer_configuration",
    "target_group_health.dns_failover.minimum_healthy_targets.count": r"off|[1-9]\d*",
    "target_group_health.dns_failover.minimum_healthy_targets.percentage": r"off|100|[1-9]\d?",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.count": r"[1-9]\d*",
    "target_group_health.unhealthy_state_routing.minimum_healthy_targets.percentage": (
        r"off|100|[1-9]\d?"
    ),
    "load_balancing.algorithm.type": "round_robin|least_outstanding_requests|weighted_random",
    "load_balancing.algorithm.anomaly_mitigation": "on|off",
    "slow_start.duration_seconds": [0, *range(30, 901)],
    "stickiness.app_cookie.cookie_name": "(?!AWSALB).+",
    "stickiness.app_cookie.duration_seconds": range(1, 604801),
    "stickiness.lb_cookie.duration_seconds": range(1, 604801),
    "lambda.multi_value_headers.enabled": _FLAG,
    "deregistration_delay.connection_termination.enabled": _FLAG,
    "preserve_client_ip.enabled": _FLAG,
    "proxy_protocol_v2.enabled": _FLAG,
    "target_failover.on_deregistration": "rebalance|no_rebalance",
    "target_failover.on_unhealthy": "rebalance|no_rebalance",
    "target_health_state.unhealthy.connection_termination.enabled": _FLAG,
    "target_health_state.unhealthy.draining_interval_seconds": range(360001),
}


def _unfit(attributes: Any, known: dict[str, Any]) -> bool:
    """Say whether an attribute is unknown, or its value is not one of those allowed."""
    for one in attributes or []:
        allowed, value = known.get(one.get("Key")), one.get("Value") or ""
        if allowed is None:
            return True
        if isinstance(allowed, str):
            if allowed and not re.fullmatch(allowed, value):
                return True
        elif not value.isdigit() or int(value) not in allowed:
            return True
    return False


# --- Load balancers -------------------------------------------------------------------------------


@rule("elbv2", "CreateLoadBalancer", _INVALID, f"{_API}CreateLoadBalancer.html")
def load_balancer_name(given: Given) -> Any:
    """A load balancer's name has up to 32 letters, digits and inner hyphens, and no internal-."""
    name = given["Name"]
    return name.startswith("internal-") or not _is_name(name)


def _is_name(name: str) -> Any:
    return re.fullmatch(r"(?!-)[A-Za-z0-9-]{1,32}(?<!-)", name)


def _subnets(given: Given) -> list[str]:
    mapped = [one["SubnetId"] for one in given.get("SubnetMappings") or []]
    return [*(given.get("Subnets") or []), *mapped]


@rule("elbv2", "CreateLoadBalancer SetSubnets", "SubnetNotFound", f"{_API}CreateLoadBalancer.html")
def subnets_exist(given: Given) -> Any:
    """A load balancer's subnets exist."""
    return any(state.subnet(one) is None for one in _subnets(given))


@rule("elbv2", "CreateLoadBalancer SetSubnets", _INVALID, f"{_API}CreateLoadBalancer.html")
def two_subnets(given: Given) -> Any:
    """An application load balancer has subnets in at least two availability zones."""
    zones = {state.subnet(one).availability_zone for one in _subnets(given)}
    return given.get("Type", "application") == "application" and len(zones) < 2


@rule("elbv2", "CreateLoadBalancer SetSubnets", _CONFIGURATION, f"{_API}CreateLoadBalancer.html")
def one_subnet_a_zone(given: Given) -> Any:
    """A load balancer has one subnet in each availability zone, all of the same VPC."""
    found = [state.subnet(one) for one in _subnets(given)]
    zones = {one.availability_zone for one in found}
    return len(zones) < len(found) or len({one.vpc_id for one in found}) > 1


@rule("elbv2", "CreateLoadBalancer SetSubnets", "InvalidSubnet",
      f"{_GUIDE}application-load-balancers.html")  # fmt: skip
def subnet_size(given: Given) -> Any:
    """A load balancer's subnet has at least 32 addresses (/27)."""
    return any(state.subnet(one).cidr.prefixlen > 27 for one in _subnets(given))


@rule("elbv2", "CreateLoadBalancer", "InvalidSubnet", f"{_API}CreateLoadBalancer.html")
def public_subnets(given: Given) -> Any:
    """An internet-facing load balancer's VPC has an internet gateway."""
    vpcs = {state.subnet(one).vpc_id for one in _subnets(given)}
    return given.get("Scheme", "internet-facing") == "internet-facing" and not any(
        state.is_default_vpc(vpc) or state.has_internet_gateway(vpc) for vpc in vpcs
    )


@rule("elbv2", "CreateLoadBalancer SetSecurityGroups", "InvalidSecurityGroup",
      f"{_API}CreateLoadBalancer.html")  # fmt: skip
def security_groups_exist(given: Given) -> Any:
    """A load balancer's security groups exist, in its VPC."""
    groups = {state.vpc_of(one) for one in given.get("SecurityGroups") or []}
    vpcs = {state.vpc_of(one) for one in _subnets(given)} or groups
    return None in groups or not groups <= vpcs


@rule("elbv2", "ModifyLoadBalancerAttributes", _INVALID, f"{_API}LoadBalancerAttribute.html")
def load_balancer_attributes(given: Given) -> Any:
    """A load balancer's attributes have the documented keys and values (idle timeout 1-4000 s)."""
    return _unfit(given.get("Attributes"), _BALANCER_ATTRIBUTES)


@rule("elbv2", "ModifyLoadBalancerAttributes", _CONFIGURATION,
      f"{_GUIDE}enable-access-logging.html")  # fmt: skip
def access_log_bucket(given: Given) -> Any:
    """Access logs go to a bucket that exists and lets the load balancer write to it."""
    values = {one["Key"]: one.get("Value") for one in given.get("Attributes") or []}
    return any(
        values.get(f"{kind}.s3.enabled") == "true"
        and "PutObject" not in state.bucket_policy(values.get(f"{kind}.s3.bucket") or "")
        for kind in ("access_logs", "connection_logs")
    )


@rule("elbv2", "DeleteLoadBalancer", "OperationNotPermitted", f"{_API}DeleteLoadBalancer.html")
def deletion_protection(given: Given) -> Any:
    """A load balancer with deletion protection cannot be deleted."""
    return {"Key": "deletion_protection.enabled", "Value": "true"} in (
        alb._lb_attrs.get(given["LoadBalancerArn"]) or []
    )


# --- Target groups --------------------------------------------------------------------------------


@rule("elbv2", "CreateTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def target_group_name(given: Given) -> Any:
    """A target group's name has up to 32 letters, digits and inner hyphens."""
    return not _is_name(given["Name"])


@rule("elbv2", "CreateTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def target_group_address(given: Given) -> Any:
    """A target group has a protocol, a port and a VPC that exists, unless its target is Lambda."""
    return given.get("TargetType") != "lambda" and not (
        given.get("Protocol") and given.get("Port") and state.vpc(given.get("VpcId") or "")
    )


@rule("elbv2", "CreateTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def protocol_version(given: Given) -> Any:
    """Only HTTP and HTTPS have a protocol version: HTTP1, HTTP2 or GRPC."""
    version = given.get("ProtocolVersion")
    return version and (
        version not in {"HTTP1", "HTTP2", "GRPC"} or given.get("Protocol") not in {"HTTP", "HTTPS"}
    )


def _checked(given: Given) -> dict[str, Any]:
    """Return a target group's settings after the call."""
    return {**(alb._tgs.get(given.get("TargetGroupArn")) or {}), **given}


@rule("elbv2", "CreateTargetGroup ModifyTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def health_check_times(given: Given) -> Any:
    """A health check's timeout is less than its interval."""
    after = _checked(given)
    default = 30 if after.get("TargetType") == "lambda" else 5
    timeout = int(after.get("HealthCheckTimeoutSeconds") or default)
    return timeout >= int(after.get("HealthCheckIntervalSeconds") or timeout + 1)


@rule("elbv2", "CreateTargetGroup ModifyTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def health_check_protocol(given: Given) -> Any:
    """A target group of HTTP or HTTPS has a health check of HTTP or HTTPS."""
    after = _checked(given)
    protocols = {"HTTP", "HTTPS"}
    return after.get("Protocol") in protocols and (
        after.get("HealthCheckProtocol", "HTTP") not in protocols
    )


@rule("elbv2", "CreateTargetGroup ModifyTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def health_check_path(given: Given) -> Any:
    """A health check's path begins with a slash and has no spaces."""
    path = given.get("HealthCheckPath")
    return path is not None and not re.fullmatch(r"/[!-~]*", path)


@rule("elbv2", "CreateTargetGroup ModifyTargetGroup", _INVALID, f"{_API}CreateTargetGroup.html")
def health_check_port(given: Given) -> Any:
    """A health check's port is traffic-port or between 1 and 65535."""
    port = given.get("HealthCheckPort") or "traffic-port"
    return port != "traffic-port" and not (port.isdigit() and 1 <= int(port) <= 65535)


@rule("elbv2", "CreateTargetGroup ModifyTargetGroup", _INVALID, f"{_API}Matcher.html")
def matcher(given: Given) -> Any:
    """A target is healthy with codes between 200 and 499, such as 200, 200,202 or 200-299."""
    codes = (given.get("Matcher") or {}).get("HttpCode")
    if codes is None:
        return False
    parts = re.fullmatch(r"\d{3}([,-]\d{3})*", codes) and re.split("[,-]", codes)
    return not parts or not all(200 <= int(one) <= 499 for one in parts)


@rule("elbv2", "ModifyTargetGroupAttributes", _INVALID, f"{_API}TargetGroupAttribute.html")
def target_group_attributes(given: Given) -> Any:
    """A target group's attributes have the documented keys and values (drain 0-3600 s)."""
    return _unfit(given.get("Attributes"), _GROUP_ATTRIBUTES)


@rule("elbv2", "DeleteTargetGroup", "ResourceInUse", f"{_API}DeleteTargetGroup.html")
def target_group_is_unused(given: Given) -> Any:
    """A target group that a listener or a rule forwards to cannot be deleted."""
    return state.load_balancers_of(given["TargetGroupArn"])


@rule("elbv2", "RegisterTargets", "InvalidTarget", f"{_API}RegisterTargets.html")
def target_form(given: Given) -> Any:
    """A target of a group with the type ip is a private address."""
    group = alb._tgs.get(given["TargetGroupArn"]) or {}
    return group.get("TargetType") == "ip" and any(
        not state.is_private(one.get("Id") or "") for one in given.get("Targets") or []
    )
