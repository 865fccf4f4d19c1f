"""Each rule refuses a call, with AWS's code, and lets the same call pass without its fault."""

from typing import Final

import botocore.session
import pytest
from botocore.exceptions import ClientError
from rule_cases import Case, cases
from world import World, shared

from zama_emulator import rules

rules.load()


@pytest.fixture(scope="module")
def world() -> World:
    return shared()


@pytest.fixture(scope="module")
def known(world: World) -> list[Case]:
    return list(cases(world))


@pytest.mark.parametrize("rule", rules.every_rule(), ids=lambda rule: rule.name)
def test_a_broken_rule_is_refused(world: World, known: list[Case], rule: rules.Rule) -> None:
    """The answer has the rule's code, its sentence and its source."""
    name = rule.breaks.__name__
    (case,) = (one for one in known if one.service == rule.service and name in one.refused)
    with pytest.raises(ClientError) as refused:
        world.account.call(case.service, case.operation, case.changed(name))
    error = refused.value.response["Error"]
    assert (error["Code"], error["Message"]) == (
        rule.code,
        f"Rule: {rule.sentence} ({rule.source})",
    )


# Errors of a whole service, or seen there, that the models do not declare for each operation. The
# models of EC2 and S3 declare none.
UNDECLARED: Final = {
    "cloudwatch": {"ValidationError"},
    "elbv2": {"InvalidConfigurationRequest", "ValidationError"},
    "iam": {"NoSuchEntity"},
    "kms": {"ValidationException"},
    "sns": {"KMSNotFound"},
    "ssm": {"TooManyTagsError", "ValidationException"},
}


def test_a_rules_code_is_one_that_its_operations_return() -> None:
    """The models declare it, except for errors that a whole service has in common."""
    session = botocore.session.get_session()
    for rule in rules.every_rule():
        if rule.service in {"ec2", "s3"}:
            continue
        for operation in rule.operations:
            errors = session.get_service_model(rule.service).operation_model(operation).error_shapes
            declared = {one.metadata.get("error", {}).get("code", one.name) for one in errors}
            allowed = declared | {one.name for one in errors} | UNDECLARED.get(rule.service, set())
            assert rule.code in allowed, f"{rule.name} for {operation}"


def test_the_calls_without_the_fault_are_accepted(world: World, known: list[Case]) -> None:
    """The calls that the rules judge, unchanged."""
    for case in known:
        world.account.call(case.service, case.operation, case.given)


def test_a_deployment_group_can_be_changed(world: World) -> None:
    """Moto lacks this call, which Terraform makes if an attribute of the group changes."""
    names = {"applicationName": "used", "currentDeploymentGroupName": "used"}
    world.account.call(
        "codedeploy",
        "UpdateDeploymentGroup",
        {**names, "deploymentConfigName": "CodeDeployDefault.ECSAllAtOnce"},
    )
    given = {"applicationName": "used", "deploymentGroupName": "used"}
    found = world.account.call("codedeploy", "GetDeploymentGroup", given)["deploymentGroupInfo"]
    assert found["deploymentConfigName"] == "CodeDeployDefault.ECSAllAtOnce"


def test_grafana_keeps_tags_and_users(world: World) -> None:
    """Terraform changes them after a workspace has been created, and reads them back."""
    call = world.account.call
    of_workspace = {"workspaceId": world.grafana}
    arn = f"arn:aws:grafana:eu-west-1:000000000000:/workspaces/{world.grafana}"
    call("grafana", "TagResource", {"resourceArn": arn, "tags": {"Owner": "me", "Old": "1"}})
    call("grafana", "UntagResource", {"resourceArn": arn, "tagKeys": ["Old"]})
    tags = call("grafana", "ListTagsForResource", {"resourceArn": arn})["tags"]
    assert tags == {"Owner": "me"}
    assert call("grafana", "DescribeWorkspace", of_workspace)["workspace"]["tags"] == tags

    users = [{"id": "a", "type": "SSO_USER"}, {"id": "b", "type": "SSO_GROUP"}]
    for action, changed in (("ADD", users), ("REVOKE", users[:1])):
        batch = [{"action": action, "role": "VIEWER", "users": changed}]
        given = {**of_workspace, "updateInstructionBatch": batch}
        assert call("grafana", "UpdatePermissions", given)["errors"] == []
    left = call("grafana", "ListPermissions", of_workspace)["permissions"]
    assert left == [{"role": "VIEWER", "user": users[1]}]

    call("grafana", "UpdateWorkspace", {**of_workspace, "workspaceDescription": "new"})
    assert call("grafana", "DescribeWorkspace", of_workspace)["workspace"]["description"] == "new"


def test_a_web_acl_keeps_the_bodies_of_its_responses(world: World) -> None:
    """Terraform reads them back, after the creation and after a change."""
    call = world.account.call
    named = {"Name": "bodies", "Scope": "REGIONAL"}
    acl = {"DefaultAction": {"Allow": {}}, "VisibilityConfig": world.visibility}
    bodies = {"a": {"ContentType": "APPLICATION_JSON", "Content": "{}"}}
    call("wafv2", "CreateWebACL", {**named, **acl, "CustomResponseBodies": bodies})
    listed = call("wafv2", "ListWebACLs", {"Scope": "REGIONAL"})["WebACLs"]
    (identity,) = (one["Id"] for one in listed if one["Name"] == "bodies")
    found = call("wafv2", "GetWebACL", {**named, "Id": identity})
    assert found["WebACL"]["CustomResponseBodies"] == bodies
    changed = {**named, **acl, "Id": identity, "LockToken": found["LockToken"]}
    call("wafv2", "UpdateWebACL", changed)
    found = call("wafv2", "GetWebACL", {**named, "Id": identity})
    assert not found["WebACL"].get("CustomResponseBodies")
