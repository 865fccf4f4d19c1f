"""What moto's services lack of what Terraform calls."""

import json
from typing import Any, Final

from moto.amp import urls as prometheus_urls
from moto.amp.responses import PrometheusServiceResponse
from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.codedeploy.responses import CodeDeployResponse
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

from zama_ops.emulator.patching import add, answer_in_turn, replace

# By ARN.
_scaling_tags: Final[dict[str, dict[str, str]]] = {}
# By workspace.
_metrics_keys: Final[dict[str, str | None]] = {}
# By workspace, as given: in base64.
_alert_managers: Final[dict[str, str]] = {}


def correct() -> None:
    """Replace moto's methods, and add those that are missing."""
    # A thread serves each request.
    answer_in_turn(DomainDispatcherApplication, "__call__")
    # The service is in MiniStack's ECS, where moto cannot look.
    replace(ApplicationAutoscalingBackend, "_ecs_service_exists_for_target", lambda *_: True)
    replace(ApplicationAutoScalingResponse, "register_scalable_target", _register_with_tags)
    add(ApplicationAutoScalingResponse, "list_tags_for_resource", _list_scaling_tags)
    replace(PrometheusServiceResponse, "create_workspace", _create_with_key)
    replace(PrometheusServiceResponse, "describe_workspace", _describe_with_key)
    path = "{0}/workspaces/(?P<workspace_id>[^/]+)/alertmanager/definition$"
    prometheus_urls.url_paths[path] = PrometheusServiceResponse.dispatch
    for action, method in {
        "create": _put_alert_manager,
        "put": _put_alert_manager,
        "describe": _describe_alert_manager,
        "delete": _delete_alert_manager,
    }.items():
        add(PrometheusServiceResponse, f"{action}_alert_manager_definition", method)
    add(CodeDeployResponse, "delete_application", _delete_application)
    add(CodeDeployResponse, "delete_deployment_group", _delete_deployment_group)


def _register_with_tags(original: Any, response: Any) -> str:
    answer: str = original(response)
    tags = response._get_param("Tags")
    if tags:
        _scaling_tags[json.loads(answer)["ScalableTargetARN"]] = tags
    return answer


def _list_scaling_tags(response: Any) -> str:
    return json.dumps({"Tags": _scaling_tags.get(response._get_param("ResourceARN"), {})})


def _create_with_key(original: Any, response: Any) -> str:
    answer: str = original(response)
    _metrics_keys[json.loads(answer)["workspaceId"]] = response._get_param("kmsKeyArn")
    return answer


def _describe_with_key(original: Any, response: Any) -> str:
    answer = json.loads(original(response))
    workspace = answer["workspace"]
    workspace["kmsKeyArn"] = _metrics_keys.get(workspace["workspaceId"])
    return json.dumps(answer)


def _put_alert_manager(response: Any) -> str:
    _alert_managers[response.path.split("/")[2]] = json.loads(response.body)["data"]
    return json.dumps({"status": {"statusCode": "ACTIVE"}})


def _describe_alert_manager(response: Any) -> Any:
    definition = _alert_managers.get(response.path.split("/")[2])
    if definition is None:
        return 404, {}, json.dumps({"__type": "ResourceNotFoundException", "message": "None."})
    described = {"status": {"statusCode": "ACTIVE"}, "data": definition}
    times = {"createdAt": 0, "modifiedAt": 0}
    return json.dumps({"alertManagerDefinition": {**described, **times}})


def _delete_alert_manager(response: Any) -> str:
    _alert_managers.pop(response.path.split("/")[2], None)
    return "{}"


def _delete_application(response: Any) -> str:
    response.codedeploy_backend.applications.pop(response._get_param("applicationName"), None)
    return "{}"


def _delete_deployment_group(response: Any) -> str:
    groups = response.codedeploy_backend.deployment_groups
    groups[response._get_param("applicationName")].pop(
        response._get_param("deploymentGroupName"), None
    )
    return "{}"
