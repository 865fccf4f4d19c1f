"""Rules of Application Auto Scaling."""

import re
from typing import Any, Final

from ministack.core.responses import get_region
from ministack.services import alb, ecs
from moto.applicationautoscaling.models import applicationautoscaling_backends

from zama_emulator import ACCOUNT
from zama_emulator.rules import Given, rule

_API: Final = "autoscaling/application/APIReference/API_"
_SERVICE: Final = "application-autoscaling"
_INVALID: Final = "ValidationException"


def _backend() -> Any:
    return applicationautoscaling_backends[ACCOUNT][get_region()]


def _target(given: Given) -> Any:
    names = [one.get(given.get("ResourceId")) for one in [*_backend().targets.values()]]
    return next(
        (one for one in names if one and one.scalable_dimension == given.get("ScalableDimension")),
        None,
    )


@rule(_SERVICE, "RegisterScalableTarget", _INVALID, f"{_API}RegisterScalableTarget.html")
def capacity_order(given: Given) -> Any:
    """A target's minimum capacity is not over its maximum, and neither is negative."""
    least, most = given.get("MinCapacity") or 0, given.get("MaxCapacity")
    return least < 0 or (most is not None and (most < 0 or least > most))


@rule(_SERVICE, "RegisterScalableTarget", _INVALID, f"{_API}RegisterScalableTarget.html")
def capacities_are_given(given: Given) -> Any:
    """A new target has a minimum and a maximum capacity."""
    return _target(given) is None and (
        given.get("MinCapacity") is None or given.get("MaxCapacity") is None
    )


@rule(_SERVICE, "RegisterScalableTarget", _INVALID, f"{_API}RegisterScalableTarget.html")
def scaled_service_exists(given: Given) -> Any:
    """The ECS service that is scaled exists."""
    name = given["ResourceId"].partition("/")[2]
    return given["ServiceNamespace"] == "ecs" and (
        (ecs._services.get(name) or {}).get("status") != "ACTIVE"
    )


@rule(_SERVICE, "PutScalingPolicy PutScheduledAction DeregisterScalableTarget", "ObjectNotFoundException",
      f"{_API}PutScalingPolicy.html")  # fmt: skip
def target_is_registered(given: Given) -> Any:
    """The target is registered."""
    return _target(given) is None


def _tracking(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = given.get("TargetTrackingScalingPolicyConfiguration") or {}
    return found


def _predefined(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = _tracking(given).get("PredefinedMetricSpecification") or {}
    return found


@rule(_SERVICE, "PutScalingPolicy", _INVALID, f"{_API}PutScalingPolicy.html")
def policy_configuration(given: Given) -> Any:
    """A new policy has the configuration that its type needs."""
    kind = given.get("PolicyType", "StepScaling")
    needed = {
        "TargetTrackingScaling": "TargetTrackingScalingPolicyConfiguration",
        "StepScaling": "StepScalingPolicyConfiguration",
        "PredictiveScaling": "PredictiveScalingPolicyConfiguration",
    }
    return not given.get(needed.get(kind, ""))


@rule(
    _SERVICE, "PutScalingPolicy", _INVALID, f"{_API}TargetTrackingScalingPolicyConfiguration.html"
)
def one_tracked_metric(given: Given) -> Any:
    """Target tracking has either a predefined or a customized metric."""
    tracking = _tracking(given)
    return tracking and bool(tracking.get("PredefinedMetricSpecification")) == bool(
        tracking.get("CustomizedMetricSpecification")
    )


@rule(_SERVICE, "PutScalingPolicy", _INVALID, f"{_API}PredefinedMetricSpecification.html")
def metric_fits_service(given: Given) -> Any:
    """A predefined metric for ECS is its CPU, its memory or its requests for each target."""
    known = {
        "ECSServiceAverageCPUUtilization",
        "ECSServiceAverageMemoryUtilization",
        "ALBRequestCountPerTarget",
    }
    kind = _predefined(given).get("PredefinedMetricType")
    return given["ServiceNamespace"] == "ecs" and kind and kind not in known


@rule(_SERVICE, "PutScalingPolicy", _INVALID, f"{_API}PredefinedMetricSpecification.html")
def resource_label(given: Given) -> Any:
    """ALBRequestCountPerTarget, and no other metric, has the label app/lb/id/targetgroup/name/id."""
    found = _predefined(given)
    label = found.get("ResourceLabel")
    if found.get("PredefinedMetricType") != "ALBRequestCountPerTarget":
        return label
    return not re.fullmatch(r"app/[\w-]+/\w+/targetgroup/[\w-]+/\w+", label or "")


@rule(_SERVICE, "PutScalingPolicy", _INVALID, f"{_API}PredefinedMetricSpecification.html")
def resource_label_exists(given: Given) -> Any:
    """The load balancer and the target group of a resource label exist."""
    balancer, found, group = (_predefined(given).get("ResourceLabel") or "").partition(
        "/targetgroup/"
    )
    return found and not (
        any(arn.endswith(f":loadbalancer/{balancer}") for arn in [*alb._lbs])
        and any(arn.endswith(f":targetgroup/{group}") for arn in [*alb._tgs])
    )


@rule(
    _SERVICE, "PutScalingPolicy", _INVALID, f"{_API}TargetTrackingScalingPolicyConfiguration.html"
)
def target_value(given: Given) -> Any:
    """A target value is over 0, and a utilization's up to 100."""
    value = _tracking(given).get("TargetValue")
    kind = _predefined(given).get("PredefinedMetricType") or ""
    return value is not None and not 0 < value <= (100 if "Utilization" in kind else 2**61)


@rule(
    _SERVICE, "PutScalingPolicy", _INVALID, f"{_API}TargetTrackingScalingPolicyConfiguration.html"
)
def cooldowns(given: Given) -> Any:
    """A cooldown is not negative, and at most an hour."""
    return any(
        not 0 <= (_tracking(given).get(name) or 0) <= 3600
        for name in ("ScaleInCooldown", "ScaleOutCooldown")
    )


@rule(_SERVICE, "PutScheduledAction", _INVALID, f"{_API}PutScheduledAction.html")
def schedule_form(given: Given) -> Any:
    """A schedule has the form at(...), rate(...) or cron(...) with six fields."""
    form = (
        r"at\(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\)|rate\(\d+ (minute|hour|day)s?\)"
        r"|cron\(\S+( \S+){5}\)"
    )
    return given.get("Schedule") and not re.fullmatch(form, given["Schedule"])
