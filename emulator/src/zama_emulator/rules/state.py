"""The state of other resources, for the rules."""

import json
import re
from ipaddress import ip_address
from typing import Any, Final

from ministack.core.responses import get_region
from ministack.services import alb, iam, kms, s3
from moto.ec2.models import ec2_backends

from zama_emulator import ACCOUNT


def ec2() -> Any:
    """Return moto's EC2 of the call's region."""
    return ec2_backends[ACCOUNT][get_region()]


def subnet(identity: str) -> Any:
    """Return a subnet, or None."""
    return next((zone[identity] for zone in [*ec2().subnets.values()] if identity in zone), None)


def security_group(identity: str) -> Any:
    """Return a security group, or None."""
    found = [groups[identity] for groups in [*ec2().groups.values()] if identity in groups]
    return found[0] if found else None


def vpc_of(identity: str) -> str | None:
    """Return the VPC of a subnet or a security group that exists."""
    found = subnet(identity) if identity.startswith("subnet-") else security_group(identity)
    return found and str(found.vpc_id)


def load_balancers_of(group: str) -> set[str]:
    """Return the load balancers whose listeners or rules forward to a target group."""
    listeners = {one["ListenerArn"]: one["LoadBalancerArn"] for one in [*alb._listeners.values()]}
    return {
        listeners[one["ListenerArn"]]
        for one in [*alb._rules.values(), *alb._listeners.values()]
        for action in one.get("Actions") or one.get("DefaultActions") or []
        if group in targets(action) and one["ListenerArn"] in listeners
    }


def targets(action: dict[str, Any]) -> list[str]:
    """Return the target groups of an action, as a call or MiniStack states them."""
    forward = (action.get("ForwardConfig") or {}).get("TargetGroups") or []
    named = {action.get("TargetGroupArn"), *action.get("Weights", ())}
    return sorted({one["TargetGroupArn"] for one in forward} | (named - {None}))


def load_balancer_is_named(name: str) -> bool:
    """Say whether a load balancer of any region has a name in DNS."""
    region = name.split(".")[-4]
    found = alb._lbs.values_scoped(ACCOUNT, region)
    return any(one["DNSName"].lower() == name for one in found)


def bucket_exists(name: str) -> bool:
    return name in s3._buckets


def bucket_policy(name: str) -> str:
    """Return a bucket's policy, or an empty string."""
    policy = s3._bucket_policies.get(name) or ""
    return policy.decode() if isinstance(policy, bytes) else str(policy)


def vpc(identity: str) -> Any:
    return ec2().vpcs.get(identity)


def is_default_vpc(identity: str) -> bool:
    return bool(getattr(vpc(identity), "is_default", False))


def has_internet_gateway(identity: str) -> bool:
    return any(
        one.vpc is not None and one.vpc.id == identity
        for one in [*ec2().internet_gateways.values()]
    )


def is_private(address: str) -> bool:
    """Say whether an address belongs to a private network."""
    try:
        return ip_address(address).is_private
    except ValueError:
        return False


def key_is_enabled(identity: str) -> bool:
    """Say whether a key can encrypt; AWS's own keys always can."""
    if identity.rpartition(":")[2].startswith("alias/aws/"):
        return True
    return (kms._resolve_key(identity) or {}).get("KeyState") == "Enabled"


def alias_exists(name: str) -> bool:
    return any(arn.endswith(f":{name}") for arn in [*kms._aliases])


# --- Policies -------------------------------------------------------------------------------------


def as_list(value: Any) -> list[Any]:
    """Return the values of an element that may have one or many."""
    return value if isinstance(value, list) else [] if value is None else [value]


def principals(statement: dict[str, Any], kind: str) -> list[str]:
    """Return the principals of a kind, such as AWS or Service."""
    found = statement.get("Principal")
    if found == "*":
        return ["*"] if kind == "AWS" else []
    return [str(one) for one in as_list((found or {}).get(kind))]


