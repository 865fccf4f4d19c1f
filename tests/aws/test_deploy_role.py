"""The permissions and the trust policies of the roles for GitHub's workflows.

And the boundary of the service's roles, whose policies the workflows write.
"""

import itertools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml
from botocore.exceptions import ClientError

from deployment import Deployment, on_production
from zama_ops.ecs_service import shift
from zama_ops.emulated_account import EXAMPLE_REPOSITORY
from zama_ops.local.aws_local import PLANS
from zama_ops.paths import TERRAFORM
from zama_ops.permissions import ACTIONS

ROLE: Final = "zama-challenge-deploy"
NAME: Final = "zama-challenge"
REGION: Final = "eu-west-1"
GITHUB: Final = "token.actions.githubusercontent.com"
# The other roles of workflows, each with the end of the subject that it trusts.
SUBJECTS: Final = {
    "push": "ref:refs/heads/main",
    "plan": "ref:refs/heads/main",
    "drift": "environment:drift",
}
# The service's roles, by profile.
ROLES: Final = {
    "minimal": {"execution", "task"},
    "production": {"codedeploy", "execution", "flow-logs", "grafana", "task"},
}


def arn(service: str, resource: str) -> str:
    """Return the ARN of a resource; an ARN or `*` stays as it is."""
    if resource == "*" or resource.startswith("arn:"):
        return resource
    account = "" if service in {"route53", "s3"} else "000000000000"
    region = "" if service in {"iam", "route53", "s3"} else REGION
    return f"arn:aws:{service}:{region}:{account}:{resource}"


BOUNDARY: Final = arn("iam", f"policy/{NAME}-boundary")
# The role in the request has the boundary or receives it.
BOUNDED: Final = {"iam:PermissionsBoundary": BOUNDARY}
# The actions that Terraform needs, by resource type.
KNOWN: Final[dict[str, list[str]]] = json.loads(ACTIONS.read_text())
REQUESTS: Final = yaml.safe_load(Path(__file__).with_name("requests.yaml").read_text())


def listed_requests(*names: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield these requests of requests.yaml: action, resource, context."""
    for service, actions, resource, *contexts in itertools.chain(*map(REQUESTS.get, names)):
        for action in actions.split():
            for context in contexts or [{}]:
                yield f"{service}:{action}", arn(service, resource), context


def entries(context: dict[str, str]) -> list[dict[str, Any]]:
    """Return a request's context in the form that a simulation takes."""
    return [
        {"ContextKeyName": key, "ContextKeyValues": [value], "ContextKeyType": "string"}
        for key, value in context.items()
    ]


def decisions(
    deployment: Deployment,
    actions: list[str],
    resource: str,
    context: dict[str, str],
    role: str = ROLE,
) -> dict[str, str]:
    result = deployment.account.client("iam").simulate_principal_policy(
        PolicySourceArn=arn("iam", f"role/{role}"),
        ActionNames=actions,
        ResourceArns=[resource],
        ContextEntries=entries(context),
    )
    return {one["EvalActionName"]: one["EvalDecision"] for one in result["EvaluationResults"]}


def test_terraforms_calls_are_known_for_every_planned_type() -> None:
    """actions.json has exactly the resource types and data sources of the committed plans."""
    plans = "".join(plan.read_text() for plan in PLANS.values())
    files = "".join(path.read_text() for path in TERRAFORM.glob("*.tf"))
    planned = re.findall(r"^  # ((?:data\.)?aws_\w+)\.", plans, re.MULTILINE)
    read = [f"data.{kind}" for kind in re.findall(r'^data "(\w+)"', files, re.MULTILINE)]
    assert {*planned, *read} == set(KNOWN), "run `make permissions`"


def test_the_role_allows_terraforms_calls(minimal: Deployment) -> None:
    """Every action that Terraform calls is allowed on a matching resource."""
    refused = {action for actions in KNOWN.values() for action in actions}
    (zone,) = minimal.account.client("route53").list_hosted_zones()["HostedZones"]
    every = {**REQUESTS["resources"]}
    every["route53"] = [*every["route53"], zone["Id"].lstrip("/")]
    for service, resources in every.items():
        for resource in resources:
            ours = sorted(action for action in refused if action.startswith(f"{service}:"))
            context = {**BOUNDED, "aws:RequestedRegion": REGION, "aws:ResourceTag/Service": NAME}
            said = decisions(minimal, ours, arn(service, resource), context) if ours else {}
            refused -= {action for action, decision in said.items() if decision == "allowed"}
    assert not refused, "allow them on their resources in terraform/bootstrap/github.tf"


def test_the_role_allows_the_other_actions_that_deployments_need(minimal: Deployment) -> None:
    """These are actions that AWS checks in addition, and calls that workflows make themselves."""
    for action, resource, context in listed_requests("demanded"):
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "allowed"}, (action, resource)


