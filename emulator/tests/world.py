"""An account that has one of everything, for the tests of the rules."""

import functools
import json
from types import SimpleNamespace
from typing import Any

from empty_account import Account, empty_account

TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "ecs-tasks.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}
LABEL = "000000000000"


def trust(service: str) -> str:
    return json.dumps(TRUST).replace("ecs-tasks", service)


def policy(**changes: Any) -> str:
    """Return a policy with a statement for a role, changed as given; None removes an element."""
    statement = {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "*", **changes}
    kept = {name: value for name, value in statement.items() if value is not None}
    return json.dumps({"Version": "2012-10-17", "Statement": [kept]})


def key_policy(**changes: Any) -> str:
    root = {"AWS": f"arn:aws:iam::{LABEL}:root"}
    return policy(**{"Principal": root, "Action": "kms:*", **changes})


def definition(**changes: Any) -> dict[str, Any]:
    """Return a task definition; `changes` concern its first container."""
    container = {
        "name": "api",
        "image": "example/api:1",
        "portMappings": [{"containerPort": 8080}],
        **changes,
    }
    return {
        "family": "api",
        "requiresCompatibilities": ["FARGATE"],
        "networkMode": "awsvpc",
        "cpu": "256",
        "memory": "512",
        "containerDefinitions": [container],
    }


class World(SimpleNamespace):
    """An account's resources, by name."""

    account: Account

    def __getattr__(self, name: str) -> Any:
        """Say that any name may be a resource."""
        raise AttributeError(name)

    def create_alarm(self, name: str) -> str:
        """Create an alarm whose state only `set_alarm` changes; return its name."""
        alarm = {
            "AlarmName": f"bad-{name}", "Namespace": "A", "MetricName": name, "Statistic": "Sum",
            "Period": 60, "EvaluationPeriods": 1, "Threshold": 1.0, "TreatMissingData": "ignore",
            "ComparisonOperator": "GreaterThanThreshold",
        }  # fmt: skip
        self.account.call("cloudwatch", "PutMetricAlarm", alarm)
        return f"bad-{name}"

    def set_alarm(self, name: str, state: str) -> None:
        given = {"AlarmName": name, "StateReason": "test", "StateValue": state}
        self.account.call("cloudwatch", "SetAlarmState", given)


@functools.cache
def shared() -> World:
    """Return the world of this process's account."""
    return build(empty_account())


