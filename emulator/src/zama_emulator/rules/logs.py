"""Rules of CloudWatch Logs."""

import re
from typing import Any, Final

from ministack.services import cloudwatch_logs as logs

from zama_emulator.rules import Given, rule, state

_API: Final = "AmazonCloudWatchLogs/latest/APIReference/API_"
_QUOTAS: Final = "AmazonCloudWatch/latest/logs/cloudwatch_limits_cwl.html"
_INVALID: Final = "InvalidParameterException"

_DAYS: Final = {
    *(1, 3, 5, 7, 14, 30, 60, 90, 120, 150, 180, 365, 400, 545, 731, 1096, 1827, 2192, 2557),
    *(2922, 3288, 3653),
}


def _group(given: Given) -> dict[str, Any]:
    found: dict[str, Any] = logs._log_groups.get(given.get("logGroupName")) or {}
    return found


@rule("logs", "CreateLogGroup", _INVALID, f"{_API}CreateLogGroup.html")
def log_group_name(given: Given) -> Any:
    """A log group's name does not begin with aws/."""
    return given["logGroupName"].startswith("aws/")


@rule(
    "logs",
    "AssociateKmsKey DisassociateKmsKey",
    "ResourceNotFoundException",
    f"{_API}AssociateKmsKey.html",
)
def log_group_exists(given: Given) -> Any:
    """The log group exists."""
    return given.get("logGroupName") not in logs._log_groups


@rule("logs", "CreateLogGroup AssociateKmsKey", _INVALID, f"{_API}AssociateKmsKey.html")
def log_group_key(given: Given) -> Any:
    """A log group's key is an enabled key of the account, named by its ARN."""
    key = given.get("kmsKeyId")
    return key and not (re.match(r"arn:aws[\w-]*:kms:", key) and state.key_is_enabled(key))


@rule("logs", "CreateLogGroup AssociateKmsKey", _INVALID,
      "AmazonCloudWatch/latest/logs/encrypt-log-data-kms.html")  # fmt: skip
def log_group_key_policy(given: Given) -> Any:
    """The policy of a log group's key allows CloudWatch Logs to encrypt."""
    key = given.get("kmsKeyId")
    return key and not re.search(r"logs\.([\w-]+\.)?amazonaws\.com", state.key_policy(key))


@rule("logs", "PutMetricFilter", _INVALID, f"{_API}PutMetricFilter.html")
def filter_pattern(given: Given) -> Any:
    """A filter pattern's brackets, braces and quotes are closed."""
    pattern = given.get("filterPattern") or ""
    text = re.sub(r'"[^"]*"', "", pattern)
    return any(text.count(a) != text.count(b) for a, b in ("{}", "[]", "()")) or '"' in text


@rule("logs", "PutMetricFilter", _INVALID, f"{_API}MetricTransformation.html")
def default_or_dimensions(given: Given) -> Any:
    """A metric transformation has a default value or dimensions (up to 3), not both."""
    return any(
        (one.get("defaultValue") is not None and one.get("dimensions"))
        or len(one.get("dimensions") or {}) > 3
        for one in given["metricTransformations"]
    )


@rule("logs", "PutMetricFilter", _INVALID, f"{_API}MetricTransformation.html")
def metric_value(given: Given) -> Any:
    """A metric value is a number or a field, such as 1 or $.latency."""
    return any(
        not re.fullmatch(r"-?\d+(\.\d+)?|\$[\w.\[\]'-]+", one.get("metricValue") or "")
        for one in given["metricTransformations"]
    )


@rule("logs", "PutResourcePolicy", _INVALID, f"{_API}PutResourcePolicy.html")
def log_resource_policy(given: Given) -> Any:
    """A resource policy has statements with effect, principal, action and resource."""
    document = given.get("policyDocument")
    return document and state.policy_fault(document, principal=True, resource=True)


@rule("logs", "PutResourcePolicy", "LimitExceededException", _QUOTAS)
def log_resource_policies(given: Given) -> Any:
    """A region has up to 10 resource policies, of up to 5120 characters."""
    names = {*logs._resource_policies} | {given.get("policyName")}
    return len(names) > 10 or len(given.get("policyDocument") or "") > 5120


@rule("logs", "PutQueryDefinition", _INVALID, "AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html")
def saved_query_commands(given: Given) -> Any:
    """A saved query's stages begin with commands, like a query's."""
    return query_commands(given)


@rule("logs", "StartQuery", "MalformedQueryException",
      "AmazonCloudWatch/latest/logs/CWL_QuerySyntax.html")  # fmt: skip
def query_commands(given: Given) -> Any:
    """A query's stages begin with commands such as fields, filter, stats, sort, limit and parse."""
    known = {
        *("fields", "display", "filter", "stats", "sort", "limit", "parse", "pattern", "diff"),
        *("dedup", "unnest", "unmask", "filterIndex", "SOURCE", "anomaly", "join", "lookup"),
    }
    if given.get("queryLanguage", "CWLI") != "CWLI":
        return False
    text = re.sub(r"(/(\\.|[^/\n])+/)|\"[^\"]*\"|'[^']*'|#.*", "_", given["queryString"])
    return any(
        stage.split() and stage.split()[0] not in known and not stage.lstrip().startswith("@")
        for stage in text.split("|")
    )


@rule("logs", "StartQuery", _INVALID, f"{_API}StartQuery.html")
def query_times(given: Given) -> Any:
    """A query's start is not after its end."""
    return given["startTime"] > given["endTime"]


@rule("logs", "PutLogEvents", _INVALID, f"{_API}PutLogEvents.html")
def event_order(given: Given) -> Any:
    """Events are in the order of their times, and span up to 24 hours."""
    times = [one["timestamp"] for one in given["logEvents"]]
    return times != sorted(times) or (times and times[-1] - times[0] > 86_400_000)


@rule("logs", "PutLogEvents", _INVALID, f"{_API}PutLogEvents.html")
def event_batch(given: Given) -> Any:
    """A batch has up to 10000 events and 1048576 bytes, with 26 bytes for each event."""
    events = given["logEvents"]
    return len(events) > 10000 or (
        sum(len(one["message"].encode()) + 26 for one in events) > 1_048_576
    )


@rule("logs", "PutSubscriptionFilter", _INVALID, f"{_API}PutSubscriptionFilter.html")
def subscription_destination(given: Given) -> Any:
    """A subscription filter sends to the ARN of a stream, a function or a destination."""
    form = r"arn:aws[\w-]*:(kinesis|firehose|lambda|logs|es):\S+"
    return not re.fullmatch(form, given["destinationArn"])
