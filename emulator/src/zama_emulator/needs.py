"""The permissions that a call needs: actions on resources, with the context of the request.

The service authorization reference (reference.py) names the actions, the types of their resources
and the dependent actions. This module finds the resources in the call's members, and adds the
needs that only other pages of AWS state.
"""

import functools
import itertools
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from string import Template
from typing import Any, Final

from ministack.services import iam, kms, waf
from moto.codedeploy.models import codedeploy_backends

from zama_emulator import ACCOUNT, reference
from zama_emulator.models import Call
from zama_emulator.rules import state

Context = dict[str, Any]
"""Condition keys in lower case, with their values."""


@dataclass(frozen=True)
class Need:
    """An action on a resource that must be allowed."""

    action: str
    resource: str
    context: Context = field(default_factory=dict)


# --- Actions --------------------------------------------------------------------------------------

# Operations whose actions have another name, and that the reference does not link.
# https://docs.aws.amazon.com/AmazonS3/latest/userguide/using-with-s3-policy-actions.html
_ACTIONS: Final = {
    ("s3", "CompleteMultipartUpload"): "PutObject",
    ("s3", "CopyObject"): "PutObject",
    ("s3", "CreateMultipartUpload"): "PutObject",
    ("s3", "DeleteBucketEncryption"): "PutEncryptionConfiguration",
    ("s3", "DeleteBucketLifecycle"): "PutLifecycleConfiguration",
    ("s3", "DeleteBucketReplication"): "PutReplicationConfiguration",
    ("s3", "DeleteObjects"): "DeleteObject",
    ("s3", "DeletePublicAccessBlock"): "PutBucketPublicAccessBlock",
    ("s3", "GetBucketNotificationConfiguration"): "GetBucketNotification",
    ("s3", "HeadBucket"): "ListBucket",
    ("s3", "HeadObject"): "GetObject",
    ("s3", "ListObjects"): "ListBucket",
    ("s3", "PutBucketNotificationConfiguration"): "PutBucketNotification",
    ("s3", "UploadPart"): "PutObject",
    ("sns", "PublishBatch"): "Publish",
    **{
        ("s3", f"DeleteBucket{name}"): f"PutBucket{name}"
        for name in ("Cors", "OwnershipControls", "Tagging")
    },
}

_LOAD_BALANCER: Final = "elasticloadbalancing:CreateLoadBalancer"

# Dependent actions that the reference does not have.
_ALSO: Final = {
    # https://docs.aws.amazon.com/elasticloadbalancing/latest/userguide/elb-api-permissions.html
    _LOAD_BALANCER: (
        *("ec2:DescribeAccountAttributes", "ec2:DescribeAddresses", "ec2:DescribeInternetGateways"),
        *("ec2:DescribeSecurityGroups", "ec2:DescribeSubnets", "ec2:DescribeVpcs"),
        *("ec2:GetSecurityGroupsForVpc", "iam:CreateServiceLinkedRole"),
    ),
    "elasticloadbalancing:CreateTargetGroup": ("ec2:DescribeInternetGateways", "ec2:DescribeVpcs"),
    "elasticloadbalancing:SetSecurityGroups": (
        *("ec2:DescribeSecurityGroups", "ec2:GetSecurityGroupsForVpc"),
    ),
    "elasticloadbalancing:SetSubnets": ("ec2:DescribeSubnets",),
    # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/using-service-linked-roles.html
    "ecs:CreateCluster": ("iam:CreateServiceLinkedRole",),
    # https://docs.aws.amazon.com/autoscaling/application/userguide/application-auto-scaling-service-linked-roles.html
    "application-autoscaling:RegisterScalableTarget": ("iam:CreateServiceLinkedRole",),
    # https://docs.aws.amazon.com/codedeploy/latest/userguide/auth-and-access-control-permissions-reference.html
    "codedeploy:CreateDeployment": (
        *("codedeploy:GetApplicationRevision", "codedeploy:GetDeploymentConfig"),
        "codedeploy:RegisterApplicationRevision",
    ),
    # https://docs.aws.amazon.com/waf/latest/developerguide/logging-cw-logs.html
    "wafv2:PutLoggingConfiguration": (
        *("logs:CreateLogDelivery", "logs:DescribeLogGroups", "logs:DescribeResourcePolicies"),
        "logs:PutResourcePolicy",
    ),
    "wafv2:DeleteLoggingConfiguration": ("logs:DeleteLogDelivery",),
    # https://docs.aws.amazon.com/prometheus/latest/userguide/encryption-at-rest-Amazon-Service-Prometheus.html
    "aps:CreateWorkspace": (
        *("kms:CreateGrant", "kms:Decrypt", "kms:DescribeKey", "kms:GenerateDataKey"),
    ),
    # https://docs.aws.amazon.com/kms/latest/developerguide/services-parameter-store.html
    "ssm:PutParameter": ("kms:Encrypt",),
}

