"""For each rule a call that it refuses, next to a call that is accepted."""

import hashlib
import json
from collections.abc import Iterator
from typing import Any

from world import LABEL, World, definition, key_policy, policy, trust

NOBODY = f"arn:aws:iam::{LABEL}:role/none"


class Case:
    """An accepted call, and by rule the changes that have it refused; `...` removes a member."""

    def __init__(self, service: str, operation: str, given: dict[str, Any], **refused: Any) -> None:
        self.service, self.operation, self.given, self.refused = service, operation, given, refused

    def changed(self, rule: str) -> dict[str, Any]:
        changed = {**self.given, **self.refused[rule]}
        return {name: value for name, value in changed.items() if value is not ...}


def cases(w: World) -> Iterator[Case]:
    for service in (
        _acm, _amp, _autoscaling, _cloudwatch, _codedeploy, _ec2, _ecr, _ecs_definitions,
        _ecs_services, _elbv2, _elbv2_listeners, _grafana, _iam, _kms, _logs, _route53, _s3, _sns,
        _ssm, _wafv2,
    ):  # fmt: skip
        yield from service(w)


def _tags(name: str, key: str = "Key", value: str = "Value") -> dict[str, Any]:
    """Return too many tags, and tags with a reserved key."""
    return {
        "tag_count": {name: [{key: str(number), value: "x"} for number in range(51)]},
        "tag_keys": {name: [{key: "aws:x", value: "x"}]},
    }


def _map(name: str) -> dict[str, Any]:
    return {
        "tag_count": {name: {str(number): "x" for number in range(51)}},
        "tag_keys": {name: {"aws:x": "x"}},
    }


# --- Services, in the order of the alphabet -------------------------------------------------------


def _acm(w: World) -> Iterator[Case]:
    long = ".".join(["a" * 30] * 3)
    yield Case(
        "acm", "RequestCertificate", {"DomainName": "example.com"},
        first_name_is_short={"DomainName": long},
        alternative_names={"SubjectAlternativeNames": [f"a{n}.example.com" for n in range(10)]},
        validation_domain={"DomainValidationOptions": [{"DomainName": "example.com", "ValidationDomain": "example.org"}]},
        **_tags("Tags"),
    )  # fmt: skip
    yield Case(
        "acm", "DescribeCertificate", {"CertificateArn": w.certificate},
    )  # fmt: skip
    unused = w.account.call("acm", "RequestCertificate", {"DomainName": "unused.example.com"})
    yield Case(
        "acm", "DeleteCertificate", {"CertificateArn": unused["CertificateArn"]},
        certificate_is_unused={"CertificateArn": w.certificate},
    )  # fmt: skip


def _amp(w: World) -> Iterator[Case]:
    given = {"workspaceId": w.workspace, "name": "new", "data": w.rules}
    yield Case("amp", "CreateWorkspace", {"alias": "new"}, workspace_key={"kmsKeyArn": w.disabled})
    yield Case(
        "amp", "CreateRuleGroupsNamespace", given,
        namespace_is_new={"name": "used"},
        rule_groups={"data": b"groups: [{name: a, rules: [{alert: Down}]}]"},
        rule_expressions={"data": w.rules.replace(b"up == 0", b"sum(up == 0")},
    )  # fmt: skip
    topic = f"{{sns_configs: [{{topic_arn: {w.topic}, sigv4: {{region: eu-west-1}}}}], name: a}}"
    config = "alertmanager_config: |\n  {route: {receiver: a}, receivers: [%s]}\n"
    yield Case(
        "amp", "CreateAlertManagerDefinition",
        {"workspaceId": w.workspace, "data": (config % topic).encode()},
        alert_manager={"data": (config % "{name: b}").encode()},
        alert_receivers={"data": (config % "{name: a, slack_configs: []}").encode()},
    )  # fmt: skip


def _autoscaling(w: World) -> Iterator[Case]:
    name = "application-autoscaling"
    yield Case(
        name, "RegisterScalableTarget", {**w.scaled, "MinCapacity": 1, "MaxCapacity": 4},
        capacity_order={"MinCapacity": 5},
        capacities_are_given={"ResourceId": "service/full/full", "MaxCapacity": ...},
        scaled_service_exists={"ResourceId": "service/used/none"},
    )  # fmt: skip
    metric = {"PredefinedMetricType": "ECSServiceAverageCPUUtilization"}
    requests = {"PredefinedMetricType": "ALBRequestCountPerTarget"}
    balancer = w.balancer["LoadBalancerArn"].partition("loadbalancer/")[2]
    wrong = {**requests, "ResourceLabel": f"{balancer}/targetgroup/none/0"}

    def tracking(predefined: Any = metric, value: float = 60, **changes: Any) -> dict[str, Any]:
        found = {"TargetValue": value, "PredefinedMetricSpecification": predefined, **changes}
        return {"TargetTrackingScalingPolicyConfiguration": found}

    given = {**w.scaled, "PolicyName": "new", "PolicyType": "TargetTrackingScaling", **tracking()}
    yield Case(
        name, "PutScalingPolicy", given,
        target_is_registered={"ResourceId": "service/full/full"},
        policy_configuration={"PolicyType": "StepScaling"},
        one_tracked_metric=tracking(CustomizedMetricSpecification={"MetricName": "a", "Namespace": "b", "Statistic": "Sum"}),
        metric_fits_service=tracking({"PredefinedMetricType": "RDSReaderAverageCPUUtilization"}),
        resource_label=tracking(requests),
        resource_label_exists=tracking(wrong),
        target_value=tracking(value=101),
        cooldowns=tracking(ScaleInCooldown=-1),
    )  # fmt: skip
    yield Case(
        name, "PutScheduledAction",
        {**w.scaled, "ScheduledActionName": "new", "Schedule": "rate(1 day)", "ScalableTargetAction": {"MinCapacity": 1}},
        schedule_form={"Schedule": "cron(0 8 * * *)"},
    )  # fmt: skip


