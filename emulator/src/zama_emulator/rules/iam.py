"""Rules of IAM."""

import json
import re
from typing import Any, Final

from ministack.services import iam

from zama_emulator.rules import Given, rule, state

_API: Final = "IAM/latest/APIReference/API_"
_QUOTAS: Final = "IAM/latest/UserGuide/reference_iam-quotas.html"
_GRAMMAR: Final = "IAM/latest/UserGuide/reference_policies_grammar.html"
_MALFORMED: Final = "MalformedPolicyDocument"


def _role(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = iam._roles.get(given.get("RoleName")) or {}
    return found


def _size(document: str) -> int:
    """Return a policy's length as IAM counts it, without white space."""
    return len(re.sub(r"\s", "", document))


@rule("iam", "CreateRole UpdateAssumeRolePolicy", _MALFORMED, _GRAMMAR)
def trust_policy(given: Given) -> Any:
    """A trust policy has statements with effect, principal and actions, and without resources."""
    document = given.get("AssumeRolePolicyDocument") or given.get("PolicyDocument") or ""
    return state.policy_fault(document, principal=True, resource=False)


@rule("iam", "CreateRole UpdateAssumeRolePolicy", _MALFORMED, _GRAMMAR)
def trust_policy_actions(given: Given) -> Any:
    """A trust policy allows actions of STS only."""
    document = given.get("AssumeRolePolicyDocument") or given.get("PolicyDocument") or ""
    return any(
        not action.lower().startswith("sts:")
        for one in state.as_list(json.loads(document)["Statement"])
        for action in state.as_list(one.get("Action"))
    )


@rule("iam", "CreateRole UpdateAssumeRolePolicy", _MALFORMED,
      "IAM/latest/UserGuide/reference_policies_elements_principal.html")  # fmt: skip
def trust_policy_principals(given: Given) -> Any:
    """A trust policy's principals are accounts, services, providers, or roles that exist."""
    document = given.get("AssumeRolePolicyDocument") or given.get("PolicyDocument") or ""
    return state.unknown_principal(document)


@rule("iam", "CreateRole UpdateAssumeRolePolicy", "LimitExceeded", _QUOTAS)
def trust_policy_size(given: Given) -> Any:
    """A trust policy has up to 2048 characters."""
    document = given.get("AssumeRolePolicyDocument") or given.get("PolicyDocument") or ""
    return _size(document) > 2048


@rule("iam", "PutRolePolicy CreatePolicy CreatePolicyVersion", _MALFORMED, _GRAMMAR)
def permission_policy(given: Given) -> Any:
    """A policy has statements with effect, actions and resources, and without principals."""
    return state.policy_fault(given["PolicyDocument"], principal=False, resource=True)


@rule("iam", "PutRolePolicy CreatePolicy CreatePolicyVersion", _MALFORMED, _GRAMMAR)
def policy_actions(given: Given) -> Any:
    """An action is * or has the form service:Action."""
    return any(
        not re.fullmatch(r"\*|[a-z0-9-]+:[\w*?]+", action, re.IGNORECASE)
        for one in state.as_list(json.loads(given["PolicyDocument"])["Statement"])
        for name in ("Action", "NotAction")
        for action in state.as_list(one.get(name))
    )


@rule("iam", "PutRolePolicy CreatePolicy CreatePolicyVersion", _MALFORMED, _GRAMMAR)
def policy_resources(given: Given) -> Any:
    """A resource is * or an ARN."""
    return any(
        not re.fullmatch(r"\*|arn:[^:]*:[^:]+:[^:]*:[^:]*:.+|\$\{.*", resource)
        for one in state.as_list(json.loads(given["PolicyDocument"])["Statement"])
        for name in ("Resource", "NotResource")
        for resource in state.as_list(one.get(name))
    )


@rule("iam", "CreatePolicy CreatePolicyVersion", "LimitExceeded", _QUOTAS)
def managed_policy_size(given: Given) -> Any:
    """A managed policy has up to 6144 characters."""
    return _size(given["PolicyDocument"]) > 6144


@rule("iam", "PutRolePolicy", "LimitExceeded", _QUOTAS)
def inline_policy_size(given: Given) -> Any:
    """A role's inline policies have up to 10240 characters in all."""
    others = _role(given).get("InlinePolicies") or {}
    texts = [text for name, text in others.items() if name != given["PolicyName"]]
    return sum(_size(str(text)) for text in [*texts, given["PolicyDocument"]]) > 10240


@rule("iam", "AttachRolePolicy", "LimitExceeded", _QUOTAS)
def attached_policies(given: Given) -> Any:
    """A role has up to 10 managed policies."""
    attached = _role(given).get("AttachedPolicies") or []
    return len({*map(str, attached)} | {given["PolicyArn"]}) > 10


@rule("iam", "AttachRolePolicy", "NoSuchEntity", f"{_API}AttachRolePolicy.html")
def attached_policy_exists(given: Given) -> Any:
    """A policy that is attached exists."""
    return not _policy_exists(given["PolicyArn"])


def _policy_exists(arn: str) -> bool:
    # The emulator does not know all of AWS's own policies.
    return arn.startswith("arn:aws:iam::aws:policy/") or arn in iam._policies


@rule("iam", "CreateRole PutRolePermissionsBoundary", "NoSuchEntity", f"{_API}CreateRole.html")
def boundary_exists(given: Given) -> Any:
    """A permissions boundary is a managed policy that exists."""
    boundary = given.get("PermissionsBoundary")
    return boundary and not _policy_exists(boundary)


@rule("iam", "CreateRole", "EntityAlreadyExists", f"{_API}CreateRole.html")
def role_is_new(given: Given) -> Any:
    """An account has no second role of the same name, in any case of letters."""
    return given["RoleName"].lower() in {name.lower() for name in [*iam._roles]}


@rule("iam", "CreateRole", "InvalidInput", f"{_API}CreateServiceLinkedRole.html")
def service_linked_role_name(given: Given) -> Any:
    """A role's name or path is not that of a service-linked role."""
    path = given.get("Path", "/")
    return given["RoleName"].startswith("AWSServiceRoleFor") or path.startswith(
        "/aws-service-role/"
    )


@rule(
    "iam", "CreateOpenIDConnectProvider", "InvalidInput", f"{_API}CreateOpenIDConnectProvider.html"
)
def provider_url(given: Given) -> Any:
    """An OIDC provider's URL begins with https:// and has neither port nor query."""
    return not re.fullmatch(r"https://[\w.-]+(/[\w./-]*)?", given["Url"])


@rule("iam", "CreateOpenIDConnectProvider UpdateOpenIDConnectProviderThumbprint", "InvalidInput",
      f"{_API}CreateOpenIDConnectProvider.html")  # fmt: skip
def provider_thumbprints(given: Given) -> Any:
    """An OIDC provider has up to 5 thumbprints, of 40 hexadecimal digits."""
    prints = given.get("ThumbprintList") or []
    return len(prints) > 5 or any(not re.fullmatch(r"[0-9A-Fa-f]{40}", one) for one in prints)


@rule("iam", "CreateOpenIDConnectProvider", "LimitExceeded", _QUOTAS)
def provider_client_ids(given: Given) -> Any:
    """An OIDC provider has up to 100 client ids."""
    return len(given.get("ClientIDList") or []) > 100


@rule("iam", "CreateRole UpdateAssumeRolePolicy PutRolePolicy CreatePolicy CreatePolicyVersion",
      _MALFORMED, "IAM/latest/UserGuide/reference_policies_elements_sid.html")  # fmt: skip
def statement_ids(given: Given) -> Any:
    """A statement's Sid has only letters and digits."""
    document = given.get("AssumeRolePolicyDocument") or given.get("PolicyDocument") or ""
    return any(
        not re.fullmatch(r"[A-Za-z0-9]*", one.get("Sid") or "")
        for one in state.as_list(json.loads(document)["Statement"])
    )
