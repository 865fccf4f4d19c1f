"""The key is only where it must be."""

import json
import zipfile

from deployment import Deployment, on_production
from stack import KEY
from zama_ops.local.aws_local import PLANS


def test_the_key_is_in_the_parameter_only(deployment: Deployment) -> None:
    """State, output, task definition and logs do not contain it."""
    account = deployment.account
    name = deployment.outputs["api_key_parameter_name"]
    ssm = account.client("ssm")
    parameter = ssm.get_parameter(Name=name, WithDecryption=True)["Parameter"]
    assert parameter["Value"] == f"default={KEY}"

    ecs = account.client("ecs")
    task = ecs.describe_task_definition(taskDefinition=deployment.outputs["task_definition_arn"])
    places = {
        "state": account.state(),
        "output of apply": deployment.printed,
        "outputs": json.dumps(deployment.outputs),
        "task definition": json.dumps(task, default=str),
        "logs": deployment.log(),
        "emulator's log": (account.directory / "emulator.log").read_text(),
        "bootstrap's state": (account.directory / "bootstrap.tfstate").read_text(),
    }
    assert [place for place, text in places.items() if KEY in text] == []
    assert "aws_ssm_parameter" in places["state"]


@on_production
def test_the_key_is_in_no_plan(deployment: Deployment) -> None:
    """Neither the text of a plan nor a saved plan contains it."""
    places = {"plan": deployment.plan()}
    places |= {f"committed plan, {profile}": path.read_text() for profile, path in PLANS.items()}
    with zipfile.ZipFile(deployment.account.directory / "production.tfplan") as saved:
        # The configuration, which the plan contains, names the key of the examples.
        for member in (name for name in saved.namelist() if not name.startswith("tfconfig/")):
            places[f"saved plan, {member}"] = saved.read(member).decode(errors="replace")
    assert "saved plan, tfplan" in places
    assert [place for place, text in places.items() if KEY in text] == []