# Dependent actions that concern an option of the call, which has one of these members.
_OPTIONS: Final = {
    ("ec2:CreateFlowLogs", "ecs:*"): ("LogFormat",),
    ("kms:CreateKey", "kms:PutKeyPolicy"): ("Policy",),
    ("kms:CreateKey", "iam:*"): ("MultiRegion",),
    ("grafana:*", "ec2:*"): ("vpcConfiguration", "networkAccessControl"),
    ("aps:CreateWorkspace", "kms:*"): ("kmsKeyArn",),
    ("ssm:PutParameter", "kms:*"): ("KeyId",),
}
_TAGGING: Final = re.compile(r"[\w-]+:(AddTags|CreateTags|Tag)\w*")

# The service that creates its role at its first use.
_LINKED_ROLES: Final = {
    "application-autoscaling": "ecs.application-autoscaling",
    **{name: name for name in ("ecs", "elasticloadbalancing", "grafana", "wafv2")},
}
# The service that receives a role, where it is not the called service itself.
_RECEIVERS: Final = {"ecs": "ecs-tasks", "ec2": "vpc-flow-logs"}
_ROLE: Final = re.compile(r"arn:[\w-]+:iam::\d{12}:role/(?!aws-service-role/)[^*]+")


def of(call: Call) -> Iterator[Need]:
    """Yield everything that must be allowed for a call."""
    prefix = reference.prefix_of(call.service)
    found = _Members(call, {**call.given, **_looked_up(call)})
    fixed = _ACTIONS.get((call.service, call.name))
    for verb in [fixed] if fixed else reference.actions_of(call.service, call.name):
        action = f"{prefix}:{verb}"
        own = list(found.resources(action))
        for resource in own:
            yield Need(action, resource, {**found.context, **_own_context(call, resource)})
        dependent = {*reference.action(action).dependent, *_ALSO.get(action, ())}
        for name in sorted(dependent | _tagging(action, found)):
            yield from _dependent(found, action, name, own)
    if prefix not in {"iam", "sts"}:
        receiver = f"{_RECEIVERS.get(prefix, prefix)}.amazonaws.com"
        for role in {text for text in found.texts if _ROLE.fullmatch(text)}:
            yield Need("iam:PassRole", role, {"iam:passedtoservice": receiver})
    if call.name == "CopyObject":
        source = str(call.given.get("CopySource", "")).partition("?")[0].lstrip("/")
        yield Need("s3:GetObject", f"arn:aws:s3:::{source}")


def _tagging(action: str, found: "_Members") -> set[str]:
    """Return the action that tags the new resource of a call, if any.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/access_tags.html
    """
    prefix, _, verb = action.partition(":")
    if not found.tags or _TAGGING.fullmatch(action) or prefix in {"ec2", "s3"}:
        return set()
    noun = re.sub("^[A-Z][a-z]+", "", verb)
    names = ("TagResource", f"Tag{noun}", "AddTags", "AddTagsToResource", "AddTagsToCertificate")
    known = (f"{prefix}:{name}" for name in names)
    return {*itertools.islice((name for name in known if reference.is_known(name)), 1)}


def _dependent(found: "_Members", action: str, name: str, own: list[str]) -> Iterator[Need]:
    call, prefix = found.call, name.partition(":")[0]
    if not _concerns(found, action, name):
        return
    if _TAGGING.fullmatch(name):
        tagged = {**found.context, f"{prefix}:createaction": call.name}
        yield from (Need(name, one, tagged) for one in _new(found, name, own))
    elif name == "iam:CreateServiceLinkedRole":
        service = f"{_LINKED_ROLES[action.partition(':')[0]]}.amazonaws.com"
        yield Need(name, _linked_role(service), {"iam:awsservicename": service})
    elif prefix == "kms" and call.service != "kms":
        via = f"{reference.prefix_of(call.service)}.{call.region}.amazonaws.com"
        key = str(call.given.get("KeyId") or call.given.get("kmsKeyArn"))
        if not key.rpartition(":")[2].startswith("alias/aws/"):
            yield Need(name, _key_arn(key), {"kms:viaservice": via})
    else:
        # A new resource already has its tags.
        tags = {f"aws:resourcetag/{key}".lower(): value for key, value in found.tags.items()}
        for one in found.resources(name):
            yield Need(name, one, {**found.context, **(tags if one.endswith("*") else {})})