_OWN: Final = re.compile(rf"arn:aws[\w-]*:iam::{ACCOUNT}:(role|user)/(?:.*/)?([^/*]+)")
_PRINCIPAL: Final = re.compile(
    r"\*|\d{12}|arn:aws[\w-]*:(iam|sts|cloudfront)::\w+:.+|A[A-Z0-9]{15,}"
)


def unknown_principal(document: str) -> bool:
    """Say whether a policy names a principal of the wrong form, or a role that does not exist.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_principal.html
    """
    known = {"role": iam._roles, "user": iam._users}
    for one in as_list(json.loads(document)["Statement"]):
        for name in principals(one, "AWS"):
            found = _OWN.fullmatch(name)
            if not _PRINCIPAL.fullmatch(name) or (found and found[2] not in known[found[1]]):
                return True
        if any("." not in name for name in principals(one, "Service")):
            return True
    return False


def policy_fault(document: str, *, principal: bool, resource: bool) -> str | None:
    """Return the fault of a policy, or None.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_grammar.html
    """
    try:
        policy = json.loads(document)
        if not isinstance(policy, dict) or policy.keys() - {"Version", "Id", "Statement"}:
            return "The policy has unknown elements"
        if policy.get("Version", "2008-10-17") not in {"2008-10-17", "2012-10-17"}:
            return "The version is unknown"
        statements = as_list(policy["Statement"])
        faults = [_statement_fault(one, principal, resource) for one in statements]
        sids = [one["Sid"] for one in statements if one.get("Sid")]
        repeated = "A Sid is not unique" if len({*sids}) < len(sids) else None
        return next(filter(None, [*faults, repeated]), None if statements else "No statement")
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return f"Not a policy: {error!r}"


# https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_elements_condition_operators.html
_OPERATOR: Final = re.compile(
    r"(ForAllValues:|ForAnyValue:)?(String(Not)?(Equals(IgnoreCase)?|Like)|Arn(Not)?(Equals|Like)"
    r"|(Numeric|Date)((Not)?Equals|(Less|Greater)Than(Equals)?)|Bool|BinaryEquals|(Not)?IpAddress"
    r"|Null)(IfExists)?",
    re.IGNORECASE,
)
_ELEMENTS: Final = {
    *("Sid", "Effect", "Principal", "NotPrincipal", "Action", "NotAction", "Resource"),
    *("NotResource", "Condition"),
}


def _statement_fault(statement: dict[str, Any], principal: bool, resource: bool) -> str | None:
    has_principal = bool(statement.get("Principal") or statement.get("NotPrincipal"))
    has_resource = bool(statement.get("Resource") or statement.get("NotResource"))
    wrong = {
        "unknown elements": statement.keys() - _ELEMENTS,
        "no effect": statement.get("Effect") not in {"Allow", "Deny"},
        "no action": bool(statement.get("Action")) == bool(statement.get("NotAction")),
        "principal missing or forbidden": has_principal != principal,
        "resource missing or forbidden": has_resource != resource,
        "a principal that is no map": not isinstance(statement.get("Principal", {}), dict)
        and statement["Principal"] != "*",
        "an unknown condition operator": any(
            not isinstance(one, dict) or not _OPERATOR.fullmatch(name)
            for name, one in (statement.get("Condition") or {}).items()
        ),
    }
    return next((f"A statement has {fault}" for fault, found in wrong.items() if found), None)


def key_policy(identity: str) -> str:
    """Return a key's policy, or an empty string."""
    return str((kms._resolve_key(identity) or {}).get("Policy") or "")


def role(arn: str) -> Any:
    """Return a role, or None."""
    found = iam._roles.get(arn.rpartition("/")[2])
    return found if found and found["Arn"] == arn else None


def trust_policy(arn: str) -> str:
    """Return the trust policy of a role, or an empty string."""
    return str((role(arn) or {}).get("AssumeRolePolicyDocument", ""))
