"""Rules of EC2's networks. moto knows many itself; these are the others, and those with other codes."""

import re
from collections.abc import Iterator
from ipaddress import IPv4Network, ip_network
from typing import Any, Final

from ministack.core.responses import get_region
from ministack.services import alb, ecs

from zama_emulator.rules import Given, rule, state

_API: Final = "AWSEC2/latest/APIReference/API_"
_VPC: Final = "vpc/latest/userguide/"
_INVALID: Final = "InvalidParameterValue"
_RULES: Final = "AuthorizeSecurityGroupIngress AuthorizeSecurityGroupEgress"
_GATEWAYS: Final = {"s3", "dynamodb"}
_INTERFACES: Final = re.compile(
    r"(com\.amazonaws|aws\.api)\.[\w-]+\.(acm|aps|aps-workspaces|autoscaling|codedeploy|dynamodb|ec2"
    r"|ec2messages|ecr\.api|ecr\.dkr|ecs|ecs-agent|ecs-telemetry|elasticloadbalancing|events"
    r"|execute-api|firehose|grafana|grafana-workspace|guardduty-data|iam|kms|lambda|logs|monitoring"
    r"|rds|s3|secretsmanager|sns|sqs|ssm|ssmmessages|sts|wafv2|xray|application-autoscaling)"
)


def _network(text: str | None) -> IPv4Network | None:
    try:
        network = ip_network(text or "")
    except ValueError:
        return None
    return network if isinstance(network, IPv4Network) else None


def _subnets_of(vpc: str) -> list[Any]:
    return [
        one
        for zone in [*state.ec2().subnets.values()]
        for one in [*zone.values()]
        if one.vpc_id == vpc
    ]


def _permissions(given: Given) -> Iterator[dict[str, Any]]:
    yield from given.get("IpPermissions") or []
    if given.get("IpProtocol"):
        ranges = [{"CidrIp": given["CidrIp"]}] if given.get("CidrIp") else []
        yield {**given, "IpRanges": ranges}


@rule("ec2", "CreateVpc", _INVALID, f"{_API}CreateVpc.html")
def vpc_network(given: Given) -> Any:
    """A VPC's CIDR block is the first address of an IPv4 network."""
    block = given.get("CidrBlock")
    return block is not None and _network(block) is None


@rule("ec2", "CreateSubnet", "InvalidSubnet.Range", f"{_VPC}subnet-sizing.html")
def subnet_size(given: Given) -> Any:
    """A subnet has between 16 and 65536 addresses (/28 to /16)."""
    network = _network(given.get("CidrBlock"))
    return network and not 16 <= network.prefixlen <= 28


@rule("ec2", "CreateSubnet", _INVALID, f"{_API}CreateSubnet.html")
def zone_exists(given: Given) -> Any:
    """A subnet's availability zone exists in the region."""
    zone = given.get("AvailabilityZone")
    return zone and not re.fullmatch(rf"{get_region()}[a-c]", zone)


@rule("ec2", "CreateSecurityGroup", _INVALID, f"{_API}CreateSecurityGroup.html")
def security_group_name(given: Given) -> Any:
    """A security group's name does not begin with sg-, has up to 255 characters, and is not default."""
    return not re.fullmatch(
        r"(?!sg-)(?!default$)[\w .:/()#,@\[\]+=&;{}!$*-]{1,255}", given["GroupName"], re.ASCII
    )


@rule("ec2", "CreateSecurityGroup", _INVALID, f"{_API}CreateSecurityGroup.html")
def security_group_description(given: Given) -> Any:
    """A security group's description has up to 255 of a-z, A-Z, 0-9, and ._-:/()#,@[]+=&;{}!$*."""
    return not re.fullmatch(r"[\w .:/()#,@\[\]+=&;{}!$*-]{1,255}", given["Description"], re.ASCII)


