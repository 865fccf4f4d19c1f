"""Rules of WAF."""

import re
from collections.abc import Iterator
from ipaddress import ip_network
from typing import Any, Final

from ministack.core.responses import get_region
from ministack.services import alb, waf

from zama_emulator.rules import Given, rule

_API: Final = "waf/latest/APIReference/API_"
_GUIDE: Final = "waf/latest/developerguide/"
_INVALID: Final = "WAFInvalidParameterException"
_ACL: Final = "CreateWebACL UpdateWebACL"
_GROUPS: Final = ("ManagedRuleGroupStatement", "RuleGroupReferenceStatement")


def _rules(given: Given) -> list[dict[str, Any]]:
    return given.get("Rules") or []


def _statements(statement: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Return a statement and those inside it."""
    yield statement
    for name, one in statement.items():
        inner = (one or {}).get("Statements") or []
        for key in ("Statement", "ScopeDownStatement"):
            if (one or {}).get(key):
                inner = [*inner, one[key]]
        if name.endswith("Statement"):
            for nested in inner:
                yield from _statements(nested)


def _every_statement(given: Given) -> list[dict[str, Any]]:
    return [one for each in _rules(given) for one in _statements(each.get("Statement") or {})]


@rule("wafv2", "CreateWebACL CreateIPSet CreateRuleGroup", _INVALID, f"{_API}CreateWebACL.html")
def cloudfront_is_in_us_east_1(given: Given) -> Any:
    """The scope CLOUDFRONT exists only in us-east-1."""
    return given["Scope"] == "CLOUDFRONT" and get_region() != "us-east-1"


@rule("wafv2", _ACL, _INVALID, f"{_API}Rule.html")
def waf_priorities_differ(given: Given) -> Any:
    """The rules of a web ACL have different priorities."""
    priorities = [one["Priority"] for one in _rules(given)]
    return len({*priorities}) < len(priorities)


@rule("wafv2", _ACL, _INVALID, f"{_API}Rule.html")
def waf_rule_names_differ(given: Given) -> Any:
    """The rules of a web ACL have different names."""
    names = [one["Name"] for one in _rules(given)]
    return len({*names}) < len(names)


@rule("wafv2", _ACL, _INVALID, f"{_API}Rule.html")
def action_or_override(given: Given) -> Any:
    """A rule has an override action if it references a rule group, otherwise an action."""
    return any(
        bool(one.get("OverrideAction")) != (one.get("Statement", {}).keys() & {*_GROUPS} != set())
        or bool(one.get("Action")) == bool(one.get("OverrideAction"))
        for one in _rules(given)
    )


@rule("wafv2", _ACL, _INVALID, f"{_API}RuleAction.html")
def one_action(given: Given) -> Any:
    """An action is exactly one of allow, block, count, captcha and challenge."""
    return any(len(one["Action"]) != 1 for one in _rules(given) if one.get("Action")) or (
        len(given["DefaultAction"]) != 1
    )


@rule("wafv2", _ACL, _INVALID, f"{_API}Statement.html")
def one_statement(given: Given) -> Any:
    """A statement has exactly one kind."""
    return any(len(one) != 1 for one in _every_statement(given))


@rule("wafv2", _ACL, _INVALID, f"{_API}RateBasedStatement.html")
def rate_window(given: Given) -> Any:
    """A rate is counted over 60, 120, 300 or 600 seconds."""
    return any(
        (one["RateBasedStatement"].get("EvaluationWindowSec") or 300) not in {60, 120, 300, 600}
        for one in _every_statement(given)
        if one.get("RateBasedStatement")
    )


@rule("wafv2", _ACL, _INVALID, f"{_API}RateBasedStatement.html")
def rate_keys(given: Given) -> Any:
    """A rate has custom keys (1-5), a forwarded address or a scope if its key type needs it."""
    for one in _every_statement(given):
        rate = one.get("RateBasedStatement")
        if rate is None:
            continue
        kind, keys = rate["AggregateKeyType"], rate.get("CustomKeys") or []
        if (kind == "CUSTOM_KEYS") != bool(keys) or len(keys) > 5:
            return True
        if (kind == "FORWARDED_IP") and not rate.get("ForwardedIPConfig"):
            return True
        if kind == "CONSTANT" and not rate.get("ScopeDownStatement"):
            return True
    return False


@rule("wafv2", _ACL, _INVALID, f"{_API}RateBasedStatement.html")
def rate_is_outermost(given: Given) -> Any:
    """A rate or a rule group is not nested in another statement."""
    top = {*_GROUPS, "RateBasedStatement"}
    inner = [
        one for each in _rules(given) for one in [*_statements(each.get("Statement") or {})][1:]
    ]
    return any(one.keys() & top for one in inner)


@rule("wafv2", _ACL, _INVALID, f"{_API}AndStatement.html")
def logical_statements(given: Given) -> Any:
    """An and or an or combines at least two statements."""
    return any(
        len((one.get(name) or {"Statements": [1, 2]}).get("Statements") or []) < 2
        for one in _every_statement(given)
        for name in ("AndStatement", "OrStatement")
    )


@rule("wafv2", _ACL, _INVALID, f"{_API}TextTransformation.html")
def transformation_priorities(given: Given) -> Any:
    """A statement's text transformations have different priorities, and are up to 10."""
    for one in _every_statement(given):
        for inner in one.values():
            found = [t["Priority"] for t in (inner or {}).get("TextTransformations") or []]
            if len({*found}) < len(found) or len(found) > 10:
                return True
    return False


def _responses(given: Given) -> Iterator[dict[str, Any]]:
    actions = [given["DefaultAction"], *(one.get("Action") or {} for one in _rules(given))]
    for one in actions:
        response = (one.get("Block") or {}).get("CustomResponse")
        if response:
            yield response


@rule("wafv2", _ACL, "WAFNonexistentItemException", f"{_API}CustomResponse.html")
def response_body_exists(given: Given) -> Any:
    """A custom response's body is one of the web ACL's."""
    bodies = {None, *(given.get("CustomResponseBodies") or {})}
    return any(one.get("CustomResponseBodyKey") not in bodies for one in _responses(given))


@rule("wafv2", _ACL, _INVALID, f"{_API}CustomResponse.html")
def response_headers(given: Given) -> Any:
    """A custom response sets any header but content-type, and none twice."""
    for one in _responses(given):
        names = [header["Name"].lower() for header in one.get("ResponseHeaders") or []]
        if "content-type" in names or len({*names}) < len(names):
            return True
    return False


@rule("wafv2", _ACL, "WAFLimitsExceededException", f"{_GUIDE}limits.html")
def response_body_size(given: Given) -> Any:
    """A custom response's body has up to 4 KB."""
    bodies = (given.get("CustomResponseBodies") or {}).values()
    return any(len(one["Content"].encode()) > 4096 for one in bodies)


@rule("wafv2", _ACL, _INVALID, f"{_API}VisibilityConfig.html")
def waf_metric_name(given: Given) -> Any:
    """A metric's name has letters, digits, hyphens and underscores; All and Default_Action are taken."""
    configs = [given["VisibilityConfig"], *(one["VisibilityConfig"] for one in _rules(given))]
    return any(
        not re.fullmatch(r"(?!All$|Default_Action$)[\w-]{1,128}", one["MetricName"], re.ASCII)
        for one in configs
    )


@rule("wafv2", _ACL, "WAFNonexistentItemException", f"{_API}IPSetReferenceStatement.html")
def ip_set_exists(given: Given) -> Any:
    """A rule's IP set exists."""
    known = {one["ARN"] for one in waf._values_for_scope(waf._ip_sets, given.get("Scope"))}
    return any(
        one["IPSetReferenceStatement"]["ARN"] not in known
        for one in _every_statement(given)
        if one.get("IPSetReferenceStatement")
    )


# WebACL capacity units: the cost of a rule group. Any other rule counts as 1.
# https://docs.aws.amazon.com/waf/latest/developerguide/aws-managed-rule-groups-list.html
_CAPACITY: Final = {
    "AWSManagedRulesCommonRuleSet": 700,
    "AWSManagedRulesAdminProtectionRuleSet": 100,
    "AWSManagedRulesKnownBadInputsRuleSet": 200,
    "AWSManagedRulesSQLiRuleSet": 200,
    "AWSManagedRulesLinuxRuleSet": 200,
    "AWSManagedRulesUnixRuleSet": 100,
    "AWSManagedRulesWindowsRuleSet": 200,
    "AWSManagedRulesPHPRuleSet": 100,
    "AWSManagedRulesWordPressRuleSet": 100,
    "AWSManagedRulesAmazonIpReputationList": 25,
    "AWSManagedRulesAnonymousIpList": 50,
    "AWSManagedRulesBotControlRuleSet": 50,
    "AWSManagedRulesATPRuleSet": 50,
    "AWSManagedRulesACFPRuleSet": 50,
    "AWSManagedRulesAntiDDoSRuleSet": 50,
}


@rule("wafv2", _ACL, "WAFNonexistentItemException", f"{_GUIDE}aws-managed-rule-groups-list.html")
def managed_group_exists(given: Given) -> Any:
    """A managed rule group of AWS exists."""
    groups = [one.get("ManagedRuleGroupStatement") or {} for one in _every_statement(given)]
    return any(one.get("VendorName") == "AWS" and one["Name"] not in _CAPACITY for one in groups)


@rule("wafv2", _ACL, "WAFLimitsExceededException", f"{_GUIDE}aws-waf-capacity-units.html")
def waf_capacity(given: Given) -> Any:
    """A web ACL's rules cost up to 5000 capacity units."""
    groups = [one.get("ManagedRuleGroupStatement") or {} for one in _every_statement(given)]
    return sum(_CAPACITY.get(one.get("Name", ""), 1) for one in groups) > 5000


@rule("wafv2", "CreateIPSet UpdateIPSet", _INVALID, f"{_API}CreateIPSet.html")
def ip_set_addresses(given: Given) -> Any:
    """An IP set's addresses are CIDR blocks of the set's version, except /0."""
    version = given.get("IPAddressVersion") or _ip_set(given).get("IPAddressVersion")
    for one in given.get("Addresses") or []:
        try:
            network = ip_network(one, strict=False)
        except ValueError:
            return True
        if "/" not in one or not network.prefixlen or version != f"IPV{network.version}":
            return True
    return False


def _ip_set(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = (
        waf._resource_from_scope(waf._ip_sets, given.get("Id"), given.get("Scope")) or {}
    )
    return found


@rule("wafv2", "CreateIPSet UpdateIPSet", "WAFLimitsExceededException", f"{_GUIDE}limits.html")
def ip_set_size(given: Given) -> Any:
    """An IP set has up to 10000 addresses."""
    return len(given.get("Addresses") or []) > 10000


@rule("wafv2", "DeleteIPSet", "WAFAssociatedItemException", f"{_API}DeleteIPSet.html")
def ip_set_is_unused(given: Given) -> Any:
    """An IP set that a web ACL uses cannot be deleted."""
    arn = _ip_set(given).get("ARN")
    acls = waf._values_for_scope(waf._web_acls, given.get("Scope"))
    return arn and any(arn in str(one["Rules"]) for one in acls)


@rule("wafv2", "DeleteWebACL", "WAFAssociatedItemException", f"{_API}DeleteWebACL.html")
def acl_is_unused(given: Given) -> Any:
    """A web ACL that protects a resource cannot be deleted."""
    acl = waf._resource_from_scope(waf._web_acls, given.get("Id"), given.get("Scope")) or {}
    return acl and acl["ARN"] in [*waf._associations.values()]


@rule("wafv2", "AssociateWebACL", "WAFUnavailableEntityException", f"{_API}AssociateWebACL.html")
def protected_resource_exists(given: Given) -> Any:
    """A web ACL protects a load balancer that exists."""
    arn = given["ResourceArn"]
    return ":loadbalancer/" in arn and arn not in alb._lbs


@rule("wafv2", "PutLoggingConfiguration", _INVALID, f"{_API}PutLoggingConfiguration.html")
def log_destination(given: Given) -> Any:
    """A web ACL logs to one destination, whose name begins with aws-waf-logs-."""
    destinations = given["LoggingConfiguration"]["LogDestinationConfigs"]
    name = re.compile(r"arn:aws[\w-]*:(logs:.*:log-group:|s3:::|firehose:.*/)aws-waf-logs-.*")
    return len(destinations) != 1 or not name.fullmatch(destinations[0])


@rule("wafv2", "UpdateIPSet UpdateWebACL DeleteIPSet DeleteWebACL", "WAFOptimisticLockException",
      f"{_API}UpdateIPSet.html")  # fmt: skip
def lock_token(given: Given) -> Any:
    """A change states the newest lock token."""
    stores = [waf._ip_sets, waf._web_acls]
    found = [waf._resource_from_scope(one, given["Id"], given["Scope"]) for one in stores]
    return any(one and one["LockToken"] != given.get("LockToken") for one in found)
