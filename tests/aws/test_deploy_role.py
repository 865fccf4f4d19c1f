"""The role of GitHub's workflows: what it may do, what it may not, and who may take it."""

import json
from collections.abc import Iterator
from typing import Any, Final

import pytest

from deployment import Deployment
from zama_ops.account import EXAMPLE_REPOSITORY
from zama_ops.permissions import ACTIONS

ROLE: Final = "zama-challenge-deploy"
NAME: Final = "zama-challenge"
REGION: Final = "eu-west-1"
GITHUB: Final = "token.actions.githubusercontent.com"


def arn(service: str, resource: str, region: str = REGION) -> str:
    """Return the name of a resource of this account."""
    return f"arn:aws:{service}:{region}:000000000000:{resource}"


def role(name: str) -> str:
    """Return the name of a role of this account."""
    return arn("iam", f"role/{name}", region="")


BALANCER: Final = arn("elasticloadbalancing", f"loadbalancer/app/{NAME}/1")
LOGS: Final = f"arn:aws:s3:::{NAME}-access-logs-000000000000-{REGION}"
STATE: Final = f"arn:aws:s3:::{NAME}-state-000000000000-{REGION}"

# For each service, what its actions are about; each action fits one of these.
RESOURCES: Final = {
    "acm": [arn("acm", "certificate/1")],
    "application-autoscaling": [arn("application-autoscaling", "scalable-target/1")],
    "aps": [arn("aps", "workspace/ws-1")],
    "cloudwatch": [
        arn("cloudwatch", f"alarm:{NAME}-ServerErrors"),
        arn("cloudwatch", f"dashboard/{NAME}", region=""),
        "*",
    ],
    "codedeploy": [
        arn("codedeploy", f"application:{NAME}"),
        arn("codedeploy", f"deploymentgroup:{NAME}/{NAME}"),
    ],
    "ec2": ["*"],
    "ecr": [arn("ecr", "repository/zama-api"), arn("ecr", "repository/zama-collector")],
    "ecs": [
        arn("ecs", f"cluster/{NAME}"),
        arn("ecs", f"service/{NAME}/{NAME}"),
        arn("ecs", f"task-definition/{NAME}:1"),
        "*",
    ],
    "elasticloadbalancing": [
        BALANCER,
        arn("elasticloadbalancing", f"listener/app/{NAME}/1/1"),
        arn("elasticloadbalancing", f"targetgroup/{NAME}-green/1"),
        "*",
    ],
    "grafana": [arn("grafana", "/workspaces/g-1")],
    "iam": [role(f"{NAME}-{name}") for name in ("codedeploy", "execution", "flow-logs", "task")],
    "kms": [arn("kms", "key/1"), arn("kms", f"alias/{NAME}")],
    "logs": [
        arn("logs", f"log-group:/ecs/{NAME}"),
        arn("logs", f"log-group:aws-waf-logs-{NAME}:log-stream:"),
        "*",
    ],
    "route53": [
        "arn:aws:route53:::hostedzone/Z1",
        "arn:aws:route53:::healthcheck/1",
        "arn:aws:route53:::change/1",
    ],
    "s3": [LOGS],
    "sns": [arn("sns", f"{NAME}-alarms"), "*"],
    "ssm": [arn("ssm", "parameter/zama/api/api_key"), "*"],
    "wafv2": [
        arn("wafv2", f"regional/webacl/{NAME}/1"),
        arn("wafv2", f"regional/ipset/{NAME}-allowed/1"),
        BALANCER,
    ],
}

