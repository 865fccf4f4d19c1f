"""CodeDeploy's blue/green deployments of ECS services.

https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-steps-ecs.html

A deployment starts a second task set, lets hooks test it on the test listener, shifts the traffic,
waits, and stops the first task set. An alarm, a failed hook, a request to stop or a failure ends it
early; then an automatic rollback is a second deployment, which shifts the traffic back.
"""

import json
import re
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Final

import yaml
from ministack.core import concurrency
from ministack.core.responses import request_scope
from ministack.services import alb, ecs, lambda_svc
from moto.codedeploy.models import DeploymentInfo
from moto.core.exceptions import JsonRESTError
from moto.core.responses import ActionResult, EmptyResult

from zama_emulator import ACCOUNT, REGION, alarms, task_sets
from zama_emulator.clock import clock
from zama_emulator.patching import Original

_POLL_SECONDS: Final = 0.25
_HOUR: Final = 3600.0
_EVENTS: Final = (
    "BeforeInstall", "Install", "AfterInstall", "AllowTestTraffic", "AfterAllowTestTraffic",
    "BeforeAllowTraffic", "AllowTraffic", "AfterAllowTraffic",
)  # fmt: skip

_ENDED: Final = frozenset({"Succeeded", "Failed", "Stopped"})
# A target has fewer states than a deployment.
_TARGET_STATUS: Final = {"Created": "Pending", "Stopped": "Failed"}

# Deployments, by id; and results of hooks, by execution.
_runs: Final[dict[str, "Run"]] = {}
_hooks: Final[dict[str, str]] = {}


class StoppedError(Exception):
    """The deployment ends early: a status, an error code, and the event that rolls it back."""

    def __init__(self, status: str, code: str, event: str, message: str) -> None:
        super().__init__(message)
        self.status, self.code, self.event = status, code, event


def shifts(configuration: str) -> Iterator[tuple[float, int]]:
    """Yield the steps of a deployment configuration: minutes, and the new version's percentage.

    https://docs.aws.amazon.com/codedeploy/latest/userguide/deployment-configurations.html
    """
    if canary := re.search(r"Canary(\d+)Percent(\d+)Minutes?$", configuration):
        yield 0, int(canary[1])
        yield int(canary[2]), 100
    elif linear := re.search(r"Linear(\d+)PercentEvery(\d+)Minutes?$", configuration):
        for number, percent in enumerate(range(int(linear[1]), 101, int(linear[1]))):
            yield number * int(linear[2]), percent
    else:
        yield 0, 100


