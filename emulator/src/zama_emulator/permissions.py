"""Judges calls by the policies of the caller, as AWS does.

MiniStack's evaluator decides about one action on one resource: identity policies, inline and
managed, the permissions boundary, session policies, and the resource's own policy. needs.py says
which actions on which resources a call needs.
"""

import base64
import json
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Final
from urllib.parse import parse_qs

from ministack.core import iam_actions
from ministack.core import iam_evaluator as evaluator
from ministack.core.responses import error_response_json, request_scope
from ministack.services import iam, sts, tagging
from moto.ec2.models import ec2_backends

from zama_emulator import ACCOUNT, needs
from zama_emulator.models import Call, Refusal
from zama_emulator.patching import Original
from zama_emulator.rules import state

_KEY: Final = re.compile(r"Credential=([^/]+)/")
# Keys of users, and of sessions. Any other key is the emulator's own, which is not judged.
_ISSUED: Final = re.compile(r"A[KS]IA\w+")
# https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
_ALWAYS_ALLOWED: Final = {"sts:GetCallerIdentity", "sts:GetSessionToken"}
# Services whose calls AWS evaluates in one region.
_GLOBAL: Final = {"iam", "organizations", "route53", "sso"}
_VARIABLE: Final = re.compile(r"\$\{([^}]+)\}")


def judge(call: Call, headers: Any) -> tuple[int, Refusal | None]:
    """Return how many needs of a call were judged, and AWS's refusal if one is not allowed."""
    key = _KEY.search(headers.get("Authorization", ""))
    if key is None:
        return 0, None
    with request_scope(ACCOUNT, call.region):
        if not _ISSUED.fullmatch(key[1]):
            return 0, _assumed_by_root(call)
        token = headers.get("X-Amz-Security-Token")
        credential = evaluator.resolve_credential(key[1], ACCOUNT, token)
        if isinstance(credential, evaluator.CredentialResolutionError):
            return 0, _unknown(call, credential)
        principal = evaluator.resolve_principal(key[1], ACCOUNT, credential)
        every = [one for one in needs.of(call) if one.action not in _ALWAYS_ALLOWED]
        for number, need in enumerate(every, 1):
            if reason := _reason(principal, need, call):
                subject = f"User: {principal.arn} is not authorized to perform: {need.action}"
                message = f"{subject} on resource: {need.resource} {reason}"
                return number, _refused(call, message)
    return len(every), None


def _unknown(call: Call, error: evaluator.CredentialResolutionError) -> Refusal:
    names = {"cloudwatch": "monitoring", "elbv2": "elasticloadbalancing"}
    service = names.get(call.service, call.service)
    code, status, message = iam_actions._auth_failure(service, error.code, error.message, {})
    return Refusal(code, message, status)


def _refused(call: Call, message: str) -> Refusal:
    if call.service == "ec2":
        text = f"You are not authorized to perform this operation. {message}"
        return Refusal("UnauthorizedOperation", text, 403)
    if call.service == "sns":
        return Refusal("AuthorizationError", message, 403)
    protocols = call.operation.service_model.metadata.get("protocols", ())
    if call.protocol == "rest-xml" or "query" in protocols or call.protocol == "query":
        return Refusal("AccessDenied", message, 403)
    return Refusal("AccessDeniedException", message, 400 if call.protocol == "json" else 403)


def _assumed_by_root(call: Call) -> Refusal | None:
    """Judge the trust policy, which holds for the emulator's own credentials as well.

    They may act as any service.
    """
    if call.service != "sts" or call.name != "AssumeRole":
        return None
    role, root = str(call.given["RoleArn"]), f"arn:aws:iam::{ACCOUNT}:root"
    if evaluator.evaluate_trust_policy(state.trust_policy(role) or "{}", root):
        return None
    message = f"User: {root} is not authorized to perform: sts:AssumeRole on resource: {role}"
    return _refused(call, message)


# --- Evaluation -----------------------------------------------------------------------------------

Layer = list[list[evaluator.ParsedStatement]]


def _reason(principal: Any, need: needs.Need, call: Call) -> str | None:
    """Return why a need is not allowed, in AWS's words, or nothing."""
    layers = [principal.policies, *principal.limits]
    context = evaluator.EvalContext(
        principal_arn=principal.arn,
        principal_type=principal.type,
        principal_account=principal.account,
        action=need.action,
        resource_arn=need.resource,
        region="us-east-1" if need.action.partition(":")[0] in _GLOBAL else call.region,
        # Clients reach AWS over HTTPS.
        secure_transport=True,
        service_context={**_resource_tags(layers, need.resource, call), **need.context},
        principal_keys=principal.keys,
    )
    policies, *limits = ([*map(list, _filled(layer, context))] for layer in layers)
    within = evaluator.evaluate(context, policies, *limits)
    result = within
    document, required = _policy_of(need)
    if document is not None:
        result = evaluator.combine_resource_policy(
            within, context, document, ACCOUNT, required=required, limits=tuple(limits)
        )
    if result.decision == "Allow":
        return None
    of_resource = result is not within
    if result.decision == "Deny":
        kind = "a resource-based" if of_resource else "an identity-based"
        return f"with an explicit deny in {kind} policy"
    kind = "resource-based policy" if of_resource else "identity-based policy"
    if not of_resource and evaluator.evaluate(context, policies).decision == "Allow":
        kind = "permissions boundary"
    return f"because no {kind} allows the {need.action} action"