@rule("ec2", _RULES, _INVALID, f"{_API}IpRange.html")
def rule_description(given: Given) -> Any:
    """A rule's description has up to 255 of a-z, A-Z, 0-9, and ._-:/()#,@[]+=&;{}!$*."""
    return any(
        not re.fullmatch(
            r"[\w .:/()#,@\[\]+=&;{}!$*-]{0,255}", one.get("Description") or "", re.ASCII
        )
        for permission in _permissions(given)
        for kind in ("IpRanges", "Ipv6Ranges", "PrefixListIds", "UserIdGroupPairs")
        for one in permission.get(kind) or []
    )


@rule("ec2", _RULES, _INVALID, f"{_API}IpPermission.html")
def rule_protocol(given: Given) -> Any:
    """A rule's protocol is tcp, udp, icmp, icmpv6, -1 or a number up to 255."""
    return any(
        not re.fullmatch(r"tcp|udp|icmp|icmpv6|58|-1|\d{1,2}|1\d\d|2[0-4]\d|25[0-5]",
                         str(one.get("IpProtocol", "")))
        for one in _permissions(given)
    )  # fmt: skip


@rule("ec2", _RULES, _INVALID, f"{_API}IpPermission.html")
def rule_ports(given: Given) -> Any:
    """A rule for tcp or udp has ports between 0 and 65535, the lower first."""
    return any(
        not 0 <= one.get("FromPort", -1) <= one.get("ToPort", -1) <= 65535
        for one in _permissions(given)
        if one.get("IpProtocol") in {"tcp", "udp", "6", "17"}
    )


@rule("ec2", _RULES, _INVALID, f"{_API}IpRange.html")
def rule_network(given: Given) -> Any:
    """A rule's CIDR block is the first address of a network."""
    return any(
        _network(one.get("CidrIp")) is None
        for permission in _permissions(given)
        for one in permission.get("IpRanges") or []
    )


@rule("ec2", "DeleteVpc", "DependencyViolation", f"{_API}DeleteVpc.html")
def vpc_is_empty(given: Given) -> Any:
    """A VPC with subnets, gateways, endpoints or security groups cannot be deleted."""
    vpc = given["VpcId"]
    groups = state.ec2().groups.get(vpc, {}).values()
    endpoints = [
        one
        for one in [*state.ec2().vpc_end_points.values()]
        if one.vpc_id == vpc and one.state not in {"deleted", "deleting"}
    ]
    return (
        _subnets_of(vpc)
        or state.has_internet_gateway(vpc)
        or endpoints
        or any(one.name != "default" for one in groups)
    )


def _uses(identity: str) -> bool:
    """Say whether a load balancer, a service or an endpoint uses a subnet or a security group."""
    services = [one for one in [*ecs._services.values()] if one["status"] != "INACTIVE"]
    endpoints = [
        one
        for one in [*state.ec2().vpc_end_points.values()]
        if one.state not in {"deleted", "deleting"}
    ]
    return any(
        identity in str(one)
        for one in (
            *[[one["Subnets"], one["SecurityGroups"]] for one in [*alb._lbs.values()]],
            *[one["networkConfiguration"] for one in services if one["desiredCount"]],
            *[[one.subnet_ids, one.security_group_ids] for one in endpoints],
        )
    )


@rule("ec2", "DeleteSubnet", "DependencyViolation", f"{_API}DeleteSubnet.html")
def subnet_is_unused(given: Given) -> Any:
    """A subnet that a load balancer, an ECS service or an endpoint uses cannot be deleted."""
    return _uses(given["SubnetId"])


@rule("ec2", "DeleteSecurityGroup", "DependencyViolation", f"{_API}DeleteSecurityGroup.html")
def security_group_is_unused(given: Given) -> Any:
    """A security group that something uses or another's rule names cannot be deleted."""
    identity = given.get("GroupId") or ""
    others = [
        one
        for groups in [*state.ec2().groups.values()]
        for one in [*groups.values()]
        if one.id != identity
    ]
    named = any(
        rule.source_group.get("GroupId") == identity
        for group in others
        for rule in [*group.ingress_rules, *group.egress_rules]
    )
    return named or _uses(identity)


def _endpoint_kind(given: Given) -> str:
    return str(given.get("VpcEndpointType") or "Gateway")