class Run:
    """A deployment as it happens."""

    def __init__(self, backend: Any, deployment: Any) -> None:
        self._backend = backend
        self.deployment = deployment
        self._group = group = deployment.deployment_group
        self.events: dict[str, dict[str, Any]] = {
            name: {"lifecycleEventName": name, "status": "Pending"} for name in _EVENTS
        }
        self._stopped = False
        self.rolls_back_on_stop: bool | None = None
        self._continued = threading.Event()
        (named,) = group.ecs_services
        self.service = ecs._services[f"{named['clusterName']}/{named['serviceName']}"]
        (self._pair,) = group.load_balancer_info["targetGroupPairInfoList"]
        self.blue = next(one for one in self.service["taskSets"] if one["status"] == "PRIMARY")
        self.green: dict[str, Any] | None = None

    # --- Calls -----------------------------------------------------------------------------

    def stop(self, *, roll_back: bool | None) -> None:
        """End the deployment; `roll_back` overrides the deployment group's setting."""
        self._stopped, self.rolls_back_on_stop = True, roll_back

    def go_on(self) -> None:
        """Shift the traffic now, or stop the old tasks now, without the rest of the wait."""
        self._continued.set()

    def target(self, deployment: Any) -> dict[str, Any]:
        """Return the target of the deployment or of its rollback, as GetDeploymentTarget does."""
        weights = self._weights()
        name = self.service["serviceName"]
        infos = [
            {
                "identifer": one["id"],
                "desiredCount": one["computedDesiredCount"],
                "pendingCount": one["pendingCount"],
                "runningCount": one["runningCount"],
                "status": one["status"],
                "trafficWeight": float(weights.get(_group_of(one), 0)),
                "targetGroup": {"name": alb._tgs[_group_of(one)]["TargetGroupName"]},
                "taskSetLabel": "Blue" if one is self.blue else "Green",
            }
            for one in self.service["taskSets"]
        ]
        return {
            "deploymentTargetType": "ECSTarget",
            "ecsTarget": {
                "deploymentId": deployment.deployment_id,
                "targetId": f"{task_sets.cluster_of(self.service)}:{name}",
                "targetArn": self.service["serviceArn"],
                "lastUpdatedAt": datetime.now(UTC),
                "lifecycleEvents": [*self.events.values()],
                "status": _TARGET_STATUS.get(deployment.status, deployment.status),
                "taskSetsInfo": infos,
            },
        }

    # --- Deploy -------------------------------------------------------------------------------

    def run(self) -> None:
        """Deploy, or roll back."""
        self.deployment.status, self.deployment.start_time = "InProgress", datetime.now(UTC)
        try:
            self._deploy()
        except StoppedError as stopped:
            self._end(stopped)
        except Exception as error:
            self._end(StoppedError("Failed", "INTERNAL_ERROR", "DEPLOYMENT_FAILURE", str(error)))
            raise
        else:
            self.deployment.status = "Succeeded"
            self.deployment.complete_time = datetime.now(UTC)

    def _deploy(self) -> None:
        spec = _spec(self.deployment)
        hooks = {name: function for one in spec["hooks"] for name, function in one.items()}

        def event(name: str, act: Callable[[], None] | None = None) -> None:
            self._event(name, act or (lambda: self._hook(name, hooks.get(name))))

        for one in [*self.service["taskSets"]]:
            # A deployment that was stopped without a rollback leaves its task set.
            if one is not self.blue:
                task_sets.delete(self.service, one)
        event("BeforeInstall")
        event("Install", lambda: self._install(spec))
        event("AfterInstall")
        event("AllowTestTraffic", lambda: self._route("testTrafficRoute", 100))
        event("AfterAllowTestTraffic")
        self._ready()
        event("BeforeAllowTraffic")
        event("AllowTraffic", self._shift)
        event("AfterAllowTraffic")
        self._terminate()

    def _event(self, name: str, act: Callable[[], None]) -> None:
        event = self.events[name]
        event |= {"status": "InProgress", "startTime": datetime.now(UTC)}
        try:
            self._check()
            act()
        except BaseException:
            event |= {"status": "Failed", "endTime": datetime.now(UTC)}
            raise
        event |= {"status": "Succeeded", "endTime": datetime.now(UTC)}

    def _install(self, spec: dict[str, Any]) -> None:
        green_group = next(arn for arn in self._group_arns() if arn != _group_of(self.blue))
        (balancer,) = self.blue["loadBalancers"]
        self.green = green = task_sets.create(
            self.service,
            self.deployment.deployment_id,
            loadBalancers=[{**balancer, **spec["balancer"], "targetGroupArn": green_group}],
            taskDefinition=spec["definition"],
            **spec["changes"],
        )
        late = "The replacement task set did not become healthy within 60 minutes."
        self._until(lambda: task_sets.is_stable(self.service, green), _HOUR, late)

    def _ready(self) -> None:
        option = self._group.blue_green_deployment_configuration["deploymentReadyOption"]
        if option.get("actionOnTimeout") == "STOP_DEPLOYMENT":
            self.deployment.status = "Ready"
            seconds = 60.0 * option.get("waitTimeInMinutes", 0)
            if not self._wait(time.time(), seconds, self._continued.is_set):
                raise StoppedError("Stopped", "TIMEOUT", "DEPLOYMENT_STOP_ON_REQUEST",
                                   "The traffic was not rerouted in time.")  # fmt: skip
            self.deployment.status = "InProgress"

    def _shift(self) -> None:
        began = time.time()
        for minutes, percent in shifts(str(self.deployment.deployment_config_name)):
            self._wait(began, 60 * minutes)
            self._route("prodTrafficRoute", percent)
        if self.green:
            task_sets.make_primary(self.service, self.green)

    def _terminate(self) -> None:
        option = self._group.blue_green_deployment_configuration[
            "terminateBlueInstancesOnDeploymentSuccess"
        ]
        if option["action"] == "TERMINATE":
            self.deployment.instance_termination_wait_time_started = True
            self._continued.clear()
            minutes = option.get("terminationWaitTimeInMinutes", 0)
            self._wait(time.time(), 60 * minutes, self._continued.is_set)
            task_sets.delete(self.service, self.blue)

    # --- Hooks --------------------------------------------------------------------------------

    def _hook(self, name: str, function: str | None) -> None:
        """Invoke a hook's function, which reports its result, and wait for that up to an hour.

        https://docs.aws.amazon.com/codedeploy/latest/userguide/reference-appspec-file-structure-hooks.html
        """
        if function is None:
            return
        execution = f"{self.deployment.deployment_id}-{name}"
        _hooks[execution] = "InProgress"
        invoke(
            function,
            {
                "DeploymentId": self.deployment.deployment_id,
                "LifecycleEventHookExecutionId": execution,
            },
        )
        late = f"The hook {name} did not report a result within an hour."
        self._until(lambda: _hooks[execution] != "InProgress", _HOUR, late)
        if _hooks.pop(execution) != "Succeeded":
            raise StoppedError(
                "Failed", "HOOK_EXECUTION_FAILURE", "DEPLOYMENT_FAILURE", f"The hook {name} failed."
            )

    # --- Waits --------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._stopped:
            raise StoppedError("Stopped", "MANUAL_STOP", "DEPLOYMENT_STOP_ON_REQUEST",
                               "The deployment was stopped.")  # fmt: skip
        override = self.deployment.override_alarm_configuration
        watched = override or self._group.alarm_configuration or {}
        if watched.get("enabled"):
            active = alarms.in_alarm([one["name"] for one in watched["alarms"]])
            if active:
                raise StoppedError("Stopped", "ALARM_ACTIVE", "DEPLOYMENT_STOP_ON_ALARM",
                                   f"These alarms are in ALARM: {', '.join(active)}.")  # fmt: skip

    def _until(self, done: Callable[[], bool], seconds: float, late: str) -> None:
        if not self._wait(time.time(), seconds, done):
            raise StoppedError("Failed", "TIMEOUT", "DEPLOYMENT_FAILURE", late)

    def _wait(self, began: float, seconds: float, done: Callable[[], bool] = lambda: False) -> bool:
        """Wait until `done`, or `seconds` of AWS after `began`; return whether it is done."""
        while not (is_done := done()) and time.time() < began + clock.seconds(seconds):
            self._check()
            time.sleep(_POLL_SECONDS)
        return is_done

    # --- Traffic ------------------------------------------------------------------------------

    def _group_arns(self) -> list[str]:
        names = [one["name"] for one in self._pair["targetGroups"]]
        return [arn for arn, one in list(alb._tgs.items()) if one["TargetGroupName"] in names]

    def _route(self, route: str, percent: int) -> None:
        """Send a percentage of a listener's requests to the new task set."""
        if self.green is None:
            return
        weights = {_group_of(self.green): percent, _group_of(self.blue): 100 - percent}
        for arn in (self._pair.get(route) or {}).get("listenerArns", []):
            for rule in list(alb._rules.values()):
                if rule["ListenerArn"] == arn:
                    rule["Actions"] = [_weighted(action, weights) for action in rule["Actions"]]
                    if rule["IsDefault"]:
                        alb._listeners[arn]["DefaultActions"] = rule["Actions"]

    def _weights(self) -> dict[str, int]:
        (arn,) = self._pair["prodTrafficRoute"]["listenerArns"]
        for action in alb._listeners[arn]["DefaultActions"]:
            if action["Type"] == "forward":
                return action.get("Weights") or {action["TargetGroupArn"]: 100}
        return {}

    # --- End ----------------------------------------------------------------------------------

    def _end(self, stopped: StoppedError) -> None:
        """End early, and roll back if the deployment group is configured to."""
        ended = self.deployment
        ended.error_information = {"code": stopped.code, "message": str(stopped)}
        setting = self._group.auto_rollback_configuration or {}
        rolls_back = setting.get("enabled") and stopped.event in setting.get("events", [])
        if stopped.code == "MANUAL_STOP" and self.rolls_back_on_stop is not None:
            rolls_back = self.rolls_back_on_stop
        back = self._rollback(str(stopped)) if rolls_back else None
        ended.status, ended.complete_time = stopped.status, datetime.now(UTC)
        if back:
            self._route("testTrafficRoute", 0)
            self._route("prodTrafficRoute", 0)
            task_sets.make_primary(self.service, self.blue)
            if self.green:
                task_sets.delete(self.service, self.green)
            back.status, back.complete_time = "Succeeded", datetime.now(UTC)

    def _rollback(self, message: str) -> Any:
        """Record the rollback, which is a deployment of the previous version.

        https://docs.aws.amazon.com/codedeploy/latest/userguide/deployments-rollback-and-redeploy.html
        """
        ended = self.deployment
        spec = json.loads(json.dumps(_content(ended)))
        (resource,) = _member(spec, "resources")
        (target,) = resource.values()
        target["Properties"]["TaskDefinition"] = self.blue["taskDefinition"]
        revision = {
            "revisionType": "AppSpecContent",
            "appSpecContent": {"content": json.dumps(spec)},
        }
        back: Any = DeploymentInfo(
            ended.application, ended.deployment_group, revision,
            ended.deployment_config_name, f"Rollback of {ended.deployment_id}", None, None, None,
            None, None, None, "codeDeployRollback",
        )  # fmt: skip
        back.status = "InProgress"
        back.start_time = back.create_time
        told = {"rollbackMessage": message}
        back.rollback_info = {**told, "rollbackTriggeringDeploymentId": ended.deployment_id}
        ended.rollback_info = {**told, "rollbackDeploymentId": back.deployment_id}
        self._backend.deployments[back.deployment_id] = back
        _runs[back.deployment_id] = self
        return back