def _concerns(found: "_Members", action: str, name: str) -> bool:
    """Say whether a call needs a dependent action, which can concern an option of it."""
    for (calls, dependents), members in _OPTIONS.items():
        if fnmatchcase(action, calls) and fnmatchcase(name, dependents):
            return any(found.call.given.get(one) for one in members)
    if _TAGGING.fullmatch(name):
        return bool(found.tags)
    if name == "iam:PassRole":
        return False
    if found.call.service == "wafv2" and name != "iam:CreateServiceLinkedRole":
        return _concerns_firewall(name, found.texts)
    return True


def _concerns_firewall(name: str, texts: list[str]) -> bool:
    """Say whether a dependent action concerns a resource of the call.

    The reference lists the actions of each service that a firewall can protect.
    """
    types = {"wafv2:GetWebACL": "webacl"}
    if name.startswith("wafv2:"):
        return any(f"/{types.get(name, 'rulegroup')}/" in text for text in texts)
    prefix = name.partition(":")[0]
    return prefix == "logs" or any(f":{prefix}:" in text for text in texts)


def _new(found: "_Members", tagging: str, own: list[str]) -> list[str]:
    """Return the new resources of a call, which it tags: an unknown id is `*`."""
    if found.call.name == "CreateListener":
        return [f"{one.replace(':loadbalancer/', ':listener/')}/*" for one in own]
    if found.call.service == "logs" or own == ["*"]:
        return list(found.resources(tagging))
    return [one for one in own if one.endswith("*")] or own


def _linked_role(service: str) -> str:
    return f"arn:aws:iam::{ACCOUNT}:role/aws-service-role/{service}/*"


# --- Resources ------------------------------------------------------------------------------------

_VARIABLE: Final = re.compile(r"\$\{(\w+)\}")
_SUFFIX: Final = re.compile(r"(WithPath|WithoutLeadingSlash)$")

# Members that name a resource, where neither the variable nor the type has the member's name.
_MEMBERS: Final = {
    "Alias": ("aliasname",),
    "DeploymentConfigurationName": ("deploymentconfigname",),
    "DeploymentGroupName": ("currentdeploymentgroupname",),
    "KeyId": ("targetkeyid",),
    "ObjectName": ("key",),
    "OidcProviderName": ("url",),
    "ParameterNameWithoutLeadingSlash": ("path", "resourceid"),
    # Of EventBridge.
    "RuleName": ("name",),
    "TaskDefinitionFamilyName": ("family",),
}

# Actions for which the reference has no resource types.
# https://docs.aws.amazon.com/waf/latest/developerguide/security_iam_service-with-iam.html
_TYPES: Final = {"elasticloadbalancing:SetWebAcl": ("loadbalancer/app/",)}

# The types of EC2's resources, by the prefix of their ids.
_EC2_TYPES: Final = {
    "eipalloc": "elastic-ip",
    "eni": "network-interface",
    "fl": "vpc-flow-log",
    "i": "instance",
    "igw": "internet-gateway",
    "nat": "natgateway",
    "acl": "network-acl",
    "pl": "prefix-list",
    "rtb": "route-table",
    "sg": "security-group",
    "sgr": "security-group-rule",
    "subnet": "subnet",
    "vpc": "vpc",
    "vpce": "vpc-endpoint",
}
_EC2_ID: Final = re.compile(r"([a-z]+)-[0-9a-f]{8,}")


