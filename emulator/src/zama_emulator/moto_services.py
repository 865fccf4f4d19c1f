"""Calls from Terraform that moto's services lack."""

import json
from typing import Any, Final

from moto.core.utils import camelcase_to_underscores

# By ARN.
_scaling_tags: Final[dict[str, dict[str, str]]] = {}
# By workspace.
_metrics_keys: Final[dict[str, str | None]] = {}
# By workspace, in base64, as given.
_alert_managers: Final[dict[str, str]] = {}


def register_with_tags(original: Any, response: Any) -> str:
    answer: str = original(response)
    tags = response._get_param("Tags")
    if tags:
        _scaling_tags[json.loads(answer)["ScalableTargetARN"]] = tags
    return answer


def list_scaling_tags(response: Any) -> str:
    return json.dumps({"Tags": _scaling_tags.get(response._get_param("ResourceARN"), {})})


def tag_scaling(response: Any) -> str:
    tags = _scaling_tags.setdefault(response._get_param("ResourceARN"), {})
    tags |= response._get_param("Tags")
    return "{}"


def untag_scaling(response: Any) -> str:
    tags = _scaling_tags.get(response._get_param("ResourceARN"), {})
    for key in response._get_param("TagKeys"):
        tags.pop(key, None)
    return "{}"


def create_with_key(original: Any, response: Any) -> str:
    answer: str = original(response)
    _metrics_keys[json.loads(answer)["workspaceId"]] = response._get_param("kmsKeyArn")
    return answer


def describe_with_key(original: Any, response: Any) -> str:
    answer = json.loads(original(response))
    workspace = answer["workspace"]
    workspace["kmsKeyArn"] = _metrics_keys.get(workspace["workspaceId"])
    return json.dumps(answer)


def put_alert_manager(response: Any) -> str:
    _alert_managers[response.path.split("/")[2]] = json.loads(response.body)["data"]
    return json.dumps({"status": {"statusCode": "ACTIVE"}})


def alert_manager(workspace: str) -> str | None:
    """Return the workspace's definition, in base64, or None without one."""
    return _alert_managers.get(workspace)


def describe_alert_manager(response: Any) -> Any:
    definition = alert_manager(response.path.split("/")[2])
    if definition is None:
        return 404, {}, json.dumps({"__type": "ResourceNotFoundException", "message": "None."})
    described = {"status": {"statusCode": "ACTIVE"}, "data": definition}
    times = {"createdAt": 0, "modifiedAt": 0}
    return json.dumps({"alertManagerDefinition": {**described, **times}})


def delete_alert_manager(response: Any) -> str:
    _alert_managers.pop(response.path.split("/")[2], None)
    return "{}"


def delete_application(response: Any) -> str:
    response.codedeploy_backend.applications.pop(response._get_param("applicationName"), None)
    return "{}"


def group_with_alarms(original: Any, group: Any) -> dict[str, Any]:
    described: dict[str, Any] = original(group)
    return {**described, "alarmConfiguration": group.alarm_configuration or {}}


def update_deployment_group(response: Any) -> str:
    groups = response.codedeploy_backend.deployment_groups[response._get_param("applicationName")]
    group = groups[response._get_param("currentDeploymentGroupName")]
    for name, value in json.loads(response.body).items():
        if hasattr(group, camelcase_to_underscores(name)):
            setattr(group, camelcase_to_underscores(name), value)
    return "{}"


def delete_deployment_group(response: Any) -> str:
    groups = response.codedeploy_backend.deployment_groups
    groups[response._get_param("applicationName")].pop(
        response._get_param("deploymentGroupName"), None
    )
    return "{}"
