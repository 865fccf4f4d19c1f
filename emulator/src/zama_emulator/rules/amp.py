"""Rules of Amazon Managed Service for Prometheus."""

import base64
import re
from typing import Any, Final

import yaml
from ministack.core.responses import get_region
from moto.amp.models import amp_backends

from zama_emulator import ACCOUNT
from zama_emulator.rules import Given, rule, state

_API: Final = "prometheus/latest/APIReference/API_"
_GUIDE: Final = "prometheus/latest/userguide/"
_INVALID: Final = "ValidationException"
_NAMES: Final = "CreateRuleGroupsNamespace PutRuleGroupsNamespace"
_DEFINITION: Final = "CreateAlertManagerDefinition PutAlertManagerDefinition"
_DURATION: Final = re.compile(r"(\d+(ms|[smhdwy]))+|0")


def _workspaces() -> Any:
    return amp_backends[ACCOUNT][get_region()].workspaces


def _data(given: Given) -> Any:
    """Return a definition, which a call carries in base64 or decoded."""
    raw = given["data"]
    text = raw if isinstance(raw, bytes) else base64.b64decode(raw)
    return yaml.safe_load(text)


@rule("amp", "CreateWorkspace", _INVALID, f"{_API}CreateWorkspace.html")
def workspace_key(given: Given) -> Any:
    """A workspace's key exists and is enabled."""
    return given.get("kmsKeyArn") and not state.key_is_enabled(given["kmsKeyArn"])


@rule(
    "amp", "CreateRuleGroupsNamespace", "ConflictException", f"{_API}CreateRuleGroupsNamespace.html"
)
def namespace_is_new(given: Given) -> Any:
    """A workspace has no second namespace of the same name."""
    workspace = _workspaces().get(given["workspaceId"])
    return workspace and given["name"] in workspace.rule_group_namespaces


@rule("amp", _NAMES, _INVALID, f"{_GUIDE}AMP-ruler-rulesfile.html")
def rule_groups(given: Given) -> Any:
    """A namespace is YAML with groups of different names, each with rules of record or alert."""
    try:
        groups = _data(given)["groups"]
        names = [one["name"] for one in groups]
        return (
            len({*names}) < len(names)
            or not groups
            or not all(_is_rule(one) for group in groups for one in group["rules"])
        )
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return True


def _is_rule(one: dict[str, Any]) -> bool:
    known = {"record", "alert", "expr", "for", "keep_firing_for", "labels", "annotations"}
    name = re.fullmatch(r"[a-zA-Z_:][\w:]*", one.get("record", "a"))
    duration = _DURATION.fullmatch(str(one.get("for", "0")))
    return bool(
        ("record" in one) != ("alert" in one)
        and one["expr"]
        and not one.keys() - known
        and not ("record" in one and one.keys() & {"for", "annotations"})
        and name
        and duration
    )


@rule("amp", _NAMES, _INVALID, f"{_GUIDE}AMP-ruler-rulesfile.html")
def rule_expressions(given: Given) -> Any:
    """A rule's expression has closed parentheses, brackets and braces."""
    return any(
        text.count(opened) != text.count(closed)
        for group in _data(given)["groups"]
        for one in group["rules"]
        for text in [re.sub(r"\"[^\"]*\"|'[^']*'", "", str(one["expr"]))]
        for opened, closed in ("()", "[]", "{}")
    )


@rule("amp", _DEFINITION, _INVALID, f"{_GUIDE}AMP-alertmanager-config.html")
def alert_manager(given: Given) -> Any:
    """A definition is YAML whose alertmanager_config has a route to one of its receivers."""
    try:
        config = yaml.safe_load(_data(given)["alertmanager_config"])
        names = {one["name"] for one in config["receivers"]}
        return config["route"]["receiver"] not in names or any(
            one.get("receiver", config["route"]["receiver"]) not in names
            for one in config["route"].get("routes") or []
        )
    except (yaml.YAMLError, ValueError, KeyError, TypeError, AttributeError):
        return True


@rule("amp", _DEFINITION, _INVALID, f"{_GUIDE}AMP-alertmanager-receiver-config.html")
def alert_receivers(given: Given) -> Any:
    """A receiver is an SNS topic with its region, or PagerDuty."""
    config = yaml.safe_load(_data(given)["alertmanager_config"])
    kinds = {"name", "sns_configs", "pagerduty_configs"}
    return any(
        one.keys() - kinds
        or any(
            ":sns:" not in (topic.get("topic_arn") or "")
            or not (topic.get("sigv4") or {}).get("region")
            for topic in one.get("sns_configs") or []
        )
        for one in config["receivers"]
    )