class _Members:
    """The members of a call, as sources of resources and of context."""

    def __init__(self, call: Call, given: dict[str, Any]) -> None:
        self.call = call
        self._given = given
        # A rule's peer is not a resource of the call.
        peers = {"IpPermissions"} if call.service == "ec2" else set()
        self.texts = list(_texts({key: one for key, one in given.items() if key not in peers}))
        self._named = {_plain(name): _values(value) for name, value in given.items()}
        self.tags = dict(_tags(given))

    @functools.cached_property
    def context(self) -> Context:
        """Return the condition keys that the members state."""
        prefix = reference.prefix_of(self.call.service)
        scalars = {
            f"{prefix}:{name}".lower(): str(value)
            for name, value in self._given.items()
            if isinstance(value, (str, int, float, bool))
        }
        if "cluster" in self._given and prefix == "ecs":
            scalars["ecs:cluster"] = next(iter(self.resources("ecs:UpdateCluster")))
        keys = [*self.tags, *_values(self._given.get("TagKeys") or self._given.get("tagKeys"))]
        return {
            **scalars,
            **{f"aws:requesttag/{key}".lower(): value for key, value in self.tags.items()},
            "aws:tagkeys": keys or None,
        }

    def resources(self, action: str) -> Iterator[str]:
        """Yield the resources of an action: an unknown part of an ARN is `*`."""
        if action == "iam:CreateServiceLinkedRole":
            yield _linked_role(str(self._given["AWSServiceName"]))
            return
        facts = reference.action(action)
        prefix = action.partition(":")[0]
        required = self._types(_TYPES.get(action) or facts.required)
        optional = self._types(facts.optional)
        named = {kind: list(self._stated(prefix, kind)) for kind in (*required, *optional)}
        for kind in required:
            # A load balancer has at most one firewall, which the call does not name.
            if kind != "webacl" or "scope" in self._named:
                named[kind] = named[kind] or list(self._filled(prefix, kind, bare=True))
        for kind in optional:
            named[kind] = named[kind] or [
                one for one in self._filled(prefix, kind, bare=False) if "*" not in one
            ]
        found = [self._as_written(action, one) for ones in named.values() for one in ones]
        if not found and len(optional) == 1:
            found = list(self._filled(prefix, optional[0], bare=True))
        yield from found or ["*"]

    def _types(self, types: tuple[str, ...]) -> list[str]:
        """Return the types that the call can concern."""
        stated = self._named.get("resourcetype")
        if stated and self.call.service != "ec2":
            types = tuple(one for one in types if _plain(one) == _plain(stated[0])) or types
        bus = self._named.get("eventbusname") or ["default"]
        other = "custom" if bus == ["default"] else "default"
        types = tuple(one for one in types if one != f"rule-on-{other}-event-bus")
        # Only application load balancers are emulated.
        return [one for one in types if not re.search(r"/(gwy|net)\b", one)]

    def _stated(self, prefix: str, kind: str) -> Iterator[str]:
        """Yield the resources of a type whose ARNs or ids are in the call."""
        pattern = _pattern(reference.arn_format(prefix, kind))
        yield from dict.fromkeys(text for text in self.texts if pattern.fullmatch(text))
        if prefix == "ec2":
            for text in dict.fromkeys(self.texts):
                found = _EC2_ID.fullmatch(text)
                if found and _EC2_TYPES.get(found[1]) == kind:
                    yield f"arn:aws:ec2:{self.call.region}:{ACCOUNT}:{kind}/{text}"

    def _filled(self, prefix: str, kind: str, *, bare: bool) -> Iterator[str]:
        """Yield a type's ARNs, with the values of the members that fit the variables."""
        form = reference.arn_format(prefix, kind)
        fixed = {"Partition": "aws", "Region": self.call.region, "Account": ACCOUNT}
        names = [name for name in _VARIABLE.findall(form) if name not in fixed]
        values = [[] if prefix == "ec2" else self._fitting(kind, name, bare) for name in names]
        literal = re.split("[:}]", form.rpartition("${")[0])[-1].strip("/")
        for chosen in itertools.product(*(one or ["*"] for one in values)):
            own = {
                name: _stripped(value, name, literal)
                for name, value in zip(names, chosen, strict=True)
            }
            yield Template(form).substitute(fixed, **own)

    def _fitting(self, kind: str, variable: str, bare: bool) -> list[str]:
        """Return the values of the member for a variable; `bare` allows `Name` and `Id`."""
        if variable == "Scope":
            return [one.lower() for one in self._named.get("scope", [])]
        name = _SUFFIX.sub("", variable)
        base = re.sub(r"(Name|Id|Identifier)$", "", name)
        ends = ("", "id", "arn") if variable.endswith("Id") else ("", "name", "id", "arn")
        general = ("id", "resourceid") if variable.endswith("Id") else ("name",)
        candidates = [
            *(_plain(base + end) for end in ends if base),
            *(_plain(kind.strip("/") + end) for end in ends),
            *_MEMBERS.get(variable, ()),
            *(general if bare else ()),
        ]
        return next((self._named[one] for one in candidates if self._named.get(one)), [])

    def _as_written(self, action: str, resource: str) -> str:
        """Return the ARN in the form that policies use."""
        # https://docs.aws.amazon.com/AmazonCloudWatch/latest/logs/iam-access-control-overview-cwl.html
        if action.startswith("logs:") and ":log-group:" in resource and "Tag" not in action:
            return resource if resource.count(":") > 6 else f"{resource}:*"
        role = iam._roles.get(resource.rpartition("/")[2]) if ":role/" in resource else None
        return str(role["Arn"]) if role else resource