def invoke(function: str, payload: dict[str, str]) -> None:
    """Invoke a Lambda function without waiting for it."""
    found = lambda_svc._functions.get(lambda_svc._resolve_name(function))
    if found is None:
        raise StoppedError("Failed", "HOOK_EXECUTION_FAILURE", "DEPLOYMENT_FAILURE",
                           f"There is no function {function}.")  # fmt: skip
    lambda_svc.invoke_async_with_retry(found, payload)


def _weighted(action: dict[str, Any], weights: dict[str, int]) -> dict[str, Any]:
    groups = {action.get("TargetGroupArn"), *action.get("Weights", {})}
    if action["Type"] != "forward" or not groups & {*weights}:
        return action
    return {**action, "TargetGroupArn": "", "Weights": weights}


def _group_of(task_set: dict[str, Any]) -> str:
    (balancer,) = task_set["loadBalancers"]
    return str(balancer["targetGroupArn"])


def _content(deployment: DeploymentInfo) -> Any:
    # JSON is also YAML.
    return yaml.safe_load(deployment.revision["appSpecContent"]["content"])


def _member(spec: dict[str, Any], name: str) -> Any:
    """Return a member of an AppSpec, whose names begin with a capital letter in JSON."""
    return spec.get(name) or spec.get(name.capitalize()) or []