def _cloudwatch(w: World) -> Iterator[Case]:
    def maths(*changes: dict[str, Any], **others: Any) -> dict[str, Any]:
        """Return changes that turn an alarm on a metric into one on an expression."""
        single = dict.fromkeys(("Namespace", "MetricName", "Period", "Statistic"), ...)
        metric = {"Metric": {"Namespace": "a", "MetricName": "b"}, "Period": 60, "Stat": "Sum"}
        queries = [
            {"Id": "sum", "Expression": "FILL(m1, 0) * 2", "ReturnData": True},
            {"Id": "m1", "MetricStat": metric, "ReturnData": False},
        ]
        changed = [{**query, **change} for query, change in zip(queries, changes, strict=False)]
        found = [
            {name: value for name, value in query.items() if value is not ...}
            for query in [*changed, *queries[len(changed) :]]
        ]
        return {**single, "Metrics": found, **others}

    yield Case(
        "cloudwatch", "PutMetricAlarm", {**w.alarm, "AlarmName": "new"},
        alarm_period={"Period": 90},
        alarm_span={"Period": 3600, "EvaluationPeriods": 169},
        datapoints_to_alarm={"DatapointsToAlarm": 6},
        metric_or_maths=maths(Namespace="a"),
        one_statistic={"ExtendedStatistic": "p99"},
        extended_statistic={"Statistic": ..., "ExtendedStatistic": "p101"},
        threshold={"Threshold": ...},
        missing_data={"TreatMissingData": "zero"},
        low_samples={"EvaluateLowSampleCountPercentile": "ignore"},
        one_query_returns_data=maths({}, {"ReturnData": True}),
        query_ids=maths({"Id": "Upper"}),
        query_is_metric_or_expression=maths({"Expression": ...}),
        expression_ids=maths({"Expression": "FILL(m2, 0)"}),
        alarm_metrics=maths(Metrics=[{"Id": f"m{n}", "MetricStat": {"Metric": {"Namespace": "a", "MetricName": "b"}, "Period": 60, "Stat": "Sum"}, "ReturnData": n == 0} for n in range(11)]),
        alarm_actions={"AlarmActions": ["used"]},
        short_periods={"Period": 10},
        **_tags("Tags"),
    )  # fmt: skip
    single = {name: value for name, value in maths().items() if value is not ...}
    shared = {
        name: w.alarm[name] for name in ("EvaluationPeriods", "Threshold", "ComparisonOperator")
    }
    yield Case("cloudwatch", "PutMetricAlarm", {**shared, **single, "AlarmName": "maths"})
    yield Case(
        "cloudwatch", "PutCompositeAlarm", {"AlarmName": "new2", "AlarmRule": 'ALARM("used") AND NOT OK(used)'},
        alarm_rule={"AlarmRule": "ALARM(used) AND"},
        alarm_rule_is_no_cycle={"AlarmName": "both", "AlarmRule": "OK(both)"},
    )  # fmt: skip
    yield Case(
        "cloudwatch", "DeleteAlarms", {"AlarmNames": ["both"]},
    )  # fmt: skip
    text = {"type": "text", "properties": {"markdown": "x"}}
    yield Case(
        "cloudwatch", "PutDashboard", {"DashboardName": "new", "DashboardBody": json.dumps({"widgets": [text]})},
        dashboard_name={"DashboardName": "a b"},
        dashboard_body={"DashboardBody": json.dumps({"widgets": [{**text, "width": 25}]})},
    )  # fmt: skip


def _codedeploy(w: World) -> Iterator[Case]:
    yield Case(
        "codedeploy", "CreateApplication", {"applicationName": "new", "computePlatform": "ECS"},
        **_tags("tags"),
    )  # fmt: skip
    given = {**w.deployment_group, "deploymentGroupName": "new"}
    blue_green = given["blueGreenDeploymentConfiguration"]
    (pair,) = given["loadBalancerInfo"]["targetGroupPairInfoList"]

    def pairs(**changes: Any) -> dict[str, Any]:
        return {"loadBalancerInfo": {"targetGroupPairInfoList": [{**pair, **changes}]}}

    def shifting(name: str, **changes: Any) -> dict[str, Any]:
        found = {**blue_green, name: {**blue_green.get(name, {}), **changes}}
        return {"blueGreenDeploymentConfiguration": found}

    termination = "terminateBlueInstancesOnDeploymentSuccess"
    yield Case(
        "codedeploy", "CreateDeploymentGroup", given,
        configuration_exists={"deploymentConfigName": "CodeDeployDefault.ECSCanary5Percent"},
        ecs_is_blue_green={"deploymentStyle": {"deploymentType": "IN_PLACE", "deploymentOption": "WITH_TRAFFIC_CONTROL"}},
        blue_green_configuration={"blueGreenDeploymentConfiguration": ...},
        termination_wait=shifting(termination, terminationWaitTimeInMinutes=2881),
        ready_wait=shifting("deploymentReadyOption", waitTimeInMinutes=5),
        deployed_service_exists={"ecsServices": [{"clusterName": "used", "serviceName": "used"}]},
        two_target_groups=pairs(targetGroups=[{"name": "blue"}]),
        routed_listener_exists=pairs(prodTrafficRoute={"listenerArns": [w.listener[:-1]]}),
        deployment_alarms={"alarmConfiguration": {"enabled": True, "alarms": [{"name": str(n)} for n in range(11)]}},
        enabled_alarms={"alarmConfiguration": {"enabled": True}},
        rollback_events={"autoRollbackConfiguration": {"enabled": True}},
        service_role={"serviceRoleArn": w.role_ecs_tasks},
    )  # fmt: skip

    def revision(
        arn: str = w.definition, port: int = 8080, subnet: str = w.b, **changes: Any
    ) -> dict[str, Any]:
        balancer = {"ContainerName": "api", "ContainerPort": port}
        network = {"AwsvpcConfiguration": {"Subnets": [w.a, subnet], "SecurityGroups": [w.group]}}
        properties = {
            "TaskDefinition": arn,
            "LoadBalancerInfo": balancer,
            "NetworkConfiguration": network,
        }
        target = {"TargetService": {"Type": "AWS::ECS::Service", "Properties": properties}}
        content = {"content": json.dumps({"version": 0.0, "Resources": [target]}), **changes}
        return {"revision": {"revisionType": "AppSpecContent", "appSpecContent": content}}

    # Its deployment waits before it shifts the traffic.
    waits = shifting(
        "deploymentReadyOption", actionOnTimeout="STOP_DEPLOYMENT", waitTimeInMinutes=2880
    )
    busy = {**given, **waits, "deploymentGroupName": "busy"}
    w.account.call("codedeploy", "CreateDeploymentGroup", busy)
    deployment = {"applicationName": "used", "deploymentGroupName": "busy", **revision()}
    w.account.call("codedeploy", "CreateDeployment", deployment)
    yield Case(
        "codedeploy", "CreateDeployment",
        {"applicationName": "used", "deploymentGroupName": "used", **revision()},
        one_deployment_at_a_time={"deploymentGroupName": "busy"},
        revision_is_given={"revision": ...},
        revision_digest=revision(sha256=hashlib.sha256(b"x").hexdigest()),
        app_spec=revision(port=0),
        app_spec_definition=revision(w.inactive),
        app_spec_network=revision(subnet=w.other_a),
    )  # fmt: skip


