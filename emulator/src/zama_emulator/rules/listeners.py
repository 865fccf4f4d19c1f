"""Rules of Elastic Load Balancing: listeners and their rules."""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from ministack.services import acm, alb

from zama_emulator.rules import Given, rule, state

_API: Final = "elasticloadbalancing/latest/APIReference/API_"
_GUIDE: Final = "elasticloadbalancing/latest/application/"
_INVALID: Final = "ValidationError"
_CONFIGURATION: Final = "InvalidConfigurationRequest"

_SSL_POLICY: Final = re.compile(
    r"ELBSecurityPolicy-(TLS13-1-[0-3](-(Res|Ext1|Ext2))?(-FIPS)?(-PQ)?(-\d{4}-\d{2})?"
    r"|FS(-1-[12](-Res)?)?(-Res)?(-\d{4}-\d{2})?|TLS-1-[012](-Ext)?-\d{4}-\d{2}|\d{4}-\d{2})"
)
_FIXED_TYPES: Final = {
    "text/plain", "text/css", "text/html", "application/javascript", "application/json",
}  # fmt: skip


def _actions(given: Given) -> Iterator[dict[str, Any]]:
    yield from given.get("DefaultActions") or given.get("Actions") or []


def _listener(given: Given) -> dict[str, Any]:
    """Return a listener's settings after the call."""
    found = alb._listeners.get(given.get("ListenerArn")) or {}
    return {**found, **given}


_ACTING: Final = "CreateListener ModifyListener CreateRule ModifyRule"


@rule("elbv2", "CreateListener", _INVALID, f"{_API}CreateListener.html")
def listener_has_a_port(given: Given) -> Any:
    """A listener has a protocol, HTTP or HTTPS, and a port."""
    balancer = alb._lbs.get(given["LoadBalancerArn"]) or {}
    return balancer.get("Type") == "application" and not (
        given.get("Protocol") in {"HTTP", "HTTPS"} and given.get("Port")
    )


@rule("elbv2", "CreateListener ModifyListener", "DuplicateListener", f"{_API}CreateListener.html")
def listener_port_is_free(given: Given) -> Any:
    """A load balancer has one listener on each port."""
    after = _listener(given)
    return any(
        one["LoadBalancerArn"] == after.get("LoadBalancerArn")
        and one["Port"] == after.get("Port")
        and one["ListenerArn"] != given.get("ListenerArn")
        for one in [*alb._listeners.values()]
    )


@rule("elbv2", "CreateListener ModifyListener", "CertificateNotFound",
      f"{_API}CreateListener.html")  # fmt: skip
def certificate_exists(given: Given) -> Any:
    """A listener's certificate exists."""
    return any(
        one.get("CertificateArn") not in acm._certificates
        for one in given.get("Certificates") or []
        if ":acm:" in (one.get("CertificateArn") or ":acm:")
    )


@rule("elbv2", "CreateListener ModifyListener", _INVALID, f"{_GUIDE}create-https-listener.html")
def https_has_a_certificate(given: Given) -> Any:
    """An HTTPS listener has one default certificate, and an HTTP listener none and no policy."""
    after = _listener(given)
    secure = after.get("Protocol") in {"HTTPS", "TLS"}
    number = len(after.get("Certificates") or [])
    return number != 1 if secure else bool(given.get("Certificates") or given.get("SslPolicy"))


@rule("elbv2", "CreateListener ModifyListener", "SSLPolicyNotFound",
      f"{_GUIDE}describe-ssl-policies.html")  # fmt: skip
def ssl_policy(given: Given) -> Any:
    """A listener's security policy is one of AWS's."""
    policy = given.get("SslPolicy")
    return policy and not _SSL_POLICY.fullmatch(policy)


@rule("elbv2", _ACTING, "TargetGroupNotFound", f"{_API}CreateListener.html")
def forwarded_groups_exist(given: Given) -> Any:
    """The target groups that an action forwards to exist."""
    return any(group not in alb._tgs for one in _actions(given) for group in state.targets(one))


@rule("elbv2", _ACTING, "InvalidLoadBalancerAction", f"{_API}Action.html")
def action_is_complete(given: Given) -> Any:
    """An action has the configuration that its type needs; a forward has a target group."""
    needed: dict[str, Callable[[dict[str, Any]], Any]] = {
        "forward": state.targets,
        "redirect": lambda one: (one.get("RedirectConfig") or {}).get("StatusCode"),
        "fixed-response": lambda one: (one.get("FixedResponseConfig") or {}).get("StatusCode"),
    }
    return any(not needed.get(one.get("Type", ""), bool)(one) for one in _actions(given))


