"""Both profiles can be applied, planned again and destroyed."""

import json
from collections.abc import Callable

from deployment import Deployment, on_production, planned_changes
from stack import send
from zama_ops.programs import wait_until


@on_production
def test_a_second_plan_is_empty_except_for_emulator_gaps(deployment: Deployment) -> None:
    """The applied resources match the configuration; test_deploy.py plans the minimal profile."""
    assert planned_changes(deployment.plan()) == {}


def test_the_outputs_are_usable(deployment: Deployment) -> None:
    """Each output matches its description, or is null if its option is off."""
    outputs = deployment.outputs
    account = deployment.account
    production = deployment.profile == "production"
    assert outputs["alb_dns_name"].endswith(".elb.amazonaws.com")
    assert outputs["ecr_api_repo_url"].endswith("/zama-api")
    assert outputs["ecr_nginx_repo_url"].endswith("/zama-nginx")
    assert outputs["url"].startswith("https://" if production else "http://")
    assert deployment.service()["status"] == "ACTIVE"
    streams = account.client("logs").describe_log_streams(logGroupName=outputs["log_group_name"])
    assert streams["logStreams"]
    parameter = account.client("ssm").get_parameter(Name=outputs["api_key_parameter_name"])
    assert parameter["Parameter"]["Type"] == "SecureString"
    dashboards = account.client("cloudwatch").list_dashboards()["DashboardEntries"]
    assert [one["DashboardName"] for one in dashboards] == [
        outputs["dashboard_url"].rpartition("/")[2]
    ]
    topics = account.client("sns").list_topics()["Topics"]
    assert all({"TopicArn": arn} in topics for arn in outputs["alarm_topic_arns"].values())
    for name in ("codedeploy_deployment", "prometheus_endpoint", "grafana_endpoint"):
        assert (outputs.get(name) is not None) == production, name


def test_destroy_leaves_nothing(deployment: Deployment, report: Callable[[str], None]) -> None:
    """No resource is left in the state, and no container on this machine.

    The emulator has checked each of Terraform's calls against AWS's models and rules.
    """
    deployment.account.destroy(deployment.profile, **deployment.variables)
    assert '"resources": []' in deployment.account.state()
    checks = json.loads(send(deployment.url, path="/_zama/checks").body)
    assert checks["unknown"] == 0
    report(
        f"{deployment.profile}: {checks['calls']} calls validated, {checks['rules']} rules and"
        f" {checks['permissions']} permissions evaluated in {checks['seconds']:.1f} s of CPU;"
        f" {checks['refused']} refused"
    )
    wait_until(lambda: not deployment.containers(), "the containers are gone", seconds=90)
    # If a correction of the emulator fails in the background, these tests prove little.
    log = (deployment.account.directory / "emulator.log").read_text()
    assert " ERROR " not in log, log
    deployment.account.stop()