# What the emulator's own calls do not show that it is needed.
DEMANDED: Final = [
    ("iam:PassRole", role(f"{NAME}-task"), {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    (
        "iam:CreateServiceLinkedRole",
        role("aws-service-role/ecs.amazonaws.com/AWSServiceRoleForECS"),
        {"iam:AWSServiceName": "ecs.amazonaws.com"},
    ),
    ("elasticloadbalancing:SetWebACL", BALANCER, {}),
    ("kms:Encrypt", arn("kms", "key/1"), {"kms:ViaService": f"ssm.{REGION}.amazonaws.com"}),
    ("kms:CreateGrant", arn("kms", "key/1"), {"kms:ViaService": f"aps.{REGION}.amazonaws.com"}),
    ("logs:CreateLogDelivery", "*", {}),
    ("codedeploy:CreateDeployment", arn("codedeploy", f"deploymentgroup:{NAME}/{NAME}"), {}),
    ("ecr:PutImage", arn("ecr", "repository/zama-nginx"), {}),
    ("s3:PutObject", f"{STATE}/service/terraform.tfstate", {}),
    ("s3:DeleteObject", f"{STATE}/service/terraform.tfstate.tflock", {}),
]

ELSEWHERE: Final = {"aws:RequestedRegion": "us-east-1"}
FORBIDDEN: Final = [
    # Itself, its policies, and who may take it.
    *(
        (f"iam:{action}", role(ROLE), {})
        for action in (
            *("PutRolePolicy", "DeleteRolePolicy", "AttachRolePolicy", "DetachRolePolicy"),
            *("UpdateAssumeRolePolicy", "UpdateRole", "DeleteRole", "CreateRole", "TagRole"),
            *("PutRolePermissionsBoundary", "DeleteRolePermissionsBoundary"),
        )
    ),
    *(
        (f"iam:{action}", arn("iam", f"policy/{ROLE}-region", region=""), {})
        for action in ("CreatePolicyVersion", "SetDefaultPolicyVersion", "DeletePolicy")
    ),
    *(
        (f"iam:{action}", arn("iam", f"oidc-provider/{GITHUB}", region=""), {})
        for action in (
            *("AddClientIDToOpenIDConnectProvider", "DeleteOpenIDConnectProvider"),
            "UpdateOpenIDConnectProviderThumbprint",
        )
    ),
    # Other identities.
    ("iam:CreateUser", arn("iam", "user/somebody", region=""), {}),
    ("iam:CreateAccessKey", arn("iam", "user/somebody", region=""), {}),
    ("iam:CreateRole", role("admin"), {}),
    ("iam:AttachRolePolicy", role(f"{NAME}-task"), {}),
    ("iam:PassRole", role(ROLE), {"iam:PassedToService": "ecs-tasks.amazonaws.com"}),
    ("iam:PassRole", role(f"{NAME}-task"), {"iam:PassedToService": "lambda.amazonaws.com"}),
    (
        "iam:CreateServiceLinkedRole",
        role("aws-service-role/lex.amazonaws.com/AWSServiceRoleForLexBots"),
        {"iam:AWSServiceName": "lex.amazonaws.com"},
    ),
    ("sts:AssumeRole", role(f"{NAME}-execution"), {}),
    ("sts:AssumeRole", role("admin"), {}),
    ("organizations:CreateAccount", "*", {}),
    ("organizations:LeaveOrganization", "*", {}),
    ("organizations:ListAccounts", "*", {}),
    # What others keep here, and what the service keeps that no workflow reads or deletes.
    ("ssm:GetParameter", arn("ssm", "parameter/other/key"), {}),
    ("ssm:PutParameter", arn("ssm", "parameter/other/key"), {}),
    ("ssm:GetParametersByPath", arn("ssm", "parameter/zama/"), {}),
    ("kms:Decrypt", arn("kms", "key/1"), {}),
    ("kms:Decrypt", arn("kms", "key/1"), {"kms:ViaService": f"s3.{REGION}.amazonaws.com"}),
    ("s3:GetObject", "arn:aws:s3:::another/object", {}),
    ("s3:ListBucket", "arn:aws:s3:::another", {}),
    ("s3:DeleteBucket", "arn:aws:s3:::another", {}),
    ("s3:GetObject", f"{LOGS}/object", {}),
    ("s3:DeleteObject", f"{LOGS}/object", {}),
    ("s3:PutBucketPolicy", STATE, {}),
    ("s3:DeleteBucket", STATE, {}),
    ("s3:PutBucketVersioning", STATE, {}),
    ("s3:DeleteObject", f"{STATE}/service/terraform.tfstate", {}),
    ("s3:DeleteObjectVersion", f"{STATE}/service/terraform.tfstate", {}),
    ("logs:FilterLogEvents", arn("logs", f"log-group:/ecs/{NAME}"), {}),
    ("logs:DeleteLogGroup", arn("logs", "log-group:/ecs/another"), {}),
    # Images.
    ("ecr:BatchDeleteImage", arn("ecr", "repository/zama-api"), {}),
    ("ecr:DeleteRepository", arn("ecr", "repository/zama-api"), {}),
    ("ecr:PutImageTagMutability", arn("ecr", "repository/zama-api"), {}),
    ("ecr:SetRepositoryPolicy", arn("ecr", "repository/zama-api"), {}),
    ("ecr:PutImage", arn("ecr", "repository/another"), {}),
    # Other services of this account, and other kinds of things.
    ("ecs:UpdateService", arn("ecs", "service/another/another"), {}),
    ("ecs:RunTask", arn("ecs", f"task-definition/{NAME}:1"), {}),
    ("ecs:ExecuteCommand", arn("ecs", f"task/{NAME}/1"), {}),
    ("elasticloadbalancing:DeleteLoadBalancer", BALANCER.replace(NAME, "another"), {}),
    ("sns:DeleteTopic", arn("sns", "another-alarms"), {}),
    ("sns:Publish", arn("sns", f"{NAME}-alarms"), {}),
    ("cloudwatch:DeleteAlarms", arn("cloudwatch", "alarm:another-ServerErrors"), {}),
    ("ec2:RunInstances", "*", {}),
    ("lambda:CreateFunction", "*", {}),
    # Another region.
    *(
        (action, "*", ELSEWHERE)
        for action in ("ec2:CreateVpc", "kms:CreateKey", "ecs:RegisterTaskDefinition")
    ),
    ("ecs:DeleteCluster", arn("ecs", f"cluster/{NAME}", region="us-east-1"), ELSEWHERE),
    ("ssm:GetParameter", arn("ssm", "parameter/zama/api/api_key", region="us-east-1"), ELSEWHERE),
]


def entries(context: dict[str, str]) -> list[dict[str, Any]]:
    """Return what a request knows, as a simulation takes it."""
    return [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in context.items()
    ]


def decisions(
    deployment: Deployment, actions: list[str], resource: str, context: dict[str, str]
) -> dict[str, str]:
    """Return what the role's policies say of each action."""
    result = deployment.account.client("iam").simulate_principal_policy(
        PolicySourceArn=role(ROLE),
        ActionNames=actions,
        ResourceArns=[resource],
        ContextEntries=entries(context),
    )
    return {one["EvalActionName"]: one["EvalDecision"] for one in result["EvaluationResults"]}


def known() -> dict[str, list[str]]:
    """Return the actions that Terraform needs, by type of resource."""
    actions: dict[str, list[str]] = json.loads(ACTIONS.read_text())
    return actions


def test_terraforms_calls_are_known_for_whatever_is_planned(
    minimal: Deployment, production: Deployment
) -> None:
    """A new type of resource needs its permissions, and one that is gone leaves none."""
    planned = minimal.account.planned_types("minimal")
    planned |= production.account.planned_types("production")
    assert planned == set(known()), "run `make permissions`"


def test_the_role_may_do_what_terraform_calls(minimal: Deployment) -> None:
    """Every action, on a resource that it fits."""
    refused = {action for actions in known().values() for action in actions}
    for service, resources in RESOURCES.items():
        for resource in resources:
            ours = sorted(action for action in refused if action.startswith(f"{service}:"))
            said = decisions(minimal, ours, resource, {}) if ours else {}
            refused -= {action for action, decision in said.items() if decision == "allowed"}
    assert not refused, "say in terraform/bootstrap/github.tf on what"


def test_the_role_may_do_what_aws_demands_besides(minimal: Deployment) -> None:
    """And what the workflows do without Terraform."""
    for action, resource, context in DEMANDED:
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "allowed"}, (action, resource)


def test_the_role_may_do_nothing_else(minimal: Deployment) -> None:
    """Nothing to itself, to other identities, to others' resources, or in other regions."""
    for action, resource, context in FORBIDDEN:
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "implicitDeny"}, (action, resource, context)


