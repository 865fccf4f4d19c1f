"""Rules of SNS."""

import json
import re
from typing import Any, Final

from zama_emulator.rules import Given, rule, state

_API: Final = "sns/latest/api/API_"
_INVALID: Final = "InvalidParameter"

_ENDPOINTS: Final = {
    "email": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "email-json": r"[^@\s]+@[^@\s]+\.[^@\s]+",
    "http": r"http://\S+",
    "https": r"https://\S+",
    "sms": r"\+?[1-9][\d -]{1,18}",
    "sqs": r"arn:aws[\w-]*:sqs:\S+",
    "lambda": r"arn:aws[\w-]*:lambda:\S+",
    "firehose": r"arn:aws[\w-]*:firehose:\S+",
    "application": r"arn:aws[\w-]*:sns:\S+",
}
_ATTRIBUTES: Final = re.compile(
    r"DeliveryPolicy|DisplayName|Policy|TracingConfig|KmsMasterKeyId|SignatureVersion|ArchivePolicy"
    r"|ContentBasedDeduplication|FifoTopic|FifoThroughputScope|DataProtectionPolicy"
    r"|(HTTP|Firehose|Lambda|Application|SQS)(SuccessFeedbackRoleArn|SuccessFeedbackSampleRate"
    r"|FailureFeedbackRoleArn)"
)


def _attributes(given: Given) -> dict[str, str]:
    """Return the attributes that a call sets."""
    if "AttributeName" in given:
        return {given["AttributeName"]: given.get("AttributeValue") or ""}
    return {name: value or "" for name, value in (given.get("Attributes") or {}).items()}


@rule("sns", "CreateTopic", _INVALID, f"{_API}CreateTopic.html")
def topic_name(given: Given) -> Any:
    """A topic's name has up to 256 letters, digits, hyphens and underscores, with .fifo for FIFO."""
    fifo = _attributes(given).get("FifoTopic") == "true"
    pattern = r"[\w-]{1,251}\.fifo" if fifo else r"[\w-]{1,256}"
    return not re.fullmatch(pattern, given["Name"], re.ASCII)


@rule("sns", "CreateTopic SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_attributes(given: Given) -> Any:
    """A topic's attributes have the documented names."""
    return any(not _ATTRIBUTES.fullmatch(name) for name in _attributes(given))


@rule("sns", "CreateTopic SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_policy(given: Given) -> Any:
    """A topic's policy has statements with effect, principal, action and resource."""
    policy = _attributes(given).get("Policy")
    return policy and state.policy_fault(policy, principal=True, resource=True)


@rule("sns", "CreateTopic SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_policy_actions(given: Given) -> Any:
    """A topic's policy allows actions of SNS."""
    policy = _attributes(given).get("Policy")
    return policy and any(
        not re.match(r"sns:|\*$", action, re.IGNORECASE)
        for one in state.as_list(json.loads(policy)["Statement"])
        for action in state.as_list(one.get("Action"))
    )


@rule("sns", "SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_policy_resource(given: Given) -> Any:
    """The statements of a topic's policy concern that topic."""
    policy = _attributes(given).get("Policy")
    return policy and any(
        resource not in {"*", given["TopicArn"]}
        for one in state.as_list(json.loads(policy)["Statement"])
        for resource in state.as_list(one.get("Resource"))
    )


@rule(
    "sns", "CreateTopic SetTopicAttributes", "KMSNotFound", "sns/latest/dg/sns-key-management.html"
)
def topic_key(given: Given) -> Any:
    """A topic's key exists and is enabled."""
    key = _attributes(given).get("KmsMasterKeyId")
    return key and not state.key_is_enabled(key)


@rule("sns", "CreateTopic SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_values(given: Given) -> Any:
    """A display name has up to 100 characters, a signature version 1 or 2, tracing a known mode."""
    values = _attributes(given)
    return (
        len(values.get("DisplayName", "")) > 100
        or values.get("SignatureVersion", "1") not in {"1", "2"}
        or values.get("TracingConfig", "PassThrough") not in {"PassThrough", "Active"}
    )


@rule("sns", "Subscribe", _INVALID, f"{_API}Subscribe.html")
def subscription_protocol(given: Given) -> Any:
    """A subscription's protocol is email, email-json, http, https, sms, sqs, lambda or firehose."""
    return given["Protocol"] not in _ENDPOINTS


@rule("sns", "Subscribe", _INVALID, f"{_API}Subscribe.html")
def subscription_endpoint(given: Given) -> Any:
    """A subscription's endpoint has the form of its protocol: an address, a URL or an ARN."""
    return not re.fullmatch(_ENDPOINTS[given["Protocol"]], given.get("Endpoint") or "")


@rule("sns", "CreateTopic SetTopicAttributes", _INVALID, f"{_API}SetTopicAttributes.html")
def topic_policy_principals(given: Given) -> Any:
    """The principals of a topic's policy exist."""
    policy = _attributes(given).get("Policy")
    return policy and state.unknown_principal(policy)