def _ec2(w: World) -> Iterator[Case]:
    many = [{"ResourceType": "vpc", "Tags": [{"Key": str(n), "Value": ""} for n in range(51)]}]
    reserved = [{"ResourceType": "vpc", "Tags": [{"Key": "aws:x", "Value": ""}]}]
    yield Case(
        "ec2", "CreateVpc", {"CidrBlock": "10.1.0.0/16"},
        vpc_network={"CidrBlock": "10.1.0.1/16"},
        tag_count={"TagSpecifications": many},
        tag_keys={"TagSpecifications": reserved},
    )  # fmt: skip
    yield Case(
        "ec2", "CreateSubnet", {"VpcId": w.vpc, "CidrBlock": "10.0.128.0/24"},
        subnet_size={"CidrBlock": "10.0.200.0/29"},
        zone_exists={"AvailabilityZone": "us-east-1a"},
    )  # fmt: skip
    yield Case(
        "ec2", "CreateSecurityGroup", {"VpcId": w.vpc, "GroupName": "new", "Description": "new"},
        security_group_name={"GroupName": "sg-new"},
        security_group_description={"Description": "the API's"},
    )  # fmt: skip
    http = {
        "IpProtocol": "tcp",
        "FromPort": 80,
        "ToPort": 80,
        "IpRanges": [{"CidrIp": "192.0.2.0/24"}],
    }

    def permission(**changes: Any) -> dict[str, Any]:
        return {"IpPermissions": [{**http, **changes}]}

    yield Case(
        "ec2", "AuthorizeSecurityGroupIngress", {"GroupId": w.group, **permission()},
        rule_description=permission(IpRanges=[{"CidrIp": "192.0.2.0/24", "Description": "the API's"}]),
        rule_protocol=permission(IpProtocol="http"),
        rule_ports=permission(ToPort=79),
        rule_network=permission(IpRanges=[{"CidrIp": "192.0.2.1/24"}]),
    )  # fmt: skip
    empty = w.account.call("ec2", "CreateVpc", {"CidrBlock": "10.2.0.0/16"})["Vpc"]["VpcId"]
    yield Case("ec2", "DeleteVpc", {"VpcId": empty}, vpc_is_empty={"VpcId": w.vpc})
    yield Case("ec2", "DeleteSubnet", {"SubnetId": w.tiny}, subnet_is_unused={"SubnetId": w.a})
    yield Case(
        "ec2",
        "DeleteSecurityGroup",
        {"GroupId": w.other_group},
        security_group_is_unused={"GroupId": w.named_group},
    )
    yield Case(
        "ec2",
        "AttachInternetGateway",
        {"VpcId": w.other_vpc, "InternetGatewayId": w.free_gateway},
        one_internet_gateway={"VpcId": w.vpc},
    )
    yield Case(
        "ec2",
        "DetachInternetGateway",
        {"VpcId": w.other_vpc, "InternetGatewayId": w.free_gateway},
        gateway_is_unused={"VpcId": w.vpc, "InternetGatewayId": w.gateway},
    )
    endpoint = {
        "VpcId": w.vpc, "ServiceName": "com.amazonaws.eu-west-1.logs", "VpcEndpointType": "Interface",
        "SubnetIds": [w.a], "SecurityGroupIds": [w.group],
    }  # fmt: skip
    yield Case(
        "ec2", "CreateVpcEndpoint", endpoint,
        endpoint_service_exists={"ServiceName": "com.amazonaws.eu-west-1.log"},
        endpoint_zones_differ={"SubnetIds": [w.a, w.second_a]},
        endpoint_places={"RouteTableIds": ["rtb-0"]},
        private_names_need_dns={"PrivateDnsEnabled": True},
    )  # fmt: skip
    vpcs = w.account.call("ec2", "DescribeVpcs", {})["Vpcs"]
    (default,) = [one["VpcId"] for one in vpcs if one["IsDefault"]]
    private = {
        **endpoint,
        "VpcId": default,
        "SubnetIds": [],
        "SecurityGroupIds": [],
        "PrivateDnsEnabled": True,
    }
    w.account.call("ec2", "CreateVpcEndpoint", private)
    yield Case(
        "ec2",
        "CreateVpcEndpoint",
        {**private, "ServiceName": "com.amazonaws.eu-west-1.ssm"},
        private_names_are_unique={"ServiceName": endpoint["ServiceName"]},
    )
    log = {
        "ResourceIds": [w.vpc], "ResourceType": "VPC", "TrafficType": "ALL", "LogGroupName": "flows",
        "DeliverLogsPermissionArn": w.role_vpc_flow_logs,
    }  # fmt: skip
    yield Case(
        "ec2", "CreateFlowLogs", log,
        flow_log_destination={"DeliverLogsPermissionArn": w.role_ecs_tasks},
    )  # fmt: skip


def _ecr(w: World) -> Iterator[Case]:
    yield Case(
        "ecr", "CreateRepository", {"repositoryName": "new"},
        repository_key={"encryptionConfiguration": {"encryptionType": "AES256", "kmsKey": w.key}},
        **_tags("tags"),
    )  # fmt: skip

    def rules(*changes: dict[str, Any], **others: Any) -> dict[str, Any]:
        first = {
            "tagStatus": "untagged",
            "countType": "sinceImagePushed",
            "countUnit": "days",
            "countNumber": 7,
        }
        second = {"tagStatus": "any", "countType": "imageCountMoreThan", "countNumber": 9}
        found = [
            {"rulePriority": number, "action": {"type": "expire"}, "selection": {**selection, **change}, **others}
            for number, selection, change in zip((1, 2), (first, second), (*changes, {}, {})[:2], strict=True)
        ]  # fmt: skip
        return {"lifecyclePolicyText": json.dumps({"rules": found})}

    yield Case(
        "ecr", "PutLifecyclePolicy", {"repositoryName": "used", **rules()},
        lifecycle_policy=rules({"countNumber": 0}),
        lifecycle_priorities=rules(rulePriority=1),
        lifecycle_tags=rules({"tagStatus": "tagged"}),
        lifecycle_any_is_last=rules({"tagStatus": "any"}),
        lifecycle_untagged_is_one=rules({}, {"tagStatus": "untagged"}),
    )  # fmt: skip
    yield Case(
        "ecr", "SetRepositoryPolicy",
        {"repositoryName": "used", "policyText": policy(Principal="*", Action="ecr:GetDownloadUrlForLayer", Resource=None)},
        repository_policy={"policyText": policy(Action="ecr:*", Resource=None)},
    )  # fmt: skip
    yield Case(
        "ecr",
        "DeleteRepository",
        {"repositoryName": "used", "force": True},
    )


