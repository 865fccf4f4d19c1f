"""Calls are checked against the models of AWS's API."""

import time
from typing import Any

import pytest
from botocore.exceptions import ClientError
from empty_account import Account, empty_account
from moto.core.request import Request
from world import key_policy

from zama_emulator import models, strict
from zama_emulator.rules import table

FARGATE: dict[str, Any] = {"family": "a", "containerDefinitions": [{"name": "a", "image": "a"}]}
RETENTION = {"logGroupName": "a", "retentionInDays": 7}
LOG_KEY = key_policy(Principal={"AWS": "*", "Service": "logs.eu-west-1.amazonaws.com"})
GROUP = {"Name": "a", "Protocol": "HTTP", "Port": 80}


@pytest.fixture(scope="module")
def account() -> Account:
    return empty_account()


@pytest.mark.parametrize(
    ("service", "operation", "given", "code", "reason"),
    [
        # The `json` protocol, with the code that the operation declares, or else the usual one.
        ("logs", "PutRetentionPolicy", {"logGroupName": "a"}, "InvalidParameterException", "'retentionInDays': Member must not be null"),
        ("logs", "PutRetentionPolicy", {**RETENTION, "logGroupName": "a b"}, "InvalidParameterException", "regular expression"),
        ("logs", "PutRetentionPolicy", {**RETENTION, "retentionInDays": "7"}, "SerializationException", "'7' at 'retentionInDays' is not a integer"),
        ("ssm", "PutParameter", {"Name": "a", "Value": "b", "Type": "Text"}, "ValidationException", "enum value set"),
        ("wafv2", "CreateIPSet", {"Name": "a b", "Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Addresses": []}, "WAFInvalidParameterException", "'Name'"),
        ("ecs", "RegisterTaskDefinition", {**FARGATE, "containerDefinitions": [{"secrets": [{"name": "a"}]}]}, "InvalidParameterException", "'containerDefinitions.1.member.secrets.1.member.valueFrom'"),
        # `query`, `ec2`, `rest-xml` and `rest-json`.
        ("elbv2", "CreateTargetGroup", {**GROUP, "Port": 65536}, "ValidationError", "less than or equal to 65535"),
        ("elbv2", "CreateTargetGroup", {**GROUP, "Port": "http"}, "MalformedInput", "http"),
        ("sns", "Subscribe", {"TopicArn": "a"}, "InvalidParameter", "'Protocol'"),
        ("ec2", "CreateSubnet", {"CidrBlock": "10.0.0.0/24"}, "MissingParameter", "'VpcId'"),
        ("ec2", "CreateVpc", {"InstanceTenancy": "shared"}, "InvalidParameterValue", "'InstanceTenancy'"),
        ("route53", "CreateHealthCheck", {"CallerReference": "a", "HealthCheckConfig": {"Type": "UDP"}}, "InvalidInput", "'HealthCheckConfig.Type'"),
        ("s3", "PutBucketVersioning", {"Bucket": "abc", "VersioningConfiguration": {"Status": "On"}}, "MalformedXML", "'VersioningConfiguration.Status'"),
        ("amp", "CreateWorkspace", {"alias": "a" * 101}, "ValidationException", "length less than or equal to 100"),
        ("grafana", "CreateWorkspace", {"accountAccessType": "ALL", "authenticationProviders": [], "permissionType": "SERVICE_MANAGED"}, "ValidationException", "'accountAccessType'"),
    ],
)  # fmt: skip
def test_a_call_against_the_model_is_refused(
    account: Account, service: str, operation: str, given: dict[str, Any], code: str, reason: str
) -> None:
    """Each protocol's refusal has the service's code and names the member."""
    before = strict.counts.refused
    with pytest.raises(ClientError) as refused:
        account.call(service, operation, given)
    error = refused.value.response["Error"]
    assert error["Code"] == code
    assert reason in error["Message"]
    assert strict.counts.refused == before + 1


def test_the_emulator_answers_a_call_that_fits_the_model(account: Account) -> None:
    """Both emulators receive the whole request after the check."""
    account.call("logs", "CreateLogGroup", {"logGroupName": "a"})
    account.call("logs", "PutRetentionPolicy", RETENTION)
    groups = account.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": "a"})["logGroups"]
    (found,) = [one for one in groups if one["logGroupName"] == "a"]
    assert found["retentionInDays"] == 7
    assert account.call("ec2", "CreateVpc", {"CidrBlock": "10.5.0.0/16"})["Vpc"]["VpcId"]


@pytest.mark.parametrize(("service", "path"), [("none", "/"), ("amp", "/none")])
def test_a_call_without_a_model_is_not_judged(service: str, path: str) -> None:
    """An unknown service or operation is left to the emulators, and counted."""
    scope = f"Credential=a/20260101/eu-west-1/{service}/aws4_request"
    request = Request.from_primitives("GET", f"http://aws{path}", {"Authorization": scope}, b"")
    before = strict.counts.unknown
    assert strict.refuse(request) is None
    assert strict.counts.unknown == before + 1


@pytest.mark.parametrize(("pattern", "enforced"), [(r"[\p{L}\p{Z}]+", True), (r"[b-a]", False)])
def test_patterns_are_javas(pattern: str, enforced: bool) -> None:  # noqa: FBT001
    """A pattern without a translation refuses nothing, and the README counts it."""
    assert (models.compiled(pattern) is not None) == enforced


def test_the_readme_has_the_rules() -> None:
    """`make rules` would write the same table."""
    text = table.README.read_text()
    assert table.written(text) == text, "run `make rules`"


def test_a_check_costs_little(account: Account) -> None:
    """A check takes less CPU time than half of a call, which includes the client's part."""
    began, before = time.process_time(), strict.counts.seconds
    for number in range(200):
        account.call("logs", "CreateLogGroup", {"logGroupName": f"timed-{number}"})
    assert 0 < strict.counts.seconds - before < (time.process_time() - began) / 2


def test_scaling_targets_can_be_tagged(account: Account) -> None:
    """Moto lacks these two calls, which Terraform makes if the variable `tags` changes."""
    name = "application-autoscaling"
    arn = f"arn:aws:{name}:eu-west-1:000000000000:scalable-target/a"
    account.call(name, "TagResource", {"ResourceARN": arn, "Tags": {"a": "1", "b": "2"}})
    account.call(name, "UntagResource", {"ResourceARN": arn, "TagKeys": ["a"]})
    assert account.call(name, "ListTagsForResource", {"ResourceARN": arn})["Tags"] == {"b": "2"}


def test_a_log_group_can_change_its_key(account: Account) -> None:
    """MiniStack lacks these calls, which Terraform makes if a customer key is added or removed."""
    arn = account.call("kms", "CreateKey", {})["KeyMetadata"]["Arn"]
    account.call("kms", "PutKeyPolicy", {"KeyId": arn, "PolicyName": "default", "Policy": LOG_KEY})
    account.call("logs", "CreateLogGroup", {"logGroupName": "keyed"})
    for operation, key in (("AssociateKmsKey", {"kmsKeyId": arn}), ("DisassociateKmsKey", {})):
        account.call("logs", operation, {"logGroupName": "keyed", **key})
        found = account.call("logs", "DescribeLogGroups", {"logGroupNamePrefix": "keyed"})
        assert found["logGroups"][0].get("kmsKeyId") == key.get("kmsKeyId")
