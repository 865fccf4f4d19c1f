"""The role of GitHub's workflows: what it may do, what it may not, and who may take it.

And what the service's roles, whose policies it writes, may do at most: their boundary.
"""

import itertools
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
import yaml

from deployment import Deployment, on_production
from zama_ops.emulated_account import EXAMPLE_REPOSITORY, EXAMPLE_TAG
from zama_ops.permissions import ACTIONS

ROLE: Final = "zama-challenge-deploy"
NAME: Final = "zama-challenge"
REGION: Final = "eu-west-1"
GITHUB: Final = "token.actions.githubusercontent.com"
# The service's own, by profile.
ROLES: Final = {
    "minimal": {"execution", "task"},
    "production": {"codedeploy", "execution", "flow-logs", "grafana", "task"},
}


def arn(service: str, resource: str) -> str:
    """Return the full name of a resource, which may be without its beginning."""
    if resource == "*" or resource.startswith("arn:"):
        return resource
    account = "" if service in {"route53", "s3"} else "000000000000"
    region = "" if service in {"iam", "route53", "s3"} else REGION
    return f"arn:aws:{service}:{region}:{account}:{resource}"


BOUNDARY: Final = arn("iam", f"policy/{NAME}-boundary")
# The role that is written has the boundary, or is given it.
BOUNDED: Final = {"iam:PermissionsBoundary": BOUNDARY}
REQUESTS: Final = yaml.safe_load(Path(__file__).with_name("requests.yaml").read_text())


