"""Tags, which all services limit alike."""

from typing import Any

from zama_emulator.rules import Given, rule

_PAGE = "general/latest/gr/aws_tagging.html"

# Service to its operations that set tags, and its codes for too many and for bad ones. The first
# is empty if the model states the number.
_TAGGED = {
    "acm": ("RequestCertificate AddTagsToCertificate", "", "InvalidTagException"),
    "cloudwatch": ("PutMetricAlarm PutCompositeAlarm TagResource", "ValidationError", "ValidationError"),
    "codedeploy": ("CreateApplication CreateDeploymentGroup TagResource", "InvalidTagsToAddException", "InvalidTagsToAddException"),
    "ec2": ("CreateTags CreateVpc CreateSubnet CreateSecurityGroup CreateVpcEndpoint", "TagLimitExceeded", "InvalidParameterValue"),
    "ecr": ("CreateRepository TagResource", "TooManyTagsException", "InvalidTagParameterException"),
    "ecs": ("CreateCluster RegisterTaskDefinition CreateService RunTask TagResource", "", "InvalidParameterException"),
    "elbv2": ("CreateLoadBalancer CreateTargetGroup CreateListener CreateRule AddTags", "TooManyTags", "ValidationError"),
    "iam": ("CreateRole CreatePolicy CreateOpenIDConnectProvider TagRole TagPolicy", "", "InvalidInput"),
    "kms": ("CreateKey TagResource", "TagException", "TagException"),
    "logs": ("CreateLogGroup TagResource", "", "InvalidParameterException"),
    "sns": ("CreateTopic TagResource", "TagLimitExceeded", "InvalidParameter"),
    "ssm": ("PutParameter AddTagsToResource", "TooManyTagsError", "ValidationException"),
    "wafv2": ("CreateWebACL CreateIPSet TagResource", "WAFInvalidParameterException", "WAFTagOperationException"),
}  # fmt: skip


def _tag_names(given: Given) -> list[str]:
    """Return the keys of the tags, which services spell differently."""
    found: Any = given.get("tags") or given.get("Tags") or given.get("AddTags") or []
    for specification in given.get("TagSpecifications") or []:
        found = [*found, *(specification.get("Tags") or [])]
    if isinstance(found, dict):
        return [*found]
    spellings = ("Key", "key", "TagKey")
    return [next((tag[name] for name in spellings if name in tag), "") for tag in found]


def _add(service: str, operations: str, too_many: str, invalid: str) -> None:
    if too_many:

        @rule(service, operations, too_many, _PAGE)
        def tag_count(given: Given) -> Any:
            """A resource has at most 50 tags."""
            return len(_tag_names(given)) > 50

    @rule(service, operations, invalid, _PAGE)
    def tag_keys(given: Given) -> Any:
        """A tag's key is unique, of 1 to 128 characters, and does not begin with aws:."""
        keys = _tag_names(given)
        return len({*keys}) < len(keys) or any(
            not 1 <= len(key) <= 128 or key.lower().startswith("aws:") for key in keys
        )


for _service, _rules in _TAGGED.items():
    _add(_service, *_rules)
