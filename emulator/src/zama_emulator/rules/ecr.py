"""Rules of ECR."""

import json
from typing import Any, Final

from zama_emulator.rules import Given, rule, state

_API: Final = "AmazonECR/latest/APIReference/API_"
_POLICY: Final = "AmazonECR/latest/userguide/LifecyclePolicies.html"
_INVALID: Final = "InvalidParameterException"


@rule("ecr", "CreateRepository", _INVALID, f"{_API}EncryptionConfiguration.html")
def repository_key(given: Given) -> Any:
    """A repository has a key only if it is encrypted by KMS, and the key is enabled."""
    found = given.get("encryptionConfiguration") or {}
    key = found.get("kmsKey")
    return key and (found.get("encryptionType") == "AES256" or not state.key_is_enabled(key))


@rule("ecr", "SetRepositoryPolicy", _INVALID, f"{_API}SetRepositoryPolicy.html")
def repository_policy(given: Given) -> Any:
    """A repository's policy has statements with effect, principal and action, and no resource."""
    return state.policy_fault(given["policyText"], principal=True, resource=False)


def _rules(given: Given) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(given["lifecyclePolicyText"])["rules"]
    return found


@rule("ecr", "PutLifecyclePolicy StartLifecyclePolicyPreview", _INVALID, _POLICY)
def lifecycle_policy(given: Given) -> Any:
    """A lifecycle policy is JSON with 1-50 rules of priority, selection and the action expire."""
    try:
        rules = _rules(given)
        return not 1 <= len(rules) <= 50 or not all(_is_rule(one) for one in rules)
    except (ValueError, KeyError, TypeError, AttributeError):
        return True


def _is_rule(one: dict[str, Any]) -> bool:
    selection = one["selection"]
    kind, count = selection["countType"], selection["countNumber"]
    known = {"rulePriority", "description", "selection", "action"}
    members = {"tagStatus", "tagPrefixList", "tagPatternList", "storageClass", "countType",
               "countNumber", "countUnit"}  # fmt: skip
    return (
        not one.keys() - known
        and not selection.keys() - members
        and isinstance(one["rulePriority"], int)
        and one["rulePriority"] >= 1
        and one["action"]["type"] in {"expire", "transition"}
        and selection["tagStatus"] in {"tagged", "untagged", "any"}
        and kind
        in {"imageCountMoreThan", "sinceImagePushed", "sinceImagePulled", "sinceImageTransitioned"}
        and isinstance(count, int)
        and count >= 1
        and (kind == "imageCountMoreThan") == ("countUnit" not in selection)
        and selection.get("countUnit", "days") == "days"
    )


@rule("ecr", "PutLifecyclePolicy StartLifecyclePolicyPreview", _INVALID, _POLICY)
def lifecycle_priorities(given: Given) -> Any:
    """The rules of a lifecycle policy have different priorities."""
    priorities = [one["rulePriority"] for one in _rules(given)]
    return len({*priorities}) < len(priorities)


@rule("ecr", "PutLifecyclePolicy StartLifecyclePolicyPreview", _INVALID, _POLICY)
def lifecycle_tags(given: Given) -> Any:
    """A rule for tagged images, and no other, has tag prefixes or patterns, not both."""
    return any(
        (selection["tagStatus"] == "tagged")
        != (bool(selection.get("tagPrefixList")) != bool(selection.get("tagPatternList")))
        or (selection.get("tagPrefixList") and selection.get("tagPatternList"))
        for selection in (one["selection"] for one in _rules(given))
    )


@rule("ecr", "PutLifecyclePolicy StartLifecyclePolicyPreview", _INVALID, _POLICY)
def lifecycle_any_is_last(given: Given) -> Any:
    """A lifecycle policy has at most one rule for any image, and it comes last."""
    order = sorted(_rules(given), key=lambda one: int(one["rulePriority"]))
    kinds = [one["selection"]["tagStatus"] for one in order]
    return "any" in kinds[:-1]


@rule("ecr", "PutLifecyclePolicy StartLifecyclePolicyPreview", _INVALID, _POLICY)
def lifecycle_untagged_is_one(given: Given) -> Any:
    """A lifecycle policy has at most one rule for untagged images."""
    kinds = [one["selection"]["tagStatus"] for one in _rules(given)]
    return kinds.count("untagged") > 1