@functools.cache
def _pattern(form: str) -> re.Pattern[str]:
    """Return the pattern of an ARN's form."""
    parts = [
        re.escape(part) if index % 2 == 0 else r"[\w.-]*" if part in _ARN_PARTS else r"[^:*]+"
        for index, part in enumerate(_VARIABLE.split(form))
    ]
    return re.compile("".join(parts) + r"(:\*)?")


_ARN_PARTS: Final = {"Partition", "Region", "Account", "Scope"}


def _texts(value: Any) -> Iterator[str]:
    """Yield every string of a call."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for one in value.values():
            yield from _texts(one)
    elif isinstance(value, list):
        for one in value:
            yield from _texts(one)


def _plain(name: str) -> str:
    """Return a member's name in lower case and singular."""
    letters = re.sub(r"[^a-z0-9]", "", name.lower())
    return letters if letters.endswith("ss") else letters.removesuffix("s")


def _values(value: Any) -> list[str]:
    return [one for one in (value if isinstance(value, list) else [value]) if isinstance(one, str)]


def _stripped(value: str, variable: str, literal: str) -> str:
    """Return a value as a part of an ARN, without the parts that the form has."""
    if value.startswith("arn:"):
        value = value.rpartition("/")[2]
    if variable.endswith("WithoutLeadingSlash"):
        value = value.lstrip("/")
    value, start = value.removeprefix("https://"), f"{literal}/"
    return value.removeprefix("/").removeprefix(start) if literal and start in value else value


_TAG_NAMES: Final = (
    ("Key", "Value"),
    ("TagKey", "TagValue"),
    ("key", "value"),
)


def _tags(given: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the tags that a call gives to a resource."""
    sources = [given.get(name) for name in ("Tags", "tags", "TagList", "AddTags")]
    sources += [one.get("Tags") for one in given.get("TagSpecifications") or ()]
    # In a header, a text has the tags.
    if isinstance(given.get("Tagging"), dict):
        sources.append(given["Tagging"].get("TagSet"))
    for source in filter(None, sources):
        if isinstance(source, dict):
            yield from source.items()
            continue
        for tag, (key, value) in itertools.product(source, _TAG_NAMES):
            if isinstance(tag, dict) and key in tag:
                yield tag[key], tag.get(value, "")


# --- State ----------------------------------------------------------------------------------------


def _own_context(call: Call, resource: str) -> Context:
    """Return condition keys about the resource itself."""
    if call.service == "iam" and "PermissionsBoundary" not in call.given:
        role = iam._roles.get(resource.rpartition("/")[2]) or {}
        return {"iam:permissionsboundary": role.get("PermissionsBoundary")}
    return {}


def _key_arn(identity: str) -> str:
    key = kms._resolve_key(identity)
    return str(key["Arn"]) if key else identity


def _codedeploy_deployment(call: Call) -> dict[str, Any]:
    deployments = codedeploy_backends[ACCOUNT][call.region].deployments
    found = deployments.get(str(call.given["deploymentId"]))
    names = {"applicationName": "application_name", "deploymentGroupName": "deployment_group_name"}
    return {name: getattr(found, own, None) for name, own in names.items()} if found else {}


def _task_definition(call: Call) -> dict[str, Any]:
    name = str(call.given["taskDefinition"])
    revision = "" if ":" in name else ":*"
    arn = f"arn:aws:ecs:{call.region}:{ACCOUNT}:task-definition/{name}{revision}"
    return {} if name.startswith("arn:") else {"taskDefinition": arn}


_LOOKED_UP: Final[dict[str, Callable[[Call], dict[str, Any]]]] = {
    "codedeploy:deploymentId": _codedeploy_deployment,
    "ecs:taskDefinition": _task_definition,
    "elbv2:Subnets": lambda call: {"VpcId": state.vpc_of(*call.given["Subnets"][:1] or [""])},
    "s3:Delete": lambda call: {"Key": [one["Key"] for one in call.given["Delete"]["Objects"]]},
    "kms:KeyId": lambda call: {"KeyId": _key_arn(str(call.given["KeyId"]))},
    "kms:TargetKeyId": lambda call: {"TargetKeyId": _key_arn(str(call.given["TargetKeyId"]))},
    # The firewall of a load balancer.
    "wafv2:ResourceArn": lambda call: {
        "WebACLArn": call.given.get("WebACLArn")
        or waf._associations.get(str(call.given["ResourceArn"]))
    },
}


def _looked_up(call: Call) -> dict[str, Any]:
    """Return further members, which AWS finds by the call's."""
    found: dict[str, Any] = {}
    for member in call.given:
        if look := _LOOKED_UP.get(f"{call.service}:{member}"):
            found |= look(call)
    return found