def build(account: Account) -> World:  # noqa: C901, PLR0915 - one of everything
    """Create the resources, which also shows that these calls are accepted."""
    w = World(account=account)

    def call(service: str, operation: str, **given: Any) -> Any:
        return account.call(service, operation, given)

    # Keys and roles.
    w.key = call("kms", "CreateKey")["KeyMetadata"]["Arn"]
    for state in ("disabled", "dying"):
        setattr(w, state, call("kms", "CreateKey")["KeyMetadata"]["Arn"])
    call("kms", "DisableKey", KeyId=w.disabled)
    call("kms", "ScheduleKeyDeletion", KeyId=w.dying, PendingWindowInDays=7)
    call("kms", "CreateAlias", AliasName="alias/used", TargetKeyId=w.key)
    service = {"Service": "logs.eu-west-1.amazonaws.com"}
    w.log_key = call(
        "kms", "CreateKey", Policy=json.dumps({"Version": "2012-10-17", "Statement": [
            json.loads(key_policy())["Statement"][0],
            json.loads(key_policy(Principal=service, Action="kms:Encrypt*"))["Statement"][0],
        ]})
    )["KeyMetadata"]["Arn"]  # fmt: skip
    for name in ("ecs-tasks", "codedeploy", "vpc-flow-logs", "grafana"):
        given = {"RoleName": name, "AssumeRolePolicyDocument": trust(name)}
        setattr(
            w, f"role_{name.replace('-', '_')}", call("iam", "CreateRole", **given)["Role"]["Arn"]
        )
    call("iam", "PutRolePolicy", RoleName="ecs-tasks", PolicyName="own", PolicyDocument=policy())
    w.policy = call("iam", "CreatePolicy", PolicyName="used", PolicyDocument=policy())["Policy"][
        "Arn"
    ]
    call("iam", "AttachRolePolicy", RoleName="grafana", PolicyArn=w.policy)
    call("iam", "CreateOpenIDConnectProvider", Url="https://used.example", ClientIDList=["sts"])

    # Networks.
    w.vpc = call("ec2", "CreateVpc", CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    w.other_vpc = call("ec2", "CreateVpc", CidrBlock="10.9.0.0/16")["Vpc"]["VpcId"]
    w.gateway = call("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]
    call("ec2", "AttachInternetGateway", InternetGatewayId=w.gateway, VpcId=w.vpc)
    w.free_gateway = call("ec2", "CreateInternetGateway")["InternetGateway"]["InternetGatewayId"]

    def subnet(vpc: str, block: str, zone: str) -> str:
        given = {"VpcId": vpc, "CidrBlock": block, "AvailabilityZone": f"eu-west-1{zone}"}
        return str(call("ec2", "CreateSubnet", **given)["Subnet"]["SubnetId"])

    w.a, w.b = subnet(w.vpc, "10.0.0.0/24", "a"), subnet(w.vpc, "10.0.1.0/24", "b")
    w.second_a, w.tiny = subnet(w.vpc, "10.0.2.0/24", "a"), subnet(w.vpc, "10.0.3.0/28", "b")
    w.other_a = subnet(w.other_vpc, "10.9.1.0/24", "a")
    w.other_b = subnet(w.other_vpc, "10.9.0.0/24", "b")

    def group(vpc: str, name: str) -> str:
        given = {"GroupName": name, "Description": name, "VpcId": vpc}
        return str(call("ec2", "CreateSecurityGroup", **given)["GroupId"])

    w.group, w.other_group = group(w.vpc, "balancer"), group(w.other_vpc, "other")
    w.named_group = group(w.vpc, "named")
    call("ec2", "AuthorizeSecurityGroupIngress", GroupId=w.group, IpPermissions=[
        {"IpProtocol": "tcp", "FromPort": 1, "ToPort": 2, "UserIdGroupPairs": [{"GroupId": w.named_group}]}
    ])  # fmt: skip

    # Load balancers.
    w.certificate = call("acm", "RequestCertificate", DomainName="api.example.com")[
        "CertificateArn"
    ]
    balancer = {"Subnets": [w.a, w.b], "SecurityGroups": [w.group]}
    w.balancer = call("elbv2", "CreateLoadBalancer", Name="used", **balancer)["LoadBalancers"][0]
    w.protected = call("elbv2", "CreateLoadBalancer", Name="protected", **balancer)[
        "LoadBalancers"
    ][0]
    call("elbv2", "ModifyLoadBalancerAttributes", LoadBalancerArn=w.protected["LoadBalancerArn"],
         Attributes=[{"Key": "deletion_protection.enabled", "Value": "true"}])  # fmt: skip

    def target_group(name: str, vpc: str, kind: str = "ip") -> str:
        given = {"Name": name, "Protocol": "HTTP", "Port": 80, "VpcId": vpc, "TargetType": kind}
        found = call("elbv2", "CreateTargetGroup", **given)["TargetGroups"][0]
        return str(found["TargetGroupArn"])

    w.blue, w.green, w.free = (target_group(name, w.vpc) for name in ("blue", "green", "free"))
    w.instances, w.elsewhere = (
        target_group("instances", w.vpc, "instance"),
        target_group("elsewhere", w.other_vpc),
    )
    w.listener = call(
        "elbv2", "CreateListener", LoadBalancerArn=w.balancer["LoadBalancerArn"], Port=80, Protocol="HTTP",
        DefaultActions=[{"Type": "forward", "ForwardConfig": {"TargetGroups": [
            {"TargetGroupArn": one, "Weight": 1} for one in (w.blue, w.green, w.instances)]}}],
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    w.secure = call(
        "elbv2", "CreateListener", LoadBalancerArn=w.balancer["LoadBalancerArn"], Port=443, Protocol="HTTPS",
        Certificates=[{"CertificateArn": w.certificate}],
        DefaultActions=[{"Type": "forward", "TargetGroupArn": w.green}],
    )["Listeners"][0]["ListenerArn"]  # fmt: skip
    w.fixed = {"Type": "fixed-response", "FixedResponseConfig": {"StatusCode": "404"}}
    call("elbv2", "CreateRule", ListenerArn=w.listener, Priority=7, Actions=[w.fixed],
         Conditions=[{"Field": "path-pattern", "Values": ["/a"]}])  # fmt: skip
    rules = call("elbv2", "DescribeRules", ListenerArn=w.listener)["Rules"]
    (w.default_rule,) = [one["RuleArn"] for one in rules if one["IsDefault"]]

    # ECS.
    for name in ("used", "full", "empty"):
        call("ecs", "CreateCluster", clusterName=name)
    for _ in range(2):
        found = call("ecs", "RegisterTaskDefinition", **definition())["taskDefinition"]
        w.inactive, w.definition = getattr(w, "definition", None), found["taskDefinitionArn"]
    call("ecs", "DeregisterTaskDefinition", taskDefinition=w.inactive)
    w.bridged = call("ecs", "RegisterTaskDefinition", family="bridged", containerDefinitions=[
        {"name": "api", "image": "api", "memory": 64}
    ])["taskDefinition"]["taskDefinitionArn"]  # fmt: skip
    w.network = {"awsvpcConfiguration": {"subnets": [w.a], "securityGroups": [w.group]}}
    w.target = {"containerName": "api", "containerPort": 8080}
    w.service = {
        "cluster": "used", "taskDefinition": w.definition, "launchType": "FARGATE", "desiredCount": 0,
        "networkConfiguration": w.network, "loadBalancers": [{**w.target, "targetGroupArn": w.blue}],
    }  # fmt: skip
    call("ecs", "CreateService", **w.service, serviceName="used")
    call("ecs", "CreateService", **w.service, serviceName="deployed",
         deploymentController={"type": "CODE_DEPLOY"})  # fmt: skip
    call(
        "ecs",
        "CreateService",
        **{**w.service, "cluster": "full", "desiredCount": 1},
        serviceName="full",
    )

    # CodeDeploy and scaling.
    call("codedeploy", "CreateApplication", applicationName="used", computePlatform="ECS")
    w.deployment_group = {
        "applicationName": "used", "serviceRoleArn": w.role_codedeploy,
        "deploymentStyle": {"deploymentType": "BLUE_GREEN", "deploymentOption": "WITH_TRAFFIC_CONTROL"},
        "blueGreenDeploymentConfiguration": {
            "deploymentReadyOption": {"actionOnTimeout": "CONTINUE_DEPLOYMENT"},
            "terminateBlueInstancesOnDeploymentSuccess": {"action": "TERMINATE"},
        },
        "ecsServices": [{"clusterName": "used", "serviceName": "deployed"}],
        "loadBalancerInfo": {"targetGroupPairInfoList": [{
            "targetGroups": [{"name": "blue"}, {"name": "green"}],
            "prodTrafficRoute": {"listenerArns": [w.listener]},
        }]},
    }  # fmt: skip
    call("codedeploy", "CreateDeploymentGroup", **w.deployment_group, deploymentGroupName="used")
    w.scaled = {
        "ServiceNamespace": "ecs", "ResourceId": "service/used/used",
        "ScalableDimension": "ecs:service:DesiredCount",
    }  # fmt: skip
    call(
        "application-autoscaling",
        "RegisterScalableTarget",
        **w.scaled,
        MinCapacity=1,
        MaxCapacity=4,
    )

    # All else.
    for name in ("/used", "/advanced", "/secure"):
        kind = "SecureString" if name == "/secure" else "String"
        tier = {"Tier": "Advanced"} if name == "/advanced" else {}
        call("ssm", "PutParameter", Name=name, Value="x", Type=kind, **tier)
    w.alarm = {
        "AlarmName": "used", "Namespace": "AWS/ECS", "MetricName": "CPUUtilization", "Period": 60,
        "Statistic": "Average", "EvaluationPeriods": 5, "Threshold": 1,
        "ComparisonOperator": "GreaterThanThreshold",
    }  # fmt: skip
    call("cloudwatch", "PutMetricAlarm", **w.alarm)
    for name in ("both", "either"):
        call("cloudwatch", "PutCompositeAlarm", AlarmName=name, AlarmRule="ALARM(used)")
    call("logs", "CreateLogGroup", logGroupName="/used")
    call("logs", "CreateLogStream", logGroupName="/used", logStreamName="one")
    w.topic = call("sns", "CreateTopic", Name="used")["TopicArn"]
    for name in ("used-by-tests", "logs-of-tests", "shut-off"):
        place = {"LocationConstraint": "eu-west-1"}
        call("s3", "CreateBucket", Bucket=name, CreateBucketConfiguration=place)
    call("s3", "PutObject", Bucket="used-by-tests", Key="x", Body=b"x")
    call("s3", "PutPublicAccessBlock", Bucket="shut-off", PublicAccessBlockConfiguration={
        "BlockPublicPolicy": True, "BlockPublicAcls": True})  # fmt: skip
    call("s3", "PutBucketPolicy", Bucket="logs-of-tests", Policy=policy(
        Principal={"Service": "logdelivery.elasticloadbalancing.amazonaws.com"},
        Action="s3:PutObject", Resource="arn:aws:s3:::logs-of-tests/*"))  # fmt: skip
    w.zone = call("route53", "CreateHostedZone", Name="example.com", CallerReference="1")[
        "HostedZone"
    ]["Id"]
    w.record = {
        "Name": "used.example.com", "Type": "A", "TTL": 60, "ResourceRecords": [{"Value": "192.0.2.1"}],
    }  # fmt: skip
    call("route53", "ChangeResourceRecordSets", HostedZoneId=w.zone,
         ChangeBatch={"Changes": [{"Action": "CREATE", "ResourceRecordSet": w.record}]})  # fmt: skip
    w.probe = {
        "Type": "HTTPS",
        "FullyQualifiedDomainName": "example.com",
        "Port": 443,
        "ResourcePath": "/",
    }
    found = call("route53", "CreateHealthCheck", CallerReference="1", HealthCheckConfig=w.probe)
    w.health_check = found["HealthCheck"]["Id"]
    call("ecr", "CreateRepository", repositoryName="used")
    call("ecr", "PutImage", repositoryName="used", imageManifest="{}", imageTag="1")
    w.workspace = call("amp", "CreateWorkspace", alias="used")["workspaceId"]
    w.rules = b"groups: [{name: a, rules: [{alert: Down, expr: 'up == 0', for: 5m}]}]"
    call("amp", "CreateRuleGroupsNamespace", workspaceId=w.workspace, name="used", data=w.rules)
    found = call("grafana", "CreateWorkspace", workspaceName="used", accountAccessType="CURRENT_ACCOUNT",
                 authenticationProviders=["AWS_SSO"], permissionType="SERVICE_MANAGED")  # fmt: skip
    w.grafana = found["workspace"]["id"]
    w.visibility = {
        "SampledRequestsEnabled": True,
        "CloudWatchMetricsEnabled": True,
        "MetricName": "used",
    }
    w.ip_set = call("wafv2", "CreateIPSet", Name="used", Scope="REGIONAL", IPAddressVersion="IPV4",
                    Addresses=["192.0.2.0/24"])["Summary"]  # fmt: skip
    w.allow = {
        "Name": "allow", "Priority": 1, "Action": {"Allow": {}}, "VisibilityConfig": w.visibility,
        "Statement": {"IPSetReferenceStatement": {"ARN": w.ip_set["ARN"]}},
    }  # fmt: skip
    w.acl = call("wafv2", "CreateWebACL", Name="used", Scope="REGIONAL", DefaultAction={"Allow": {}},
                 VisibilityConfig=w.visibility, Rules=[w.allow])["Summary"]  # fmt: skip
    call(
        "wafv2",
        "AssociateWebACL",
        WebACLArn=w.acl["ARN"],
        ResourceArn=w.balancer["LoadBalancerArn"],
    )
    return w
