"""Each rule refuses a call, with AWS's code, and lets the same call pass without its fault."""

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
