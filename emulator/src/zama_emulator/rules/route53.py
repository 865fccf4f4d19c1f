"""Rules of Route 53."""

import re
from collections.abc import Callable, Iterator
from ipaddress import ip_address
from typing import Any, Final

from ministack.services import route53

from zama_emulator.rules import Given, rule, state

_API: Final = "Route53/latest/APIReference/API_"
_GUIDE: Final = "Route53/latest/DeveloperGuide/"
_BATCH: Final = "InvalidChangeBatch"
# The zone that MiniStack states for each of its load balancers.
_LOAD_BALANCERS: Final = "Z35SXDOTRQ7X7K"
_CHECK: Final = "CreateHealthCheck UpdateHealthCheck"


def _zone(given: Given) -> dict[str, Any]:
    identity = (given.get("HostedZoneId") or given.get("Id") or "").rpartition("/")[2]
    found: dict[str, Any] = route53._zones.get(identity) or {}
    return found


def _name(text: str) -> str:
    return text.lower().rstrip(".")


def _changes(given: Given) -> Iterator[tuple[str, dict[str, Any]]]:
    for one in (given.get("ChangeBatch") or {}).get("Changes") or []:
        yield one["Action"], one["ResourceRecordSet"]


def _existing(given: Given) -> list[dict[str, Any]]:
    identity = (given.get("HostedZoneId") or given.get("Id") or "").rpartition("/")[2]
    return [*(route53._records.get(identity) or [])]


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return (
        _name(one["Name"]) == _name(other["Name"])
        and one["Type"] == other["Type"]
        and (one.get("SetIdentifier") or "") == (other.get("SetIdentifier") or "")
    )


_CHANGE: Final = "ChangeResourceRecordSets"


@rule("route53", _CHANGE, "NoSuchHostedZone", f"{_API}ChangeResourceRecordSets.html")
def zone_is_there(given: Given) -> Any:
    """A record's hosted zone exists."""
    return not _zone(given)


@rule("route53", _CHANGE, _BATCH, f"{_API}ChangeResourceRecordSets.html")
def record_is_in_its_zone(given: Given) -> Any:
    """A record's name belongs to its hosted zone."""
    zone = _name(_zone(given)["name"])
    names = [_name(one["Name"]) for _, one in _changes(given)]
    return any(name != zone and not name.endswith(f".{zone}") for name in names)


@rule("route53", _CHANGE, _BATCH, f"{_GUIDE}ResourceRecordTypes.html")
def no_alias_at_the_apex(given: Given) -> Any:
    """A zone's own name has no CNAME record."""
    zone = _name(_zone(given)["name"])
    return any(one["Type"] == "CNAME" and _name(one["Name"]) == zone for _, one in _changes(given))


@rule("route53", _CHANGE, _BATCH, f"{_GUIDE}ResourceRecordTypes.html")
def cname_is_alone(given: Given) -> Any:
    """A name with a CNAME record has no others."""
    return any(
        action != "DELETE"
        and _name(one["Name"]) == _name(other["Name"])
        and (one["Type"] == "CNAME") != (other["Type"] == "CNAME")
        for action, one in _changes(given)
        for other in _existing(given)
    )


@rule("route53", _CHANGE, _BATCH, f"{_API}ResourceRecordSet.html")
def record_or_alias(given: Given) -> Any:
    """A record has either an alias target or a TTL with values."""
    return any(
        bool(one.get("AliasTarget")) == bool(one.get("ResourceRecords"))
        or (one.get("TTL") is None) != bool(one.get("AliasTarget"))
        for _, one in _changes(given)
    )


@rule("route53", _CHANGE, _BATCH, f"{_GUIDE}ResourceRecordTypes.html")
def record_values(given: Given) -> Any:
    """A record's values fit the record's type: an address, a quoted text, a name."""
    forms: dict[str, Callable[[str], Any]] = {
        "A": lambda value: _version(value) == 4,
        "AAAA": lambda value: _version(value) == 6,
        "TXT": lambda value: re.fullmatch(r'("(\\.|[^"\\]){0,255}"\s*)+', value),
        "MX": lambda value: re.fullmatch(r"\d{1,5} \S+", value),
        "CNAME": lambda value: re.fullmatch(r"[\w.*-]+", value),
        "CAA": lambda value: re.fullmatch(r'\d{1,3} \w+ "[^"]*"', value),
    }
    return any(
        not forms.get(one["Type"], bool)(record["Value"])
        for _, one in _changes(given)
        for record in one.get("ResourceRecords") or []
    )


def _version(value: str) -> int:
    try:
        return ip_address(value).version
    except ValueError:
        return 0


@rule("route53", _CHANGE, _BATCH, f"{_API}AliasTarget.html")
def alias_target(given: Given) -> Any:
    """An alias of a load balancer has the load balancer's zone id, and its name exists."""
    for _, one in _changes(given):
        target = one.get("AliasTarget") or {}
        name = _name(target.get("DNSName") or "").removeprefix("dualstack.")
        if name.endswith(".elb.amazonaws.com") and (
            target.get("HostedZoneId") != _LOAD_BALANCERS or not state.load_balancer_is_named(name)
        ):
            return True
    return False


@rule("route53", "CreateHostedZone", "InvalidDomainName", f"{_API}CreateHostedZone.html")
def zone_name(given: Given) -> Any:
    """A hosted zone's name is a domain name, with labels of up to 63 characters."""
    return not re.fullmatch(r"(?=.{1,255}$)([\w-]{1,63}\.)*[\w-]{1,63}\.?", given["Name"])


def _check(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = given.get("HealthCheckConfig") or {}
    if "HealthCheckId" in given:
        known = route53._health_checks.get(given["HealthCheckId"]) or {}
        return {**(known.get("config") or {}), **given}
    return found


@rule("route53", _CHECK, "InvalidInput", f"{_API}HealthCheckConfig.html")
def health_check_interval(given: Given) -> Any:
    """A health check is sent every 10 or 30 seconds."""
    return int(_check(given).get("RequestInterval") or 30) not in {10, 30}


@rule("route53", "CreateHealthCheck", "InvalidInput", f"{_API}HealthCheckConfig.html")
def health_check_address(given: Given) -> Any:
    """A health check of an endpoint has an address that is public, or a domain name."""
    check = _check(given)
    if not check.get("Type", "").startswith(("HTTP", "TCP")):
        return False
    address = check.get("IPAddress")
    if address and (not _version(address) or ip_address(address).is_private):
        return True
    return not address and not check.get("FullyQualifiedDomainName")


@rule("route53", "CreateHealthCheck", "InvalidInput", f"{_API}HealthCheckConfig.html")
def health_check_search(given: Given) -> Any:
    """A health check has a search string, of up to 255 characters, if its type needs one."""
    check = _check(given)
    text = check.get("SearchString") or ""
    return check.get("Type", "").endswith("_STR_MATCH") != bool(text) or len(text) > 255


@rule("route53", "CreateHealthCheck", "InvalidInput", f"{_API}HealthCheckConfig.html")
def tcp_check_has_no_path(given: Given) -> Any:
    """A TCP health check has a port and no path; a path begins with a slash."""
    check = _check(given)
    path = check.get("ResourcePath")
    if check.get("Type") == "TCP":
        return path or not check.get("Port")
    return path is not None and not path.startswith("/")
