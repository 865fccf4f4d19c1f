"""Metrics of Application Load Balancers.

https://docs.aws.amazon.com/elasticloadbalancing/latest/application/load-balancer-cloudwatch-metrics.html

Metrics per availability zone are not published: a target has no zone here.
"""

import time
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, Final

from ministack.core.responses import StreamingResponse
from ministack.services import alb

from zama_emulator.metrics import Meter, meter
from zama_emulator.patching import Original

_NAMESPACE: Final = "AWS/ApplicationELB"
_CLASSES: Final = (2, 3, 4, 5)


@dataclass
class Route:
    """The target group that a request was sent to, and the seconds until its answer began."""

    group: str | None = None
    seconds: float = 0.0


current: Final[ContextVar[Route]] = ContextVar("route")
"""The route of the request that this context serves."""


async def dispatch(
    original: Original, balancer: dict[str, Any], *request: Any, **named: Any
) -> Any:
    """A load balancer counts each request."""
    route = Route()
    token = current.set(route)
    try:
        answer = await original(balancer, *request, **named)
    finally:
        current.reset(token)
    status, _, body = answer
    count(
        meter,
        balancer["LoadBalancerArn"],
        route.group,
        status,
        route.seconds if isinstance(body, StreamingResponse) else None,
    )
    return answer


async def proxy(original: Original, target: Any, group: dict[str, Any], *request: Any) -> Any:
    """A request is counted for the target group that it was sent to."""
    current.get(Route()).group = group["TargetGroupArn"]
    return await original(target, group, *request)


def response(original: Original, connection: Any) -> Any:
    """The response time is that of the target, without the time that the emulator needs itself.

    It begins when the request has left the load balancer, and ends when the target starts to send
    the response's headers.
    """
    began = time.perf_counter()
    received = original(connection)
    # The thread of a request to a target has the request's context, and no other connection has it.
    current.get(Route()).seconds = time.perf_counter() - began
    return received


def count(
    into: Meter, balancer: str, group: str | None, status: int, seconds: float | None
) -> None:
    """Count a request; `seconds` is None if the load balancer made the answer itself.

    RequestCount counts only requests for which a target was chosen. A metric of the load balancer's
    own answers has no data, rather than a zero, in a minute without them.
    """
    of_balancer = {"LoadBalancer": short_name(balancer)}
    scopes = [of_balancer]
    if group is not None:
        scopes.append({**of_balancer, "TargetGroup": short_name(group)})
    name = f"{status // 100}XX_Count"
    for dimensions in scopes:
        if group is not None:
            into.add(_NAMESPACE, dimensions, {"RequestCount": 1})
        if seconds is not None:
            zeros = {f"HTTPCode_Target_{one}XX_Count": 0.0 for one in _CLASSES}
            into.add(_NAMESPACE, dimensions, {**zeros, f"HTTPCode_Target_{name}": 1})
            into.add(_NAMESPACE, dimensions, {"TargetResponseTime": seconds})
        elif group is not None:
            into.add(_NAMESPACE, dimensions, {"TargetConnectionErrorCount": 1})
    if seconds is None:
        own = {f"HTTPCode_ELB_{name}": 1}
        if status >= 500:
            own[f"HTTPCode_ELB_{status}_Count"] = 1
        into.add(_NAMESPACE, of_balancer, own)


def short_name(arn: str) -> str:
    """Return a load balancer's or target group's dimension: the end of its ARN."""
    if ":loadbalancer/" in arn:
        return arn.partition(":loadbalancer/")[2]
    return arn.rpartition(":")[2]


def sample_hosts(into: Meter) -> None:
    """Count each target group's healthy and unhealthy targets, if it has registered targets.

    A target that is new or draining is neither.
    """
    for arn, group in list(alb._tgs.items()):
        states = [one.get("State") for one in alb._targets.get(arn, [])]
        registered = [state for state in states if state != "draining"]
        for balancer in balancers(arn) if registered else ():
            into.add(
                _NAMESPACE,
                {
                    "LoadBalancer": short_name(balancer),
                    "TargetGroup": short_name(group["TargetGroupArn"]),
                },
                {
                    "HealthyHostCount": registered.count("healthy"),
                    "UnHealthyHostCount": registered.count("unhealthy"),
                },
            )


def balancers(group: str) -> list[str]:
    """Return the ARNs of the load balancers that can forward to a target group."""
    return sorted(
        {
            alb._listeners[rule["ListenerArn"]]["LoadBalancerArn"]
            for rule in list(alb._rules.values())
            if rule["ListenerArn"] in alb._listeners
            for action in rule["Actions"]
            if group == action.get("TargetGroupArn") or group in action.get("Weights", {})
        }
    )


def describe_groups(original: Original, params: Any) -> Any:
    """A target group names the load balancers that forward to it, also by weight."""
    for arn, group in list(alb._tgs.items()):
        group["LoadBalancerArns"] = sorted({*group["LoadBalancerArns"], *balancers(arn)})
    return original(params)