def policies(deployment: Deployment) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return the role's policies, each with whether it is `inline` or `managed`."""
    iam = deployment.account.client("iam")
    for name in iam.list_role_policies(RoleName=ROLE)["PolicyNames"]:
        yield "inline", iam.get_role_policy(RoleName=ROLE, PolicyName=name)["PolicyDocument"]
    for attached in iam.list_attached_role_policies(RoleName=ROLE)["AttachedPolicies"]:
        policy = iam.get_policy(PolicyArn=attached["PolicyArn"])["Policy"]
        version = {"PolicyArn": policy["Arn"], "VersionId": policy["DefaultVersionId"]}
        yield "managed", iam.get_policy_version(**version)["PolicyVersion"]["Document"]


def test_every_action_is_named_in_policies_that_aws_takes(minimal: Deployment) -> None:
    """None has a wildcard; and AWS takes 6,144 characters a policy, 10,240 in a role itself."""
    inline = 0
    for kind, document in policies(minimal):
        size = len(json.dumps(document, separators=(",", ":")))
        inline += size if kind == "inline" else 0
        assert kind == "inline" or size <= 6144
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "*" not in "".join(statement["Action"]), statement["Sid"]
    assert 0 < inline <= 10240


SUBJECT: Final = f"repo:{EXAMPLE_REPOSITORY}"


