"""The roles' permissions by policy simulation, and the network paths to the tasks."""

from typing import Final

from deployment import Deployment

PARAMETER: Final = "arn:aws:ssm:eu-west-1:000000000000:parameter/zama/api/api_key"
ANY: Final = "arn:aws:s3:::some-bucket/some-object"


def may(deployment: Deployment, role: str, action: str, resource: str) -> bool:
    result = deployment.account.client("iam").simulate_principal_policy(
        PolicySourceArn=f"arn:aws:iam::000000000000:role/zama-challenge-{role}",
        ActionNames=[action],
        ResourceArns=[resource],
    )
    return bool(result["EvaluationResults"][0]["EvalDecision"] == "allowed")


def test_the_execution_role_reads_only_the_one_parameter(deployment: Deployment) -> None:
    """It reads no other parameter, has no other read action, and cannot write."""
    assert may(deployment, "execution", "ssm:GetParameters", PARAMETER)
    assert not may(deployment, "execution", "ssm:GetParameters", f"{PARAMETER}-of-another")
    assert not may(deployment, "execution", "ssm:GetParameters", PARAMETER.replace("zama/", ""))
    for action in ("ssm:GetParameter", "ssm:GetParametersByPath", "ssm:PutParameter"):
        assert not may(deployment, "execution", action, PARAMETER), action


def test_the_execution_role_pulls_the_services_images_and_writes_its_logs(
    deployment: Deployment,
) -> None:
    """It has no access to other repositories or log groups."""
    repository = "arn:aws:ecr:eu-west-1:000000000000:repository"
    assert may(deployment, "execution", "ecr:BatchGetImage", f"{repository}/zama-api")
    assert may(deployment, "execution", "ecr:BatchGetImage", f"{repository}/zama-nginx")
    assert not may(deployment, "execution", "ecr:BatchGetImage", f"{repository}/other")
    assert not may(deployment, "execution", "ecr:PutImage", f"{repository}/zama-api")
    group = "arn:aws:logs:eu-west-1:000000000000:log-group"
    stream = f"{group}:/ecs/zama-challenge:log-stream:ecs/api/1"
    assert may(deployment, "execution", "logs:PutLogEvents", stream)
    assert not may(deployment, "execution", "logs:PutLogEvents", f"{group}:/ecs/other:log-stream:1")
    assert not may(deployment, "execution", "logs:CreateLogGroup", f"{group}:/ecs/zama-challenge")


def test_the_task_role_allows_nothing(deployment: Deployment) -> None:
    """With a collector, it may only write metrics to its own workspace."""
    for action in ("ssm:GetParameters", "ssm:GetParameter"):
        assert not may(deployment, "task", action, PARAMETER), action
    for action in ("s3:GetObject", "sts:AssumeRole", "iam:PassRole", "kms:Decrypt", "ecs:RunTask"):
        assert not may(deployment, "task", action, ANY), action
    endpoint = deployment.outputs.get("prometheus_endpoint")
    if endpoint is None:
        iam = deployment.account.client("iam")
        assert iam.list_role_policies(RoleName="zama-challenge-task")["PolicyNames"] == []
        assert (
            iam.list_attached_role_policies(RoleName="zama-challenge-task")["AttachedPolicies"]
            == []
        )
        return
    workspaces = "arn:aws:aps:eu-west-1:000000000000:workspace"
    own = f"{workspaces}/{endpoint.rstrip('/').rpartition('/')[2]}"
    assert may(deployment, "task", "aps:RemoteWrite", own)
    assert not may(deployment, "task", "aps:RemoteWrite", f"{workspaces}/ws-another")
    assert not may(deployment, "task", "aps:QueryMetrics", own)


def test_tasks_are_reached_from_the_load_balancer_only(deployment: Deployment) -> None:
    """Only the gateway's port is open."""
    ec2 = deployment.account.client("ec2")
    groups = {
        group["GroupName"]: group["GroupId"]
        for group in ec2.describe_security_groups()["SecurityGroups"]
    }
    tasks, balancer = (groups[f"zama-challenge-{name}"] for name in ("tasks", "load-balancer"))
    rules = ec2.describe_security_group_rules(Filters=[{"Name": "group-id", "Values": [tasks]}])[
        "SecurityGroupRules"
    ]
    (ingress,) = (rule for rule in rules if not rule["IsEgress"])
    assert ingress["ReferencedGroupInfo"]["GroupId"] == balancer
    assert (ingress["FromPort"], ingress["ToPort"]) == (8081, 8081)
    network = deployment.service()["networkConfiguration"]["awsvpcConfiguration"]
    assert network["securityGroups"] == [tasks]
    public = "ENABLED" if deployment.profile == "minimal" else "DISABLED"
    assert network["assignPublicIp"] == public