def listed_requests(*names: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return these requests of requests.yaml: action, resource, context."""
    for service, actions, resource, *contexts in itertools.chain(*map(REQUESTS.get, names)):
        for action in actions.split():
            for context in contexts or [{}]:
                yield f"{service}:{action}", arn(service, resource), context


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
        PolicySourceArn=arn("iam", f"role/{ROLE}"),
        ActionNames=actions,
        ResourceArns=[resource],
        ContextEntries=entries(context),
    )
    return {one["EvalActionName"]: one["EvalDecision"] for one in result["EvaluationResults"]}


def known() -> dict[str, list[str]]:
    """Return the actions that Terraform needs, by type of resource."""
    actions: dict[str, list[str]] = json.loads(ACTIONS.read_text())
    return actions


@on_production
def test_terraforms_calls_are_known_for_whatever_is_planned(deployment: Deployment) -> None:
    """A new type of resource needs its permissions, and one that is gone leaves none."""
    account = deployment.account
    # What changes from the one profile to the other is all that either has.
    account.plan("minimal", image_tag=EXAMPLE_TAG)
    planned = account.planned_types("minimal") | account.planned_types("production")
    assert planned == set(known()), "run `make permissions`"


def test_the_role_may_do_what_terraform_calls(minimal: Deployment) -> None:
    """Every action, on a resource that it fits."""
    refused = {action for actions in known().values() for action in actions}
    for service, resources in REQUESTS["resources"].items():
        for resource in resources:
            ours = sorted(action for action in refused if action.startswith(f"{service}:"))
            said = decisions(minimal, ours, arn(service, resource), BOUNDED) if ours else {}
            refused -= {action for action, decision in said.items() if decision == "allowed"}
    assert not refused, "say in terraform/bootstrap/github.tf on what"


def test_the_role_may_do_what_aws_demands_besides(minimal: Deployment) -> None:
    """And what the workflows do without Terraform."""
    for action, resource, context in listed_requests("demanded"):
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "allowed"}, (action, resource)


def test_the_role_writes_the_services_roles_within_their_boundary(minimal: Deployment) -> None:
    """Each of them; what becomes of it without the boundary is forbidden in requests.yaml."""
    actions = [
        f"iam:{verb}" for verb in ("CreateRole", "PutRolePermissionsBoundary", "PutRolePolicy")
    ]
    for name in ROLES["production"]:
        said = decisions(minimal, actions, arn("iam", f"role/{NAME}-{name}"), BOUNDED)
        assert set(said.values()) == {"allowed"}, (name, said)


def test_the_role_may_do_nothing_else(minimal: Deployment) -> None:
    """Nothing to itself, to other identities, to others' resources, or in other regions."""
    for action, resource, context in listed_requests("forbidden", "forbidden_to_workflows"):
        said = decisions(minimal, [action], resource, context)
        assert said == {action: "implicitDeny"}, (action, resource, context)


def policies(deployment: Deployment, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Return a role's policies, each with whether it is `inline` or `managed`."""
    iam = deployment.account.client("iam")
    for policy in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        yield "inline", iam.get_role_policy(RoleName=name, PolicyName=policy)["PolicyDocument"]
    for attached in iam.list_attached_role_policies(RoleName=name)["AttachedPolicies"]:
        yield "managed", managed(deployment, attached["PolicyArn"])


def managed(deployment: Deployment, policy: str) -> dict[str, Any]:
    iam = deployment.account.client("iam")
    version = iam.get_policy(PolicyArn=policy)["Policy"]["DefaultVersionId"]
    found = iam.get_policy_version(PolicyArn=policy, VersionId=version)
    document: dict[str, Any] = found["PolicyVersion"]["Document"]
    return document


def test_every_action_is_named_in_policies_that_aws_takes(minimal: Deployment) -> None:
    """None has a wildcard; and AWS takes 6,144 characters a policy, 10,240 in a role itself."""
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
    """None is left without, and there is none that is not known here."""
    iam = deployment.account.client("iam")
    every = {one["RoleName"] for one in iam.list_roles()["Roles"]}
    names = {name for name in every if name.startswith(f"{NAME}-")}
    assert names == {ROLE, *(f"{NAME}-{name}" for name in ROLES[deployment.profile])}
    for name in names - {ROLE}:
        boundary = iam.get_role(RoleName=name)["Role"].get("PermissionsBoundary", {})
        assert boundary.get("PermissionsBoundaryArn") == BOUNDARY, name


def test_the_boundary_allows_all_that_the_roles_policies_do(deployment: Deployment) -> None:
    """Or a role would be refused on AWS what its own policy allows."""
    boundary = managed(deployment, BOUNDARY)
    for name in ROLES[deployment.profile]:
        for _, document in policies(deployment, f"{NAME}-{name}"):
            for statement in document["Statement"]:
                for action, resource, context in requests(statement):
                    said = simulated(deployment, boundary, action, resource, context)
                    assert said == "allowed", (
                        f"the {name} role's policy allows {action} on {resource}, given {context}:"
                        " say so in terraform/bootstrap/boundary.tf as well"
                    )


def test_the_boundary_allows_nothing_else(minimal: Deployment) -> None:
    """So that whoever writes the roles' policies gains nothing by it."""
    boundary = managed(minimal, BOUNDARY)
    for action, resource, context in listed_requests("forbidden", "forbidden_to_the_service"):
        said = simulated(minimal, boundary, action, resource, context)
        assert said == "implicitDeny", (action, resource, context)


def requests(statement: dict[str, Any]) -> Iterator[tuple[str, str, dict[str, str]]]:
    """Return what a statement allows, as requests: action, resource, and what they know."""
    conditions = {
        key: listed(values)
        for keys in statement.get("Condition", {}).values()
        for key, values in keys.items()
    }
    actions, resources = listed(statement["Action"]), listed(statement["Resource"])
    for action, resource, *values in itertools.product(actions, resources, *conditions.values()):
        yield action, resource, dict(zip(conditions, values, strict=True))


def listed(value: str | list[str]) -> list[str]:
    """Return a policy's value, which may stand alone, as a list."""
    return [value] if isinstance(value, str) else value


def simulated(
    deployment: Deployment,
    document: dict[str, Any],
    action: str,
    resource: str,
    context: dict[str, str],
) -> str:
    """Return what a policy says of a request."""
    result = deployment.account.client("iam").simulate_custom_policy(
        PolicyInputList=[json.dumps(document)],
        ActionNames=[action],
        ResourceArns=[resource],
        ContextEntries=entries(context),
    )
    return str(result["EvaluationResults"][0]["EvalDecision"])


# --- Who may take the role ------------------------------------------------------------------------

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
    provider = arn("iam", f"oidc-provider/{GITHUB}")
    assert statement.pop("Principal") == {"Federated": provider}
    policy = {"Version": "2012-10-17", "Statement": [{**statement, "Resource": "*"}]}
    return simulated(deployment, policy, "sts:AssumeRoleWithWebIdentity", "*", token)