def _ecs_definitions(w: World) -> Iterator[Case]:
    def container(**changes: Any) -> dict[str, Any]:
        return {"containerDefinitions": definition(**changes)["containerDefinitions"]}

    def two(first: dict[str, Any] | None = None, **second: Any) -> dict[str, Any]:
        other = {"name": "nginx", "image": "nginx", **second}
        return {
            "containerDefinitions": [*container(**(first or {}))["containerDefinitions"], other]
        }

    def health(**changes: Any) -> dict[str, Any]:
        return container(healthCheck={"command": ["CMD", "true"], **changes})

    def logs(driver: str = "awslogs", **options: str) -> dict[str, Any]:
        log = {"logDriver": driver, "options": options}
        return {"executionRoleArn": w.role_ecs_tasks, **container(logConfiguration=log)}

    def secrets(source: str, **changes: Any) -> dict[str, Any]:
        return {
            "executionRoleArn": w.role_ecs_tasks,
            **container(secrets=[{"name": "KEY", "valueFrom": source}], **changes),
        }

    def needs(condition: str) -> list[dict[str, str]]:
        return [{"containerName": "api", "condition": condition}]

    yield Case(
        "ecs", "RegisterTaskDefinition", definition(),
        fargate_has_a_size={"memory": ...},
        fargate_size={"memory": "3072"},
        fargate_network_mode={"networkMode": "bridge"},
        container_memory=two({"memory": 400}, memory=400),
        memory_reservation=container(memory=64, memoryReservation=64),
        container_has_memory={"requiresCompatibilities": ["EC2"], "memory": ...},
        container_cpu=two({"cpu": 200}, cpu=200),
        family_name={"family": "a.b"},
        has_containers={"containerDefinitions": []},
        container_name=container(name="a b"),
        container_names_differ=two(name="api"),
        container_image=container(image="a b"),
        one_is_essential=container(essential=False),
        dependency_exists=two(dependsOn=[{"containerName": "none", "condition": "START"}]),
        dependencies_have_no_cycle=two({"dependsOn": [{"containerName": "nginx", "condition": "START"}]}, dependsOn=needs("START")),
        healthy_needs_a_health_check=two(dependsOn=needs("HEALTHY")),
        essential_does_not_complete=two(dependsOn=needs("SUCCESS")),
        execution_role=container(secrets=[{"name": "KEY", "valueFrom": "/used"}]),
        role_form={"taskRoleArn": "arn:aws:iam::1:role/x"},
        secret_source=secrets("arn:aws:s3:::bucket/key"),
        secret_names=secrets("/used", environment=[{"name": "KEY", "value": "x"}]),
        host_port=container(portMappings=[{"containerPort": 8080, "hostPort": 80}]),
        container_ports=two(portMappings=[{"containerPort": 8080}]),
        stop_timeout=container(stopTimeout=121),
        start_timeout=container(startTimeout=121),
        health_check_ranges=health(interval=4),
        health_check_command=health(command=["true"]),
        ephemeral_storage={"ephemeralStorage": {"sizeInGiB": 20}},
        runtime_platform={"runtimePlatform": {"operatingSystemFamily": "WINDOWS_SERVER_2022_CORE"}},
        log_driver=logs("json-file"),
        awslogs_options=logs(**{"awslogs-group": "a", "awslogs-region": "eu-west-1"}),
        fargate_linux_parameters=container(linuxParameters={"capabilities": {"add": ["NET_ADMIN"]}}),
        fargate_container_parameters=container(privileged=True),
        fargate_task_parameters={"ipcMode": "host"},
        environment_names=container(environment=[{"name": "", "value": "x"}]),
        ulimits=container(ulimits=[{"name": "nofile", "softLimit": 2, "hardLimit": 1}]),
        mounted_volume_exists=container(mountPoints=[{"sourceVolume": "none", "containerPath": "/x"}]),
        volume_names_differ={"volumes": [{"name": "a"}, {"name": "a"}]},
        restart_attempt_period=container(restartPolicy={"enabled": True, "restartAttemptPeriod": 30}),
        **_tags("tags", "key", "value"),
    )  # fmt: skip
    bridged = w.bridged.rpartition("/")[2]
    yield Case(
        "ecs",
        "DeregisterTaskDefinition",
        {"taskDefinition": bridged},
        revision_is_stated={"taskDefinition": "bridged"},
    )


def _ecs_services(w: World) -> Iterator[Case]:
    yield Case(
        "ecs", "CreateCluster", {"clusterName": "new"},
        cluster_name={"clusterName": "a b"},
        container_insights={"settings": [{"name": "containerInsights", "value": "on"}]},
    )  # fmt: skip

    def network(**changes: Any) -> dict[str, Any]:
        found = {**w.network["awsvpcConfiguration"], **changes}
        return {"networkConfiguration": {"awsvpcConfiguration": found}}

    def balanced(**changes: Any) -> dict[str, Any]:
        return {"loadBalancers": [{**w.target, "targetGroupArn": w.blue, **changes}]}

    def rollout(**changes: Any) -> dict[str, Any]:
        return {"deploymentConfiguration": changes}

    code_deploy = {"deploymentController": {"type": "CODE_DEPLOY"}}
    breaker = rollout(deploymentCircuitBreaker={"enable": True, "rollback": True})
    spot = {"capacityProvider": "FARGATE_SPOT"}
    yield Case(
        "ecs", "CreateService", {**w.service, "serviceName": "new"},
        cluster_exists={"cluster": "none"},
        service_name={"serviceName": "a b"},
        service_is_new={"serviceName": "used"},
        revision_is_active={"taskDefinition": w.inactive},
        definition_is_given={"taskDefinition": ...},
        circuit_breaker_is_rolling={**code_deploy, **breaker},
        deployment_alarms_are_named=rollout(alarms={"enable": True, "rollback": True, "alarmNames": []}),
        deployment_percents=rollout(minimumHealthyPercent=100, maximumPercent=100),
        launch_type_or_strategy={"capacityProviderStrategy": [{**spot, "weight": 1}]},
        capacity_provider_is_associated={"launchType": ..., "capacityProviderStrategy": [{**spot, "weight": 1}]},
        capacity_strategy={"launchType": ..., "capacityProviderStrategy": [{**spot, "weight": 0}]},
        definition_fits_launch_type={"taskDefinition": w.bridged, "networkConfiguration": ..., "loadBalancers": ...},
        network_is_configured={"networkConfiguration": ...},
        network_exists=network(subnets=["subnet-0"]),
        public_addresses_are_fargates={"launchType": "EC2", **network(assignPublicIp="ENABLED")},
        balanced_container_exists=balanced(containerPort=80),
        target_group_is_served=balanced(targetGroupArn=w.free),
        target_group_has_addresses=balanced(targetGroupArn=w.instances),
        grace_period={"loadBalancers": ..., "healthCheckGracePeriodSeconds": 5},
        code_deploy_needs_a_load_balancer={**code_deploy, "loadBalancers": ...},
        platform_version={"platformVersion": "1.5.0"},
        fargate_has_no_daemons={"schedulingStrategy": "DAEMON"},
        desired_count={"desiredCount": 5001},
    )  # fmt: skip
    yield Case(
        "ecs", "RunTask",
        {"cluster": "used", "taskDefinition": w.definition, "launchType": "FARGATE", "networkConfiguration": w.network},
        run_task_count={"count": 11},
    )  # fmt: skip
    yield Case(
        "ecs", "UpdateService", {"cluster": "used", "service": "used", "taskDefinition": w.definition},
        code_deploy_changes_tasks={"service": "deployed"},
    )  # fmt: skip
    given = {"cluster": "full", "service": "full"}
    yield Case("ecs", "DeleteService", {**given, "force": True})
    yield Case(
        "ecs", "DeleteCluster", {"cluster": "empty"}, cluster_has_no_services={"cluster": "used"}
    )