def test_the_role_writes_the_services_roles_within_their_boundary(minimal: Deployment) -> None:
    """It may write each of them with the boundary; requests.yaml forbids it without."""
    actions = [
        f"iam:{verb}" for verb in ("CreateRole", "PutRolePermissionsBoundary", "PutRolePolicy")
    ]
    for name in ROLES["production"]:
        said = decisions(minimal, actions, arn("iam", f"role/{NAME}-{name}"), BOUNDED)
        assert set(said.values()) == {"allowed"}, (name, said)


def test_the_role_allows_nothing_else(minimal: Deployment) -> None:
    """It cannot change itself, other identities, other resources or other regions."""
    for action, resource, context in listed_requests("forbidden", "forbidden_to_workflows"):
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "implicitDeny"}, (action, resource, context)


@pytest.mark.parametrize("name", SUBJECTS)
def test_a_role_before_the_approval_cannot_apply(minimal: Deployment, name: str) -> None:
    """It changes no resource of the service and passes no role; on main it reads no key."""
    changes = sorted(
        action
        for action in {one for actions in KNOWN.values() for one in actions}
        if not action.partition(":")[2].startswith(("Describe", "Get", "List"))
    )
    asked = [(changes, "*"), (["iam:PassRole"], arn("iam", f"role/{NAME}-task"))]
    for service, resources in REQUESTS["resources"].items():
        ours = [action for action in changes if action.startswith(f"{service}:")]
        asked += [(ours, arn(service, resource)) for resource in resources if ours]
    keys = ["ssm:GetParameter", "ssm:GetParameters", "ssm:GetParametersByPath"]
    forbidden = keys if name != "drift" else keys[1:]
    asked.append((forbidden, arn("ssm", "parameter/zama/api/api_key")))
    state = f"arn:aws:s3:::{NAME}-state-000000000000-{REGION}/service"
    asked.append((["s3:PutObject", "s3:DeleteObject"], f"{state}/terraform.tfstate"))
    asked.append((["s3:PutObject"], f"{state}/deployments/1.json"))
    for actions, resource in asked:
        said = decisions(minimal, actions, resource, BOUNDED, f"{NAME}-{name}")
        allowed = {action for action, decision in said.items() if decision == "allowed"}
        assert not allowed, resource
    may = {
        "push": ("ecr:PutImage", arn("ecr", "repository/zama-api")),
        "plan": ("s3:PutObject", f"{state}/plans/1/2/3/tfplan"),
        "drift": ("ssm:GetParameter", arn("ssm", "parameter/zama/api/api_key")),
    }[name]
    assert decisions(minimal, [may[0]], may[1], {}, f"{NAME}-{name}") == {may[0]: "allowed"}


def policies(deployment: Deployment, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield a role's policies, each with `inline` or `managed`."""
    iam = deployment.account.client("iam")
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        yield "inline", iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        yield "managed", managed(deployment, attached["PolicyArn"])


def managed(deployment: Deployment, policy: str) -> Any:
    iam = deployment.account.client("iam")
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    response = iam.get_policy_version(PolicyArn=policy, VersionId=version)
    return response["PolicyVersion"]["Document"]


def test_every_action_is_named_in_policies_within_awss_limits(minimal: Deployment) -> None:
    """No action has a wildcard; policies have at most 6,144 characters, 10,240 if inline."""
    inline = 0
    for kind, document in (*policies(minimal, ROLE), ("managed", managed(minimal, BOUNDARY))):
        size = len(json.dumps(document, separators=(",", ":")))
        inline += size if kind == "inline" else 0
        assert kind == "inline" or size <= 6144
        for statement in document["Statement"]:
            assert statement["Effect"] == "Allow"
            assert "*" not in "".join(statement["Action"]), statement["Sid"]
    assert 0 < inline <= 10240


# --- The boundary ---------------------------------------------------------------------------------


def test_every_role_of_the_service_has_the_boundary(deployment: Deployment) -> None:
    """Each expected role exists with the boundary, and there is no other role."""
    iam = deployment.account.client("iam")
    every = {one["RoleName"] for one in iam.list_roles()["Roles"]}
    names = {name for name in every if name.startswith(f"{NAME}-")}
    of_workflows = {ROLE, *(f"{NAME}-{name}" for name in SUBJECTS)}
    assert names == of_workflows | {f"{NAME}-{name}" for name in ROLES[deployment.profile]}
    for name in names - of_workflows:
        boundary = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {})
        assert boundary.get("PermissionsBoundaryArn") == BOUNDARY, name