@rule("ec2", "CreateVpcEndpoint", "InvalidServiceName", f"{_API}CreateVpcEndpoint.html")
def endpoint_service_exists(given: Given) -> Any:
    """An endpoint's service exists in the region, with the endpoint's type."""
    name = given.get("ServiceName") or ""
    if f".{get_region()}." not in name:
        return True
    if _endpoint_kind(given) == "Gateway":
        return name.rpartition(".")[2] not in _GATEWAYS
    return _endpoint_kind(given) == "Interface" and not _INTERFACES.fullmatch(name)


@rule("ec2", "CreateVpcEndpoint", "DuplicateSubnetsInSameZone", f"{_API}CreateVpcEndpoint.html")
def endpoint_zones_differ(given: Given) -> Any:
    """An interface endpoint has one subnet in each availability zone."""
    found = [state.subnet(one) for one in given.get("SubnetIds") or []]
    zones = [one.availability_zone for one in found if one]
    return len({*zones}) < len(zones)


@rule("ec2", "CreateVpcEndpoint", "InvalidParameter", f"{_API}CreateVpcEndpoint.html")
def endpoint_places(given: Given) -> Any:
    """A gateway endpoint has route tables, and an interface endpoint subnets and security groups."""
    gateway = _endpoint_kind(given) == "Gateway"
    forbidden = ("SubnetIds", "SecurityGroupIds") if gateway else ("RouteTableIds",)
    return any(given.get(name) for name in forbidden) or (
        gateway and given.get("PrivateDnsEnabled")
    )


@rule("ec2", "CreateVpcEndpoint ModifyVpcEndpoint", "InvalidParameter",
      f"{_VPC}vpc-dns.html")  # fmt: skip
def private_names_need_dns(given: Given) -> Any:
    """Private DNS names need a VPC with DNS support and DNS host names."""
    endpoint = state.ec2().vpc_end_points.get(given.get("VpcEndpointId"))
    vpc = state.vpc(str(given.get("VpcId") or getattr(endpoint, "vpc_id", "")))
    return (
        given.get("PrivateDnsEnabled")
        and vpc
        and not (vpc.enable_dns_support and vpc.enable_dns_hostnames)
    )


@rule(
    "ec2",
    "CreateVpcEndpoint",
    "InvalidParameter",
    "vpc/latest/privatelink/create-interface-endpoint.html",
)
def private_names_are_unique(given: Given) -> Any:
    """A VPC has one interface endpoint of a service with private DNS names."""
    return given.get("PrivateDnsEnabled") and any(
        one.vpc_id == given["VpcId"]
        and one.service_name == given.get("ServiceName")
        and one.state not in {"deleted", "deleting"}
        for one in [*state.ec2().vpc_end_points.values()]
    )


@rule("ec2", "AttachInternetGateway", "InvalidParameterValue", f"{_API}AttachInternetGateway.html")
def one_internet_gateway(given: Given) -> Any:
    """A VPC has one internet gateway."""
    return state.has_internet_gateway(given["VpcId"])


@rule("ec2", "DetachInternetGateway", "DependencyViolation", f"{_API}DetachInternetGateway.html")
def gateway_is_unused(given: Given) -> Any:
    """An internet gateway stays while its VPC has an internet-facing load balancer."""
    return any(
        one["Scheme"] == "internet-facing" and state.vpc_of(subnet) == given["VpcId"]
        for one in [*alb._lbs.values()]
        for subnet in one["Subnets"]
    )


@rule("ec2", "CreateFlowLogs", "InvalidParameter", f"{_API}CreateFlowLogs.html")
def flow_log_destination(given: Given) -> Any:
    """A flow log to CloudWatch has a log group and a role that the service can assume."""
    if given.get("LogDestinationType", "cloud-watch-logs") != "cloud-watch-logs":
        return not given.get("LogDestination")
    trust = state.trust_policy(given.get("DeliverLogsPermissionArn") or "")
    named = given.get("LogGroupName") or given.get("LogDestination")
    return not named or "vpc-flow-logs.amazonaws.com" not in trust