def _policy_of(need: needs.Need) -> tuple[Any, bool]:
    """Return the policy of the resource, or None, and whether it must allow the action as well."""
    service = need.action.partition(":")[0]
    if need.action == "sts:AssumeRole":
        return state.trust_policy(need.resource) or "{}", True
    found = evaluator._resource_policy(service, need.resource)
    return (found[0] if found else None), service in evaluator._POLICY_REQUIRED


def _resource_tags(layers: list[Layer], resource: str, call: Call) -> needs.Context:
    """Return the resource's tags as condition keys, if a policy has a condition on tags."""
    # An action that supports no resources, such as most lists, is judged on "*".
    if not resource.startswith("arn:") or not any(
        "resourcetag/" in key.lower()
        for layer in layers
        for statements in layer
        for one in statements
        for keys in one.conditions.values()
        for key in keys
    ):
        return {}
    service, identity = resource.split(":")[2], resource.rpartition("/")[2]
    tags = (
        dict(ec2_backends[ACCOUNT][call.region].tags.get(identity, {}))
        if service == "ec2"
        else tagging.resource_tags(resource) or {}
    )
    return {
        f"{prefix}:resourcetag/{key}".lower(): value
        for prefix in ("aws", service)
        for key, value in tags.items()
    }


def _filled(layer: Layer, context: Any) -> Iterator[Iterator[evaluator.ParsedStatement]]:
    """Yield a layer's policies with the values of policy variables.

    https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_variables.html
    """
    for statements in layer:
        yield (
            replace(
                one,
                resources=_with_values(one.resources, context),
                not_resources=_with_values(one.not_resources, context),
                conditions=_with_values(one.conditions, context),
            )
            for one in statements
        )


def _with_values(element: Any, context: Any) -> Any:
    """Return an element of a statement with its variables replaced."""
    if isinstance(element, dict):
        return {key: _with_values(one, context) for key, one in element.items()}
    if isinstance(element, list):
        return [_with_values(one, context) for one in element]
    if not isinstance(element, str) or "${" not in element:
        return element

    def value(match: re.Match[str]) -> str:
        if match[1] in {"*", "?", "$"}:
            return match[1]
        key, _, default = match[1].partition(",")
        found = evaluator._resolve_condition_key(key.strip(), context)
        # A statement with an unknown variable applies to nothing.
        return str(found) if found is not None else default.strip(" '") or match[0]

    return _VARIABLE.sub(value, element)


# --- Web identities -------------------------------------------------------------------------------


async def web_identity(original: Original, *request: Any) -> Any:
    """AssumeRoleWithWebIdentity, which is not signed, needs a role that trusts the token.

    The token's signature is not checked.
    https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRoleWithWebIdentity.html
    """
    _, _, headers, body, query = request
    action = headers.get("x-amz-target", "").rpartition(".")[2]
    given = (
        {name: [str(value)] for name, value in json.loads(body or b"{}").items()}
        if action
        else {**query, **parse_qs(body.decode())}
    )
    if "AssumeRoleWithWebIdentity" in {action, iam._p(given, "Action")}:
        refused = _fault_of_web_identity(given)
        if refused:
            status, code, text = refused
            if action:
                return error_response_json(code, text, status)
            return iam._error(status, code, text, ns="sts")
    return await original(*request)


def _fault_of_web_identity(given: dict[str, Any]) -> tuple[int, str, str] | None:
    arn = iam._p(given, "RoleArn")
    role = state.role(arn)
    if fault := _fault_of_token(iam._p(given, "WebIdentityToken")):
        return 400, *fault
    if role is None or sts._web_identity_trust_denied(arn, given, False):
        return 403, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity"
    if int(iam._p(given, "DurationSeconds") or 3600) > role["MaxSessionDuration"]:
        text = "The requested DurationSeconds exceeds the MaxSessionDuration set for this role."
        return 400, "ValidationError", text
    return None


def _fault_of_token(token: str) -> tuple[str, str] | None:
    try:
        part = token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))
        issuer, audience, expires = str(claims["iss"]), claims["aud"], float(claims["exp"])
    except (IndexError, KeyError, TypeError, ValueError):
        return "InvalidIdentityToken", "The ID Token provided is not a valid JWT."
    host = issuer.removeprefix("https://").rstrip("/")
    provider = iam._oidc_providers.get(f"arn:aws:iam::{ACCOUNT}:oidc-provider/{host}")
    if provider is None:
        text = f"No OpenIDConnect provider found in your account for {issuer}"
        return "InvalidIdentityToken", text
    if audience not in provider["ClientIDList"]:
        return "InvalidIdentityToken", "Incorrect token audience"
    if expires < time.time():
        return "ExpiredTokenException", "Token expired: the token's exp is in the past"
    return None
