"""What moto's services lack of what Terraform calls."""

import json
from typing import Any, Final

from moto.applicationautoscaling.models import ApplicationAutoscalingBackend
from moto.applicationautoscaling.responses import ApplicationAutoScalingResponse
from moto.codedeploy.responses import CodeDeployResponse

from zama_ops.emulator.patching import add, replace

# By ARN.
_scaling_tags: Final[dict[str, dict[str, str]]] = {}


def correct() -> None:
    """Replace moto's methods, and add those that are missing."""
    # The service is in MiniStack's ECS, where moto cannot look.
    replace(ApplicationAutoscalingBackend, "_ecs_service_exists_for_target", lambda *_: True)
    replace(ApplicationAutoScalingResponse, "register_scalable_target", _register_with_tags)
    add(ApplicationAutoScalingResponse, "list_tags_for_resource", _list_scaling_tags)
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


def _delete_application(response: Any) -> str:
    response.codedeploy_backend.applications.pop(response._get_param("applicationName"), None)
    return "{}"


def _delete_deployment_group(response: Any) -> str:
    groups = response.codedeploy_backend.deployment_groups
    groups[response._get_param("applicationName")].pop(
        response._get_param("deploymentGroupName"), None
    )
    return "{}"