def test_the_boundary_allows_everything_in_the_roles_policies(deployment: Deployment) -> None:
    """Without this, AWS refuses actions that a role's own policy allows."""
    boundary = managed(deployment, BOUNDARY)
    for name in ROLES[deployment.profile]:
        for _, document in policies(deployment, f"{NAME}-{name}"):
            for statement in document["Statement"]:
                for action, resource, context in requests(statement):
                    said = simulated(deployment, boundary, action, resource, context)
                    assert said == "allowed", (
                        f"the {name} role's policy allows {action} on {resource}, given {context}:"
                        " allow it in terraform/bootstrap/boundary.tf as well"
                    )


def test_the_boundary_allows_nothing_else(minimal: Deployment) -> None:
    """Writing the roles' policies therefore grants no further permissions."""
    boundary = managed(minimal, BOUNDARY)
    for action, resource, context in listed_requests("forbidden", "forbidden_to_the_service"):
        said = simulated(minimal, boundary, action, resource, context)
        assert said == "implicitDeny", (action, resource, context)


def requests(statement: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Yield the requests that a statement allows: action, resource, context."""
    conditions = {
        key: listed(values)
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
    }
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    for action, resource, *values in itertools.product(actions, resources, *conditions.values()):
        yield action, resource, dict(zip(conditions, values, strict=True))


def listed(value: str | list[str]) -> list[str]:
    """Return a policy's value as a list; a single value may be a string."""
    return [value] if isinstance(value, str) else value


def simulated(
    deployment: Deployment,
    document: dict[str, Any],
    action: str,
    resource: str,
    context: dict[str, str],
) -> str:
    result = deployment.account.client("iam").simulate_custom_policy(
        PolicyInputList=[json.dumps(document)],
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=entries(context),
    )
    return str(result["EvaluationResults"][0]["EvalDecision"])


# --- Trust of the role ----------------------------------------------------------------------------

SUBJECT: Final = f"repo:{EXAMPLE_REPOSITORY}"
ON_MAIN: Final = f"{SUBJECT}:ref:refs/heads/main"
# The form for a new repository, which terraform/bootstrap trusts if it is given the ids.
WITH_IDS: Final = f"repo:{EXAMPLE_REPOSITORY.replace('/', '@583231/')}@1296269"


@pytest.mark.parametrize(
    ("subject", "decision"),
    [
        (f"{SUBJECT}:environment:production", "allowed"),
        (f"{SUBJECT}:ref:refs/heads/main", "implicitDeny"),
        (f"{SUBJECT}:environment:drift", "implicitDeny"),
        (f"{WITH_IDS}:environment:production", "implicitDeny"),
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
def test_only_the_production_environment_assumes_the_role(
    minimal: Deployment, subject: str, decision: str
) -> None:
    """Subjects of other repositories, branches, tags and environments are refused."""
    said = trust(minimal, {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": subject})
    assert said == decision


@pytest.mark.parametrize("name", SUBJECTS)
def test_another_role_trusts_one_subject(minimal: Deployment, name: str) -> None:
    """It is the branch or the environment of its jobs."""
    for end in {*SUBJECTS.values(), "environment:production", "pull_request"}:
        token = {f"{GITHUB}:aud": "sts.amazonaws.com", f"{GITHUB}:sub": f"{SUBJECT}:{end}"}
        said = trust(minimal, token, f"{NAME}-{name}")
        assert said == ("allowed" if end == SUBJECTS[name] else "implicitDeny"), end


@pytest.mark.parametrize("audience", ["https://github.com/example", "sts.amazonaws.com2", None])
def test_the_token_must_be_issued_for_aws(minimal: Deployment, audience: str | None) -> None:
    """A token with another audience, or without one, is refused."""
    context = {f"{GITHUB}:sub": f"{SUBJECT}:environment:production"}
    if audience:
        context[f"{GITHUB}:aud"] = audience
    assert trust(minimal, context) == "implicitDeny"


def trust(deployment: Deployment, token: dict[str, str], role: str = ROLE) -> str:
    """Return the decision of a role's trust policy for a GitHub token."""
    iam = deployment.account.client("iam")
    (statement,) = iam.get_role(RoleName=role)["Role"]["AssumeRolePolicyDocument"]["Statement"]
    # The simulation takes no principal, and the resource is the role itself.
    provider = arn("iam", f"oidc-provider/{GITHUB}")
    assert statement.pop("Principal") == {"Federated": provider}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]}
    return simulated(deployment, policy, "sts:AssumeRoleWithWebIdentity", "*", token)


# --- Enforcement ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("service", "call", "given", "action"), REQUESTS["calls"])
def test_the_emulator_refuses_the_role_other_calls(
    deployment: Deployment, service: str, call: str, given: dict[str, Any], action: str
) -> None:
    """A session of the role gets AWS's error, which names the caller and the action."""
    place = {"AWS_REGION": "us-east-1"} if call == "create_key" else {}
    environ = {**deployment.account.workflow_environ(), **place}
    assert_refused(deployment, environ, ROLE, service, call, given, action)


@on_production
def test_the_role_changes_each_variable(
    deployment: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It changes each variable that may change, switches options off, and shifts the traffic.

    The other tests of this folder apply and destroy both profiles with the role.
    """
    deployment.apply(
        tags={"Team": "payments"},
        desired_count=2,
        task_size={"cpu": 1024, "memory": 2048},
        autoscaling={"max_count": 4, "cpu_percent": 80, "requests_per_minute": 60000},
        rate_limit={"rate": 99999, "burst": 99999},
        api_key_version=2,
        waf={"requests_per_5_minutes": 3000, "denied_cidrs": ["192.0.2.0/24"]},
        alarm_email="another@zama.example",
        log_retention_days=400,
        container_insights_enabled=False,
        managed_prometheus=None,
        managed_grafana_enabled=False,
        grafana_access={},
        customer_managed_key_enabled=False,
        access_logs_enabled=False,
    )
    logs = deployment.account.client("logs")
    name = deployment.outputs["log_group_name"]
    (group,) = logs.describe_log_groups(logGroupNamePrefix=name)["logGroups"]
    tags = logs.list_tags_for_resource(resourceArn=group["logGroupArn"])["tags"]
    assert (group["retentionInDays"], tags["Team"]) == (400, "payments")
    for variable, text in deployment.account.workflow_environ().items():
        monkeypatch.setenv(variable, text)
    with deployment.fast(60):
        shift(json.loads(deployment.outputs["codedeploy_deployment"]), deployment.address)
    wanted = deployment.outputs["task_definition_arn"]
    assert [one["taskDefinition"] for one in deployment.service()["taskSets"]] == [wanted]


@pytest.mark.parametrize("name", ["push", "plan"])
@pytest.mark.parametrize(("service", "call", "given", "action"), REQUESTS["calls_before_approval"])
def test_the_emulator_refuses_a_role_before_the_approval(
    minimal: Deployment, name: str, service: str, call: str, given: dict[str, Any], action: str
) -> None:
    """A session of a job on main can neither apply, nor read a key, nor pass a role."""
    role = f"{NAME}-{name}"
    environ = minimal.account.workflow_environ(arn("iam", f"role/{role}"), ON_MAIN)
    assert_refused(minimal, environ, role, service, call, given, action)


def assert_refused(
    deployment: Deployment,
    environ: dict[str, str],
    role: str,
    service: str,
    call: str,
    given: dict[str, Any],
    action: str,
) -> None:
    with pytest.raises(ClientError) as refused:
        getattr(deployment.account.client(service, environ), call)(**given)
    error = refused.value.response["Error"]
    assert error["Code"].startswith(("AccessDenied", "UnauthorizedOperation"))
    user = f"User: arn:aws:sts::000000000000:assumed-role/{role}/workflow"
    assert f"{user} is not authorized to perform: {action} on resource: " in error["Message"]


@pytest.mark.parametrize(
    "subject",
    ["repo:fork/zama-challenge:environment:production", f"{SUBJECT}:pull_request"],
)
def test_another_identity_gets_no_credentials(minimal: Deployment, subject: str) -> None:
    """The emulator's STS judges the role's trust policy."""
    with pytest.raises(ClientError, match="AccessDenied"):
        minimal.account.workflow_environ(subject=subject)
