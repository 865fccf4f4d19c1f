"""Application Load Balancers as AWS runs them.

Each function's docstring describes AWS's behaviour, which MiniStack lacks.
"""

import concurrent.futures
import http.client
import random
import time
from typing import Any, Final

from ministack.core.responses import request_scope
from ministack.services import alb

from zama_emulator.patching import Original

_TICK_SECONDS: Final = 0.25


def state(group: str, address: str | None) -> str:
    """Return a target's state in a target group, or "" if the group does not have it."""
    targets = alb._targets.get(group, [])
    return next((one.get("State", "") for one in targets if one["Id"] == address), "")


def is_registered(address: str | None) -> bool:
    """Say whether any target group still has a target, even if it is draining."""
    return any(state(group, address) for group in list(alb._tgs))


def register(
    _original: Original, group: str, targets: list[tuple[str, int]], previous: list[str]
) -> bool:
    """A new target starts as `initial`; a deregistered target drains before it is removed.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/edit-target-group-attributes.html
    """
    if group not in alb._tgs:
        return False
    attributes = {one["Key"]: one["Value"] for one in alb._tg_attrs.get(group, [])}
    delay = float(attributes["deregistration_delay.timeout_seconds"])
    known = {one["Id"]: one for one in alb._targets.get(group, [])}
    wanted = dict(targets)
    for identity in set(previous) - set(wanted):
        if identity in known and known[identity]["State"] != "draining":
            known[identity] |= {"State": "draining", "Until": time.monotonic() + delay}
    for identity, port in wanted.items():
        known.setdefault(identity, {"Id": identity, "Port": port, **_UNCHECKED})
    alb._targets[group] = list(known.values())
    return True


_UNCHECKED: Final = {"State": "initial", "Passed": 0, "Failed": 0, "Next": 0.0}


def check_targets() -> None:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        while True:
            time.sleep(_TICK_SECONDS)
            for (account, region, arn), group in alb._tgs.all_items():
                with request_scope(account, region):
                    targets = alb._targets.get(arn, [])
                    gone = [one for one in targets if time.monotonic() > one.get("Until", 1e99)]
                    if gone:
                        alb._targets[arn] = [one for one in targets if one not in gone]
                    for target in targets:
                        if time.monotonic() >= target.setdefault("Next", 0.0):
                            target["Next"] = time.monotonic() + group["HealthCheckIntervalSeconds"]
                            pool.submit(_check, group, target)


def _check(group: dict[str, Any], target: dict[str, Any]) -> None:
    """Check a target once; enough equal results in a row change its state."""
    if _passes(group, target):
        target |= {"Passed": target.get("Passed", 0) + 1, "Failed": 0}
    else:
        target |= {"Passed": 0, "Failed": target.get("Failed", 0) + 1}
    if target.get("State") == "draining":
        return
    if target["Passed"] >= group["HealthyThresholdCount"]:
        target["State"] = "healthy"
    elif target["Failed"] >= group["UnhealthyThresholdCount"]:
        target["State"] = "unhealthy"


def _passes(group: dict[str, Any], target: dict[str, Any]) -> bool:
    timeout = group["HealthCheckTimeoutSeconds"]
    port = target.get("Port", group["Port"])
    connection = http.client.HTTPConnection(target["Id"], port, timeout=timeout)
    try:
        connection.request(
            "GET", group["HealthCheckPath"], headers={"User-Agent": "ELB-HealthChecker/2.0"}
        )
        status = connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()
    return str(status) in group["Matcher"]["HttpCode"].split(",")


def describe_target_health(_original: Original, params: Any) -> Any:
    """The state is the result of the health checks."""
    arn = alb._p(params, "TargetGroupArn")
    if arn not in alb._tgs:
        return alb._error("TargetGroupNotFound", f"Target group '{arn}' not found.")
    descriptions = "".join(
        f"<member><Target><Id>{one['Id']}</Id>"
        f"<Port>{one.get('Port', alb._tgs[arn]['Port'])}</Port></Target>"
        f"<TargetHealth><State>{one.get('State', 'initial')}</State></TargetHealth></member>"
        for one in alb._targets.get(arn, [])
    )
    return alb._xml(
        200,
        "DescribeTargetHealth",
        f"<TargetHealthDescriptions>{descriptions}</TargetHealthDescriptions>",
    )


async def forward_to_healthy(original: Original, arn: str, *request: Any) -> Any:
    """A request goes to a healthy target, or to any target if all are unhealthy.

    https://docs.aws.amazon.com/elasticloadbalancing/latest/application/target-group-health-checks.html
    """
    targets = alb._targets.get(arn, [])
    for wanted in ("healthy", "unhealthy"):
        candidates = [one for one in targets if one.get("State") == wanted]
        if candidates:
            target = random.choice(candidates)  # noqa: S311 - not a secret
            method, path, headers, body, query, raw_query, raw_path = request
            return await alb._proxy_http_target(
                target, alb._tgs[arn], method, raw_path or path, headers, body, query, raw_query
            )
    if arn in alb._tgs:
        return 503, {"Content-Type": "text/html"}, b"<h1>503 Service Temporarily Unavailable</h1>"
    return await original(arn, *request)


def parse_weights(original: Original, params: Any, prefix: str = "DefaultActions") -> Any:
    """A listener forwards to several target groups, by weight."""
    actions = original(params, prefix)
    for number, action in enumerate(actions, 1):
        path = f"{prefix}.member.{number}.ForwardConfig.TargetGroups.member"
        weights: dict[str, int] = {}
        while arn := alb._p(params, f"{path}.{len(weights) + 1}.TargetGroupArn"):
            weights[arn] = int(alb._p(params, f"{path}.{len(weights) + 1}.Weight", "1"))
        if weights:
            action["Weights"] = weights
        if len(weights) == 1:
            action["TargetGroupArn"] = next(iter(weights))
    return actions


def weights_xml(original: Original, action: dict[str, Any]) -> str:
    groups = "".join(
        f"<member><TargetGroupArn>{arn}</TargetGroupArn><Weight>{weight}</Weight></member>"
        for arn, weight in action.get("Weights", {}).items()
    )
    xml: str = original(action)
    if not groups:
        return xml
    forward = (
        f"<ForwardConfig><TargetGroups>{groups}</TargetGroups><TargetGroupStickinessConfig>"
        "<Enabled>false</Enabled></TargetGroupStickinessConfig></ForwardConfig>"
    )
    return xml.replace("</member>", f"{forward}</member>")


async def choose_by_weight(original: Original, action: dict[str, Any], *request: Any) -> Any:
    weights = action.get("Weights")
    if weights:
        (arn,) = random.choices([*weights], [*weights.values()])  # noqa: S311 - not a secret
        action = {**action, "TargetGroupArn": arn}
    return await original(action, *request)


def is_for_load_balancer(original: Original, host: str, path: str) -> bool:
    """A load balancer also answers under custom host names."""
    name = host.split(":", maxsplit=1)[0].lower()
    own = ("localhost", "127.0.0.1")
    return bool(original(host, path)) or not name.endswith((*own, ".localhost", ".amazonaws.com"))


def only_load_balancer(original: Original, host: str) -> Any:
    balancer = original(host)
    everyone = list(alb._lbs.values())
    if (
        balancer is None
        and len(everyone) == 1
        and not host.split(":", maxsplit=1)[0].endswith(".amazonaws.com")
    ):
        return everyone[0]
    return balancer