@pytest.mark.parametrize(
    ("subject", "decision"),
    [
        (f"{SUBJECT}:ref:refs/heads/main", "allowed"),
        (f"{SUBJECT}:environment:production", "allowed"),
        (f"{SUBJECT}:ref:refs/heads/another", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/heads/main2", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/heads/main/2", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/heads/Main", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/heads/*", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/tags/main", "implicitDeny"),
        (f"{SUBJECT}:ref:refs/tags/v1.0.0", "implicitDeny"),
        (f"{SUBJECT}:pull_request", "implicitDeny"),
        (f"{SUBJECT}:environment:staging", "implicitDeny"),
        (f"{SUBJECT}:environment:production2", "implicitDeny"),
        (f"{SUBJECT}2:ref:refs/heads/main", "implicitDeny"),
        (f"x{SUBJECT}:ref:refs/heads/main", "implicitDeny"),
        ("repo:example/another:ref:refs/heads/main", "implicitDeny"),
        ("repo:fork/zama-challenge:ref:refs/heads/main", "implicitDeny"),
        ("repo:fork/zama-challenge:environment:production", "implicitDeny"),
    ],
)
def test_main_and_the_production_environment_take_the_role_and_nobody_else(
    minimal: Deployment, subject: str, decision: str
) -> None:
    """Of this repository, to the letter."""
    said = trust(minimal, {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": subject})
    assert said == decision


@pytest.mark.parametrize("audience", ["https://github.com/example", "sts.amazonaws.com2", None])
def test_the_token_must_have_been_made_for_aws(minimal: Deployment, audience: str | None) -> None:
    """One that was made for somebody else, or for nobody, opens nothing."""
    context = {f"{GITHUB}:sub": f"{SUBJECT}:ref:refs/heads/main"}
    if audience:
        context[f"{GITHUB}:aud"] = audience
    assert trust(minimal, context) == "implicitDeny"


def trust(deployment: Deployment, token: dict[str, str]) -> str:
    """Return what the role's trust policy says of a token of GitHub's."""
    iam = deployment.account.client("iam")
    (statement,) = iam.get_role(RoleName=ROLE)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    # Who vouches is no condition, and what is taken is the role itself.
    provider = arn("iam", f"oidc-provider/{GITHUB}", region="")
    assert statement.pop("Principal") == {"Federated": provider}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]}
    result = iam.simulate_custom_policy(
        PolicyInputList=[json.dumps(policy)],
        ActionNames=["sts:AssumeRoleWithWebIdentity"],
        ContextEntries=entries(token),
    )
    return str(result["EvaluationResults"][0]["EvalDecision"])