@rule("elbv2", _ACTING, "InvalidLoadBalancerAction", f"{_API}Action.html")
def last_action_answers(given: Given) -> Any:
    """The last action, and no other, is a forward, a redirect or a fixed response."""
    kinds = [
        one.get("Type") in {"forward", "redirect", "fixed-response"}
        for one in sorted(_actions(given), key=lambda one: one.get("Order") or 0)
    ]
    return kinds and (not kinds[-1] or sum(kinds) > 1)


@rule("elbv2", _ACTING, _INVALID, f"{_API}ForwardActionConfig.html")
def forward_weights(given: Given) -> Any:
    """A forward has at most 5 target groups, with weights between 0 and 999."""
    return any(
        len(groups) > 5 or any(not 0 <= one.get("Weight", 1) <= 999 for one in groups)
        for action in _actions(given)
        if (groups := (action.get("ForwardConfig") or {}).get("TargetGroups") or [])
    )


@rule("elbv2", _ACTING, _CONFIGURATION, f"{_API}CreateListener.html")
def forwarded_groups_are_near(given: Given) -> Any:
    """A load balancer forwards to target groups in the same VPC."""
    balancer = alb._lbs.get(_listener(given).get("LoadBalancerArn")) or {}
    vpcs = {state.vpc_of(one) for one in balancer.get("Subnets") or []} - {None}
    groups = [alb._tgs[one] for action in _actions(given) for one in state.targets(action)]
    return vpcs and any(one["VpcId"] and one["VpcId"] not in vpcs for one in groups)


@rule("elbv2", _ACTING, "TargetGroupAssociationLimit", f"{_API}CreateListener.html")
def target_group_has_one_load_balancer(given: Given) -> Any:
    """A target group belongs to one load balancer."""
    own = _listener(given).get("LoadBalancerArn")
    return own and any(
        state.load_balancers_of(one) - {own}
        for action in _actions(given)
        for one in state.targets(action)
    )


@rule("elbv2", _ACTING, "InvalidLoadBalancerAction", f"{_API}RedirectActionConfig.html")
def redirect_does_not_loop(given: Given) -> Any:
    """A redirect changes the protocol, host, port or path."""
    listener = _listener(given)
    port = str(listener.get("Port"))
    return any(
        redirect.get("Protocol", "#{protocol}") in {"#{protocol}", listener.get("Protocol")}
        and redirect.get("Port", "#{port}") in {"#{port}", port}
        and redirect.get("Host", "#{host}") == "#{host}"
        and redirect.get("Path", "/#{path}") == "/#{path}"
        for one in _actions(given)
        if (redirect := one.get("RedirectConfig"))
    )


@rule("elbv2", _ACTING, _INVALID, f"{_API}RedirectActionConfig.html")
def redirect_target(given: Given) -> Any:
    """A redirect's path begins with a slash, and its port is #{port} or between 1 and 65535."""
    return any(
        not redirect.get("Path", "/").startswith("/")
        or not re.fullmatch(r"#\{port\}|[1-9]\d{0,4}", redirect.get("Port", "#{port}"))
        for one in _actions(given)
        if (redirect := one.get("RedirectConfig"))
    )


@rule("elbv2", _ACTING, _INVALID, f"{_API}FixedResponseActionConfig.html")
def fixed_response_type(given: Given) -> Any:
    """A fixed response is plain text, CSS, HTML, JavaScript or JSON."""
    return any(
        response.get("ContentType", "text/plain") not in _FIXED_TYPES
        for one in _actions(given)
        if (response := one.get("FixedResponseConfig"))
    )


@rule("elbv2", "CreateRule", "PriorityInUse", f"{_API}CreateRule.html")
def priority_is_free(given: Given) -> Any:
    """The rules of a listener have different priorities."""
    return any(
        one["ListenerArn"] == given["ListenerArn"]
        and str(one["Priority"]) == str(given["Priority"])
        for one in [*alb._rules.values()]
    )


@rule("elbv2", "CreateRule ModifyRule", _INVALID, f"{_API}RuleCondition.html")
def rule_conditions(given: Given) -> Any:
    """A rule has conditions of the documented fields, up to 5 values in all."""
    kinds = {
        "http-header": "HttpHeaderConfig",
        "http-request-method": "HttpRequestMethodConfig",
        "host-header": "HostHeaderConfig",
        "path-pattern": "PathPatternConfig",
        "query-string": "QueryStringConfig",
        "source-ip": "SourceIpConfig",
    }
    conditions = given.get("Conditions")
    if conditions is None:
        return "Priority" in given
    values = [
        (one.get(kinds.get(one.get("Field", ""), "")) or one).get("Values") for one in conditions
    ]
    return (
        not conditions
        or not all(values)
        or any(one.get("Field") not in kinds for one in conditions)
        or sum(len(one or []) for one in values) > 5
    )