def _elbv2(w: World) -> Iterator[Case]:
    yield Case(
        "elbv2", "CreateLoadBalancer", {"Name": "new", "Subnets": [w.a, w.b], "SecurityGroups": [w.group]},
        load_balancer_name={"Name": "-new"},
        subnets_exist={"Subnets": [w.a, "subnet-0"]},
        two_subnets={"Subnets": [w.a]},
        one_subnet_a_zone={"Subnets": [w.a, w.second_a, w.b]},
        subnet_size={"Subnets": [w.a, w.tiny]},
        public_subnets={"Subnets": [w.other_a, w.other_b], "SecurityGroups": [w.other_group]},
        security_groups_exist={"SecurityGroups": [w.other_group]},
        **_tags("Tags"),
    )  # fmt: skip

    def attributes(**values: str) -> dict[str, Any]:
        found = [{"Key": key.replace("__", "."), "Value": value} for key, value in values.items()]
        return {"Attributes": found}

    def log(bucket: str) -> dict[str, Any]:
        return attributes(access_logs__s3__enabled="true", access_logs__s3__bucket=bucket)

    arn = w.balancer["LoadBalancerArn"]
    yield Case(
        "elbv2", "ModifyLoadBalancerAttributes", {"LoadBalancerArn": arn, **log("logs-of-tests")},
        load_balancer_attributes=attributes(idle_timeout__timeout_seconds="4001"),
        access_log_bucket=log("used-by-tests"),
    )  # fmt: skip
    given = {"Subnets": [w.a, w.b], "Name": "unused"}
    unused = w.account.call("elbv2", "CreateLoadBalancer", given)["LoadBalancers"][0]
    yield Case(
        "elbv2",
        "DeleteLoadBalancer",
        {"LoadBalancerArn": unused["LoadBalancerArn"]},
        deletion_protection={"LoadBalancerArn": w.protected["LoadBalancerArn"]},
    )
    yield Case(
        "elbv2", "CreateTargetGroup",
        {"Name": "new", "Protocol": "HTTP", "Port": 80, "VpcId": w.vpc, "TargetType": "ip"},
        target_group_name={"Name": "new-"},
        target_group_address={"VpcId": "vpc-0"},
        protocol_version={"ProtocolVersion": "HTTP3"},
        health_check_times={"HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 5},
        health_check_protocol={"HealthCheckProtocol": "TCP"},
        health_check_path={"HealthCheckPath": "readyz"},
        health_check_port={"HealthCheckPort": "70000"},
        matcher={"Matcher": {"HttpCode": "500"}},
    )  # fmt: skip
    yield Case(
        "elbv2", "ModifyTargetGroupAttributes",
        {"TargetGroupArn": w.blue, **attributes(deregistration_delay__timeout_seconds="3600")},
        target_group_attributes=attributes(deregistration_delay__timeout_seconds="3601"),
    )  # fmt: skip
    yield Case(
        "elbv2",
        "RegisterTargets",
        {"TargetGroupArn": w.free, "Targets": [{"Id": "10.0.0.9"}]},
        target_form={"Targets": [{"Id": "192.1.1.1"}]},
    )
    yield Case(
        "elbv2",
        "DeleteTargetGroup",
        {"TargetGroupArn": w.free},
        target_group_is_unused={"TargetGroupArn": w.blue},
    )


def _elbv2_listeners(w: World) -> Iterator[Case]:
    def redirect(**changes: str) -> dict[str, Any]:
        return {
            "DefaultActions": [
                {"Type": "redirect", "RedirectConfig": {"StatusCode": "HTTP_301", **changes}}
            ]
        }

    def forward(*groups: str) -> dict[str, Any]:
        found = [{"TargetGroupArn": one, "Weight": 1} for one in groups]
        return {"DefaultActions": [{"Type": "forward", "ForwardConfig": {"TargetGroups": found}}]}

    typed = {
        "Type": "fixed-response",
        "FixedResponseConfig": {"StatusCode": "404", "ContentType": "text/xml"},
    }
    foreign = w.certificate[:-4] + "0000"
    yield Case(
        "elbv2", "CreateListener",
        {"LoadBalancerArn": w.balancer["LoadBalancerArn"], "Port": 81, "Protocol": "HTTP", **redirect(Port="443", Protocol="HTTPS")},
        listener_has_a_port={"Protocol": "TCP"},
        listener_port_is_free={"Port": 80},
        certificate_exists={"Protocol": "HTTPS", "Certificates": [{"CertificateArn": foreign}]},
        https_has_a_certificate={"Protocol": "HTTPS"},
        ssl_policy={"Protocol": "HTTPS", "Certificates": [{"CertificateArn": w.certificate}], "SslPolicy": "ELBSecurityPolicy-TLS13-1-4-2021-06"},
        forwarded_groups_exist=forward(w.blue[:-1]),
        action_is_complete={"DefaultActions": [{"Type": "forward"}]},
        last_action_answers={"DefaultActions": [w.fixed, w.fixed]},
        forward_weights=forward(*[w.blue] * 6),
        forwarded_groups_are_near=forward(w.elsewhere),
        target_group_has_one_load_balancer={"LoadBalancerArn": w.protected["LoadBalancerArn"], **forward(w.blue)},
        redirect_does_not_loop=redirect(),
        redirect_target=redirect(Path="x"),
        fixed_response_type={"DefaultActions": [typed]},
    )  # fmt: skip
    path = {"Field": "path-pattern", "Values": ["/new"]}
    yield Case(
        "elbv2", "CreateRule", {"ListenerArn": w.listener, "Priority": 8, "Actions": [w.fixed], "Conditions": [path]},
        priority_is_free={"Priority": 7},
        rule_conditions={"Conditions": [{"Field": "path", "Values": ["/new"]}]},
    )  # fmt: skip
    yield Case("elbv2", "DeleteListener", {"ListenerArn": w.secure})
    yield Case("elbv2", "DescribeRules", {"ListenerArn": w.listener})


def _grafana(w: World) -> Iterator[Case]:
    given = {
        "workspaceName": "new", "accountAccessType": "CURRENT_ACCOUNT", "authenticationProviders": ["AWS_SSO"],
        "permissionType": "CUSTOMER_MANAGED", "workspaceRoleArn": w.role_grafana,
    }  # fmt: skip
    yield Case(
        "grafana", "CreateWorkspace", given,
        organization_units={"accountAccessType": "ORGANIZATION"},
        workspace_role={"workspaceRoleArn": w.role_ecs_tasks},
        grafana_version={"grafanaVersion": "11.0"},
    )  # fmt: skip
    yield Case(
        "grafana",
        "DescribeWorkspace",
        {"workspaceId": w.grafana},
    )


def _iam(w: World) -> Iterator[Case]:
    def trusting(**changes: Any) -> dict[str, Any]:
        plain = {
            "Principal": {"Service": "ecs.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Resource": None,
        }
        return {"AssumeRolePolicyDocument": policy(**{**plain, **changes})}

    yield Case(
        "iam", "CreateRole", {"RoleName": "new", **trusting()},
        trust_policy=trusting(Principal=None),
        trust_policy_actions=trusting(Action="s3:GetObject"),
        trust_policy_principals=trusting(Principal={"AWS": NOBODY}),
        trust_policy_size=trusting(Condition={"StringEquals": {"aws:x": ["x" * 2048]}}),
        boundary_exists={"PermissionsBoundary": w.policy + "x"},
        role_is_new={"RoleName": "GRAFANA"},
        service_linked_role_name={"RoleName": "AWSServiceRoleForECS"},
        statement_ids=trusting(Sid="a-b"),
        **_tags("Tags"),
    )  # fmt: skip
    yield Case(
        "iam", "PutRolePolicy", {"RoleName": "ecs-tasks", "PolicyName": "new", "PolicyDocument": policy()},
        permission_policy={"PolicyDocument": policy(Effect="allow")},
        policy_actions={"PolicyDocument": policy(Action="GetObject")},
        policy_resources={"PolicyDocument": policy(Resource="bucket")},
        inline_policy_size={"PolicyDocument": policy(Resource=[f"arn:aws:s3:::{n:0200}" for n in range(60)])},
    )  # fmt: skip
    big = policy(Resource=[f"arn:aws:s3:::{n:0200}" for n in range(30)])
    yield Case(
        "iam",
        "CreatePolicy",
        {"PolicyName": "new", "PolicyDocument": policy()},
        managed_policy_size={"PolicyDocument": big},
    )
    call = w.account.call
    arns = [
        call("iam", "CreatePolicy", {"PolicyName": f"p{n}", "PolicyDocument": policy()})["Policy"][
            "Arn"
        ]
        for n in range(11)
    ]
    for one in arns[:10]:
        call("iam", "AttachRolePolicy", {"RoleName": "codedeploy", "PolicyArn": one})
    for _ in range(4):
        call("iam", "CreatePolicyVersion", {"PolicyArn": arns[0], "PolicyDocument": policy()})
    yield Case(
        "iam", "AttachRolePolicy", {"RoleName": "grafana", "PolicyArn": arns[0]},
        attached_policies={"RoleName": "codedeploy", "PolicyArn": arns[10]},
        attached_policy_exists={"PolicyArn": w.policy + "x"},
    )  # fmt: skip
    version = {"PolicyArn": arns[1], "PolicyDocument": policy()}
    yield Case("iam", "CreatePolicyVersion", version)
    yield Case(
        "iam",
        "DeletePolicyVersion",
        {"PolicyArn": arns[0], "VersionId": "v2"},
    )
    yield Case("iam", "DeletePolicy", {"PolicyArn": arns[10]})
    call("iam", "CreateRole", {"RoleName": "bare", **trusting()})
    yield Case("iam", "DeleteRole", {"RoleName": "bare"})
    yield Case(
        "iam", "CreateOpenIDConnectProvider",
        {"Url": "https://new.example", "ClientIDList": ["sts.amazonaws.com"], "ThumbprintList": ["a" * 40]},
        provider_url={"Url": "http://new.example"},
        provider_thumbprints={"ThumbprintList": ["x" * 40]},
        provider_client_ids={"ClientIDList": [str(n) for n in range(101)]},
    )  # fmt: skip


def _kms(w: World) -> Iterator[Case]:
    stranger = {"Service": "logs.amazonaws.com"}
    yield Case(
        "kms", "CreateKey", {"Policy": key_policy()},
        key_policy={"Policy": key_policy(Action=None)},
        key_stays_manageable={"Policy": key_policy(Principal=stranger)},
        key_policy_principals={"Policy": key_policy(Principal={"AWS": NOBODY})},
        key_usage={"KeyUsage": "SIGN_VERIFY"},
        **_tags("Tags", "TagKey", "TagValue"),
    )  # fmt: skip
    spare = w.account.call("kms", "CreateKey", {})["KeyMetadata"]["KeyId"]
    yield Case(
        "kms", "ScheduleKeyDeletion", {"KeyId": spare, "PendingWindowInDays": 7},
        key_is_not_being_deleted={"KeyId": w.dying},
    )  # fmt: skip
    yield Case(
        "kms", "EnableKeyRotation", {"KeyId": w.key, "RotationPeriodInDays": 90},
        key_is_enabled={"KeyId": w.disabled},
    )  # fmt: skip
    yield Case(
        "kms", "CreateAlias", {"AliasName": "alias/new", "TargetKeyId": w.key},
        alias_name={"AliasName": "alias/aws/new"},
    )  # fmt: skip


def _logs(w: World) -> Iterator[Case]:
    yield Case(
        "logs",
        "PutRetentionPolicy",
        {"logGroupName": "/used", "retentionInDays": 14},
    )
    yield Case(
        "logs", "CreateLogGroup", {"logGroupName": "/new", "kmsKeyId": w.log_key},
        log_group_name={"logGroupName": "aws/new"},
        log_group_key={"kmsKeyId": w.disabled},
        log_group_key_policy={"kmsKeyId": w.key},
        **_map("tags"),
    )  # fmt: skip

    keyed = {"logGroupName": "/used", "kmsKeyId": w.log_key}
    yield Case("logs", "AssociateKmsKey", keyed, log_group_exists={"logGroupName": "/none"})

    def transformation(**changes: Any) -> dict[str, Any]:
        return {
            "metricTransformations": [
                {"metricName": "a", "metricNamespace": "b", "metricValue": "1", **changes}
            ]
        }

    filtered = {
        "logGroupName": "/used",
        "filterName": "new",
        "filterPattern": '{ $.level = "error" }',
        **transformation(),
    }
    yield Case(
        "logs", "PutMetricFilter", filtered,
        filter_pattern={"filterPattern": '{ $.level = "error"'},
        default_or_dimensions=transformation(defaultValue=0, dimensions={"a": "$.a"}),
        metric_value=transformation(metricValue="latency"),
    )  # fmt: skip
    stream = {
        "logGroupName": "/used",
        "filterName": "new",
        "filterPattern": "",
        "destinationArn": f"arn:aws:lambda:eu-west-1:{LABEL}:function:x",
    }
    yield Case(
        "logs", "PutSubscriptionFilter", stream, subscription_destination={"destinationArn": "x"}
    )
    document = policy(
        Principal={"Service": "delivery.logs.amazonaws.com"}, Action="logs:PutLogEvents"
    )
    for number in range(9):
        w.account.call(
            "logs", "PutResourcePolicy", {"policyName": str(number), "policyDocument": document}
        )
    yield Case(
        "logs", "PutResourcePolicy", {"policyName": "0", "policyDocument": document},
        log_resource_policy={"policyDocument": policy(Action="logs:PutLogEvents")},
        log_resource_policies={"policyDocument": policy(Principal="*", Action="logs:*", Sid="x" * 5120)},
    )  # fmt: skip
    query = (
        "fields @timestamp | filter status >= 500 and path like /a|b/ | stats count(*) by bin(1m)"
    )
    yield Case(
        "logs",
        "PutQueryDefinition",
        {"name": "new", "queryString": query},
        saved_query_commands={"queryString": "select *"},
    )
    yield Case(
        "logs",
        "StartQuery",
        {"logGroupName": "/used", "startTime": 1, "endTime": 2, "queryString": "fields @message"},
        query_times={"startTime": 3},
        query_commands={"queryString": "select *"},
    )
    events = [{"timestamp": 1_764_000_000_000, "message": "a"}]
    yield Case(
        "logs",
        "PutLogEvents",
        {"logGroupName": "/used", "logStreamName": "one", "logEvents": events},
        event_order={"logEvents": [*events, {"timestamp": 1, "message": "a"}]},
        event_batch={"logEvents": [{**events[0], "message": "a" * 600_000}] * 2},
    )


def _route53(w: World) -> Iterator[Case]:
    record = {**w.record, "Name": "new.example.com"}

    def change(action: str = "CREATE", **changes: Any) -> dict[str, Any]:
        changed = {name: value for name, value in {**record, **changes}.items() if value is not ...}
        return {"ChangeBatch": {"Changes": [{"Action": action, "ResourceRecordSet": changed}]}}

    alias = {
        "HostedZoneId": "Z00000000",
        "DNSName": w.balancer["DNSName"],
        "EvaluateTargetHealth": True,
    }
    name = [{"Value": "example.org"}]
    yield Case(
        "route53", "ChangeResourceRecordSets", {"HostedZoneId": w.zone, **change()},
        zone_is_there={"HostedZoneId": "Z00000000"},
        record_is_in_its_zone=change(Name="new.example.org"),
        no_alias_at_the_apex=change(Name="example.com", Type="CNAME", ResourceRecords=name),
        cname_is_alone=change(Name="used.example.com", Type="CNAME", ResourceRecords=name),
        record_or_alias=change(TTL=...),
        record_values=change(ResourceRecords=[{"Value": "192.0.2.256"}]),
        alias_target=change(TTL=..., ResourceRecords=..., AliasTarget=alias),
    )  # fmt: skip
    given = {"Name": "example.net", "CallerReference": "2"}
    yield Case("route53", "CreateHostedZone", given, zone_name={"Name": "example..net"})
    empty = w.account.call(
        "route53", "CreateHostedZone", {"Name": "example.org", "CallerReference": "3"}
    )
    yield Case(
        "route53",
        "DeleteHostedZone",
        {"Id": empty["HostedZone"]["Id"]},
    )

    def probe(**changes: Any) -> dict[str, Any]:
        changed = {
            name: value for name, value in {**w.probe, **changes}.items() if value is not ...
        }
        return {"HealthCheckConfig": changed}

    yield Case(
        "route53", "CreateHealthCheck", {"CallerReference": "new", **probe()},
        health_check_interval=probe(RequestInterval=20),
        health_check_address=probe(FullyQualifiedDomainName=...),
        health_check_search=probe(SearchString="ok"),
        tcp_check_has_no_path=probe(Type="TCP"),
    )  # fmt: skip
    yield Case(
        "route53",
        "GetHealthCheck",
        {"HealthCheckId": w.health_check},
    )


def _s3(w: World) -> Iterator[Case]:
    place = {"CreateBucketConfiguration": {"LocationConstraint": "eu-west-1"}}
    yield Case(
        "s3",
        "CreateBucket",
        {"Bucket": "new-of-tests", **place},
        bucket_name={"Bucket": "New"},
    )

    def document(bucket: str = "used-by-tests", **changes: Any) -> dict[str, Any]:
        own = {"Principal": {"AWS": "*"}, "Resource": f"arn:aws:s3:::{bucket}/*", **changes}
        return {"Policy": policy(**own)}

    yield Case(
        "s3", "PutBucketPolicy", {"Bucket": "used-by-tests", **document()},
        bucket_policy=document(Principal=None),
        bucket_policy_resource=document("other"),
        bucket_policy_principals=document(Principal={"AWS": NOBODY}),
        bucket_policy_actions=document(Action="ec2:RunInstances"),
    )  # fmt: skip

    def lifecycle(*rules: dict[str, Any], **changes: Any) -> dict[str, Any]:
        one = {
            "ID": "a",
            "Status": "Enabled",
            "Filter": {"Prefix": ""},
            "Expiration": {"Days": 1},
            **changes,
        }
        kept = {name: value for name, value in one.items() if value is not ...}
        return {"LifecycleConfiguration": {"Rules": [kept, *rules]}}

    yield Case(
        "s3", "PutBucketLifecycleConfiguration", {"Bucket": "used-by-tests", **lifecycle()},
        lifecycle_rules=lifecycle(Expiration=...),
        lifecycle_ids=lifecycle(lifecycle()["LifecycleConfiguration"]["Rules"][0]),
        lifecycle_days=lifecycle(Expiration={"Days": 0}),
    )  # fmt: skip

    def encrypted(**changes: Any) -> dict[str, Any]:
        default = {"SSEAlgorithm": "AES256", **changes}
        return {
            "ServerSideEncryptionConfiguration": {
                "Rules": [{"ApplyServerSideEncryptionByDefault": default}]
            }
        }

    yield Case(
        "s3",
        "PutBucketVersioning",
        {"Bucket": "used-by-tests", "VersioningConfiguration": {"Status": "Enabled"}},
        versioning_status={"VersioningConfiguration": {"MFADelete": "Disabled"}},
    )
    yield Case(
        "s3",
        "PutBucketEncryption",
        {"Bucket": "used-by-tests", **encrypted()},
        encryption=encrypted(KMSMasterKeyID=w.key),
    )
    yield Case("s3", "PutObject", {"Bucket": "used-by-tests", "Key": "new", "Body": b"x"})
    yield Case("s3", "DeleteBucket", {"Bucket": "shut-off"})


def _sns(w: World) -> Iterator[Case]:
    publish = policy(
        Principal={"Service": "cloudwatch.amazonaws.com"}, Action="sns:Publish", Resource=w.topic
    )

    def attribute(name: str, value: str) -> dict[str, Any]:
        return {"AttributeName": name, "AttributeValue": value}

    yield Case("sns", "CreateTopic", {"Name": "new"}, topic_name={"Name": "a b"}, **_tags("Tags"))
    yield Case(
        "sns", "SetTopicAttributes", {"TopicArn": w.topic, **attribute("Policy", publish)},
        topic_attributes=attribute("Colour", "red"),
        topic_policy=attribute("Policy", policy(Action="sns:Publish")),
        topic_policy_actions=attribute("Policy", publish.replace("sns:Publish", "sqs:SendMessage")),
        topic_policy_resource=attribute("Policy", publish.replace(w.topic, w.topic + "2")),
        topic_policy_principals=attribute("Policy", policy(Principal={"AWS": NOBODY}, Action="sns:Publish", Resource=w.topic)),
        topic_key=attribute("KmsMasterKeyId", w.disabled),
        topic_values=attribute("DisplayName", "x" * 101),
    )  # fmt: skip
    yield Case("sns", "GetTopicAttributes", {"TopicArn": w.topic})
    yield Case(
        "sns", "Subscribe", {"TopicArn": w.topic, "Protocol": "email", "Endpoint": "a@example.com"},
        subscription_protocol={"Protocol": "fax"},
        subscription_endpoint={"Endpoint": "example.com"},
    )  # fmt: skip
    yield Case(
        "sns",
        "Publish",
        {"TopicArn": w.topic, "Message": "x"},
    )


def _ssm(w: World) -> Iterator[Case]:
    yield Case(
        "ssm", "PutParameter", {"Name": "/new", "Value": "x", "Type": "String"},
        value_is_not_empty={"Value": ""},
        value_size={"Value": "x" * 4097},
        parameter_name={"Name": "/a b"},
        reserved_name={"Name": "/SSM/a"},
        hierarchy_depth={"Name": "/a" * 16},
        new_parameter_has_a_type={"Type": ...},
        type_stays={"Name": "/secure", "Overwrite": True},
        key_is_for_secure_strings={"KeyId": w.key},
        key_is_usable={"Type": "SecureString", "KeyId": w.disabled},
        allowed_pattern={"AllowedPattern": "^y$"},
        tier_does_not_shrink={"Name": "/advanced", "Overwrite": True, "Tier": "Standard"},
        **_tags("Tags"),
    )  # fmt: skip
    yield Case("ssm", "GetParameter", {"Name": "/used"})


def _wafv2(w: World) -> Iterator[Case]:
    def rules(*others: dict[str, Any], **changes: Any) -> dict[str, Any]:
        changed = {
            name: value for name, value in {**w.allow, **changes}.items() if value is not ...
        }
        return {"Rules": [changed, *others]}

    def rate(**changes: Any) -> dict[str, Any]:
        found = {"Limit": 100, "AggregateKeyType": "IP", **changes}
        return rules(Statement={"RateBasedStatement": found})

    def block(**response: Any) -> dict[str, Any]:
        return rules(Action={"Block": {"CustomResponse": {"ResponseCode": 429, **response}}})

    match = {
        "FieldToMatch": {"UriPath": {}}, "PositionalConstraint": "EXACTLY", "SearchString": b"x",
        "TextTransformations": [{"Priority": 1, "Type": "NONE"}] * 2,
    }  # fmt: skip
    override = {"Action": ..., "OverrideAction": {"None": {}}}
    managed = {
        "ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "AWSManagedRulesCommonRuleSet"}
    }
    eight = [
        {
            **w.allow,
            "Name": str(n),
            "Priority": n,
            "OverrideAction": {"None": {}},
            "Statement": managed,
        }
        for n in range(2, 10)
    ]
    for one in eight:
        del one["Action"]
    given = {
        "Name": "new", "Scope": "REGIONAL", "DefaultAction": {"Allow": {}}, "VisibilityConfig": w.visibility,
        **rules(eight[0]),
    }  # fmt: skip
    yield Case(
        "wafv2", "CreateWebACL", given,
        cloudfront_is_in_us_east_1={"Scope": "CLOUDFRONT"},
        waf_priorities_differ=rules({**w.allow, "Name": "b"}),
        waf_rule_names_differ=rules({**w.allow, "Priority": 2}),
        action_or_override=rules(OverrideAction={"None": {}}),
        one_action=rules(Action={"Allow": {}, "Count": {}}),
        one_statement=rules(Statement={}),
        rate_window=rate(EvaluationWindowSec=90),
        rate_keys=rate(AggregateKeyType="CUSTOM_KEYS"),
        rate_is_outermost=rules(Statement={"NotStatement": {"Statement": rate()["Rules"][0]["Statement"]}}),
        logical_statements=rules(Statement={"AndStatement": {"Statements": [w.allow["Statement"]]}}),
        transformation_priorities=rules(Statement={"ByteMatchStatement": match}),
        response_body_exists=block(CustomResponseBodyKey="none"),
        response_headers=block(ResponseHeaders=[{"Name": "Content-Type", "Value": "text/plain"}]),
        response_body_size={"CustomResponseBodies": {"a": {"ContentType": "TEXT_PLAIN", "Content": "x" * 4097}}},
        waf_metric_name=rules(VisibilityConfig={**w.visibility, "MetricName": "All"}),
        ip_set_exists=rules(Statement={"IPSetReferenceStatement": {"ARN": w.ip_set["ARN"][:-1]}}),
        managed_group_exists=rules(**override, Statement={"ManagedRuleGroupStatement": {"VendorName": "AWS", "Name": "None"}}),
        waf_capacity=rules(*eight),
        **_tags("Tags"),
    )  # fmt: skip
    yield Case("wafv2", "CreateWebACL", {**given, "Name": "rate", **rate(EvaluationWindowSec=60)})
    yield Case(
        "wafv2", "CreateIPSet",
        {"Name": "new", "Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Addresses": ["192.0.2.0/24"]},
        ip_set_addresses={"Addresses": ["0.0.0.0/0"]},
        ip_set_size={"Addresses": ["192.0.2.0/24"] * 10001},
    )  # fmt: skip
    spare = {"Name": "spare", "Scope": "REGIONAL", "IPAddressVersion": "IPV4", "Addresses": []}
    spare = w.account.call("wafv2", "CreateIPSet", spare)["Summary"]

    def delete(found: dict[str, Any]) -> dict[str, Any]:
        return {"Scope": "REGIONAL", **{name: found[name] for name in ("Id", "Name", "LockToken")}}

    yield Case("wafv2", "DeleteIPSet", delete(spare), ip_set_is_unused=delete(w.ip_set))
    without = w.account.call("wafv2", "CreateWebACL", {**given, "Name": "spare"})["Summary"]
    yield Case(
        "wafv2",
        "DeleteWebACL",
        delete(without),
        acl_is_unused=delete(w.acl),
        lock_token={"LockToken": "00000000-0000-0000-0000-000000000000"},
    )
    yield Case(
        "wafv2", "AssociateWebACL",
        {"WebACLArn": w.acl["ARN"], "ResourceArn": w.protected["LoadBalancerArn"]},
        protected_resource_exists={"ResourceArn": w.protected["LoadBalancerArn"][:-1]},
    )  # fmt: skip
    group = f"arn:aws:logs:eu-west-1:{LABEL}:log-group:"
    destination = {
        "ResourceArn": w.acl["ARN"],
        "LogDestinationConfigs": [f"{group}aws-waf-logs-new"],
    }
    yield Case(
        "wafv2", "PutLoggingConfiguration", {"LoggingConfiguration": destination},
        log_destination={"LoggingConfiguration": {**destination, "LogDestinationConfigs": [f"{group}new"]}},
    )  # fmt: skip


__all__ = ["Case", "cases", "trust"]