def _spec(deployment: DeploymentInfo) -> dict[str, Any]:
    content = _content(deployment)
    (resource,) = _member(content, "resources")
    (target,) = resource.values()
    properties = target["Properties"]
    changes: dict[str, Any] = {}
    if network := (properties.get("NetworkConfiguration") or {}).get("AwsvpcConfiguration"):
        lower = {name[0].lower() + name[1:]: value for name, value in network.items()}
        changes["networkConfiguration"] = {"awsvpcConfiguration": lower}
    if properties.get("PlatformVersion"):
        changes["platformVersion"] = properties["PlatformVersion"]
    balancer = properties["LoadBalancerInfo"]
    return {
        "definition": properties["TaskDefinition"],
        "balancer": {
            "containerName": balancer["ContainerName"],
            "containerPort": int(balancer["ContainerPort"]),
        },
        "changes": changes,
        "hooks": _member(content, "hooks"),
    }


# --- Calls ----------------------------------------------------------------------------------------


def create(original: Original, backend: Any, *arguments: Any, **named: Any) -> str:
    """A deployment to ECS begins at once."""
    identity: str = original(backend, *arguments, **named)
    deployment = backend.deployments[identity]
    if deployment.application.compute_platform == "ECS":
        with request_scope(ACCOUNT, REGION):
            _runs[identity] = run = Run(backend, deployment)
            concurrency.spawn_background(run.run, thread_name="zama-codedeploy")
    return identity


def info(original: Original, deployment: DeploymentInfo) -> dict[str, Any]:
    """A deployment's description has the error that ended it, and its rollback."""
    described: dict[str, Any] = original(deployment)
    return described | {
        "errorInformation": getattr(deployment, "error_information", None),
        "rollbackInfo": getattr(deployment, "rollback_info", None),
    }


def stop_deployment(response: Any) -> ActionResult:
    if _deployment(response).status in _ENDED:
        raise JsonRESTError(
            "DeploymentAlreadyCompletedException", "The deployment has already completed."
        )
    _run(response).stop(roll_back=response._get_param("autoRollbackEnabled"))
    return ActionResult({"status": "Pending", "statusMessage": "The deployment is stopping."})


def continue_deployment(response: Any) -> EmptyResult:
    _run(response).go_on()
    return EmptyResult()


def list_deployment_targets(response: Any) -> ActionResult:
    return ActionResult({"targetIds": [_target(response)["ecsTarget"]["targetId"]]})


def get_deployment_target(response: Any) -> ActionResult:
    return ActionResult({"deploymentTarget": _target(response)})


def batch_get_deployment_targets(response: Any) -> ActionResult:
    return ActionResult({"deploymentTargets": [_target(response)]})


def put_lifecycle_event_hook_execution_status(response: Any) -> ActionResult:
    execution = response._get_param("lifecycleEventHookExecutionId")
    if execution in _hooks:
        _hooks[execution] = response._get_param("status")
    return ActionResult({"lifecycleEventHookExecutionId": execution})


def _target(response: Any) -> dict[str, Any]:
    with request_scope(ACCOUNT, REGION):
        return _run(response).target(_deployment(response))


def _run(response: Any) -> Run:
    return _runs[_deployment(response).deployment_id]


def _deployment(response: Any) -> Any:
    """Return the deployment that a call names, or raise AWS's error."""
    identity = response._get_param("deploymentId")
    return response.codedeploy_backend.get_deployment(deployment_id=identity)
