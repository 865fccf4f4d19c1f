"""The heartbeats of Managed Prometheus, whose rules are not evaluated here.

An alert with severity `none` always fires. While a workspace has a rule of this severity,
Alertmanager notifies the topics of its route, and SNS counts the messages.
https://docs.aws.amazon.com/sns/latest/dg/sns-monitoring-using-cloudwatch.html
"""

import base64
import functools
from typing import Any

import yaml
from moto.amp.models import amp_backends

from zama_emulator import ACCOUNT, REGION, moto_services
from zama_emulator.metrics import Meter


def publish(into: Meter) -> None:
    """Add a minute's messages of each topic."""
    for workspace in list(amp_backends[ACCOUNT][REGION].workspaces.values()):
        rules = [
            rule
            for namespace in list(workspace.rule_group_namespaces.values())
            for group in _yaml(namespace.data)["groups"]
            for rule in group["rules"]
        ]
        if any(rule.get("labels", {}).get("severity") == "none" for rule in rules):
            for topic in _topics(moto_services.alert_manager(workspace.workspace_id)):
                values = {"NumberOfMessagesPublished": 1.0}
                into.add("AWS/SNS", {"TopicName": topic}, values)


# The life asks each minute, and parsing YAML takes long.
@functools.lru_cache
def _topics(definition: str | None) -> list[str]:
    """Return the names of the topics that are notified of severity `none`."""
    if definition is None:
        return []
    stated = yaml.safe_load(_yaml(definition)["alertmanager_config"])
    routes = stated["route"].get("routes", [])
    names = {one["receiver"] for one in routes if 'severity = "none"' in one.get("matchers", [])}
    return [
        one["topic_arn"].rpartition(":")[2]
        for receiver in stated["receivers"]
        if receiver["name"] in names
        for one in receiver.get("sns_configs", [])
    ]


@functools.lru_cache
def _yaml(data: str) -> Any:
    return yaml.safe_load(base64.b64decode(data))
