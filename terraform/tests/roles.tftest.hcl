# The permissions of each role.

mock_provider "aws" {
  source          = "./tests/mocks"
  override_during = plan
}

mock_provider "aws" {
  alias           = "us_east_1"
  source          = "./tests/mocks"
  override_during = plan
}

run "only_ecs_of_this_account_assumes_the_roles" {
  command = plan

  assert {
    condition = jsonencode([
      for statement in data.aws_iam_policy_document.tasks_trust.statement : [
        statement.actions, one(statement.principals).identifiers, { for condition in statement.condition : condition.variable => condition.values }
      ]
      ]) == jsonencode([
      [["sts:AssumeRole"], ["ecs-tasks.amazonaws.com"], { "aws:SourceAccount" = ["123456789012"], "aws:SourceArn" = ["arn:aws:ecs:eu-west-1:123456789012:*"] }]
    ])
    error_message = "Only tasks of this account and region may assume the roles."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.alarms["page"].statement :
      [statement.actions, one(statement.principals).identifiers, one(statement.condition).variable, one(statement.condition).values]
      ] == [
      [toset(["sns:Publish"]), toset(["cloudwatch.amazonaws.com", "aps.amazonaws.com"]), "aws:SourceAccount", tolist(["123456789012"])],
      [toset(["sns:Publish"]), toset(["events.amazonaws.com"]), "aws:SourceArn", tolist(["arn:aws:events:eu-west-1:123456789012:rule/zama-challenge-deployments"])],
    ]
    error_message = "Only this account's alarms and its rule on deployments may publish."
  }
  assert {
    condition     = length(aws_iam_role_policy.write_metrics) == 0
    error_message = "Without a collector the task role must have no policy."
  }
}

run "each_role_has_only_the_permissions_for_its_part" {
  command = plan

  variables {
    customer_managed_key_enabled = true
    managed_prometheus           = { collector_tag = "v0.45.0" }
  }

  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.execution.statement : statement.sid => [
        sort(statement.actions), sort(statement.resources), [for condition in statement.condition : [condition.test, condition.variable, condition.values]]
      ]
      }) == jsonencode({
      DecryptKeys     = [["kms:Decrypt"], [aws_kms_key.this[0].arn], [["StringEquals", "kms:EncryptionContext:PARAMETER_ARN", [aws_ssm_parameter.api_keys.arn]]]]
      LogInToRegistry = [["ecr:GetAuthorizationToken"], ["*"], []]
      PullImages      = [["ecr:BatchCheckLayerAvailability", "ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"], sort(concat(values(data.aws_ecr_repository.this), data.aws_ecr_repository.collector)[*].arn), []]
      ReadKeys        = [["ssm:GetParameters"], [aws_ssm_parameter.api_keys.arn], []]
      WriteLogs       = [["logs:CreateLogStream", "logs:PutLogEvents"], ["${aws_cloudwatch_log_group.this.arn}:*"], []]
    })
    error_message = "The execution role must log in to the registry, and only pull this service's images, read and decrypt its keys, and write its logs."
  }
  assert {
    condition     = data.aws_iam_policy_document.write_metrics[0].statement[0].actions == toset(["aps:RemoteWrite"]) && data.aws_iam_policy_document.write_metrics[0].statement[0].resources == toset([aws_prometheus_workspace.this[0].arn])
    error_message = "The task role must only write metrics to the one workspace."
  }
  assert {
    condition     = aws_kms_key.this[0].enable_key_rotation && aws_ssm_parameter.api_keys.key_id == aws_kms_key.this[0].arn && aws_cloudwatch_log_group.this.kms_key_id == aws_kms_key.this[0].arn && alltrue([for topic in aws_sns_topic.alarms : topic.kms_master_key_id == aws_kms_key.this[0].arn])
    error_message = "Keys, logs and alarms must be encrypted with the service's key, which must rotate."
  }
  assert {
    condition = alltrue([
      for statement in data.aws_iam_policy_document.kms[0].statement :
      statement.sid == "Account" ? one(statement.principals).identifiers == toset(["arn:aws:iam::123456789012:root"]) :
      length(statement.condition) == 1 && !contains(statement.actions, "kms:*")
    ])
    error_message = "Each AWS service must have a condition, and only the account may manage the key."
  }
  assert {
    condition     = aws_iam_role_policy.execution.role == aws_iam_role.execution.id && aws_iam_role_policy.write_metrics[0].role == aws_iam_role.task.id && aws_iam_role.execution.id != aws_iam_role.task.id
    error_message = "The execution role and the task role must be separate."
  }
  assert {
    condition     = aws_ecs_task_definition.this.execution_role_arn == aws_iam_role.execution.arn && aws_ecs_task_definition.this.task_role_arn == aws_iam_role.task.arn
    error_message = "The task must use each role for its purpose."
  }
  assert {
    condition     = aws_iam_role.task.name == "zama-challenge-task" && sum([for name in fileset(path.module, "*.tf") : length(regexall("aws_iam_role_policy_attachment|managed_policy_arns|inline_policy|role +\\= aws_iam_role\\.task\\.", file("${path.module}/${name}")))]) == 1
    error_message = "The task role must have only the policy for metrics."
  }
}

run "every_role_has_the_boundary" {
  command = plan

  variables {
    name_prefix             = "another"
    deployment_strategy     = "blue_green"
    vpc                     = { cidr = "10.20.0.0/16", zones = ["a", "b"] }
    access_logs_enabled     = true
    managed_prometheus      = { collector_tag = "v0.45.0" }
    managed_grafana_enabled = true
  }

  assert {
    condition = alltrue([
      for role in concat([aws_iam_role.execution, aws_iam_role.task], aws_iam_role.codedeploy, aws_iam_role.flow_logs, aws_iam_role.grafana) :
      role.permissions_boundary == "arn:aws:iam::123456789012:policy/another-boundary"
    ])
    error_message = "Every role must have the boundary of bootstrap/boundary.tf; without it, workflows cannot create the role."
  }
  assert {
    condition = sum([
      for name in fileset(path.module, "*.tf") : length(regexall("resource \"aws_iam_role\" ", file("${path.module}/${name}")))
    ]) == length(concat([aws_iam_role.execution, aws_iam_role.task], aws_iam_role.codedeploy, aws_iam_role.flow_logs, aws_iam_role.grafana))
    error_message = "Each role must be listed above."
  }
  assert {
    condition = jsonencode({
      for statement in data.aws_iam_policy_document.codedeploy[0].statement : coalesce(statement.sid, "-") => sort(statement.resources) if contains(statement.resources, "*")
      }) == jsonencode({
      Describe     = ["*"]
      MakeTaskSets = ["*"]
    })
    error_message = "CodeDeploy may describe every resource and must change only this service's."
  }
  assert {
    condition = [
      for statement in data.aws_iam_policy_document.codedeploy[0].statement : [one(statement.condition).variable, one(statement.condition).values] if statement.sid == "MakeTaskSets"
    ] == [["ecs:cluster", tolist([aws_ecs_cluster.this.arn])]]
    error_message = "CodeDeploy must create task sets only in the one cluster."
  }
  assert {
    condition = [
      for document in [data.aws_iam_policy_document.codedeploy_trust[0], data.aws_iam_policy_document.flow_logs_trust[0], data.aws_iam_policy_document.grafana_trust[0]] :
      one(one(one(document.statement).principals).identifiers)
    ] == ["codedeploy.amazonaws.com", "vpc-flow-logs.amazonaws.com", "grafana.amazonaws.com"]
    error_message = "Each role must be assumed only by its AWS service."
  }
  assert {
    condition     = [for statement in data.aws_iam_policy_document.grafana[0].statement : statement.resources if statement.sid == "Prometheus"] == [toset([aws_prometheus_workspace.this[0].arn])] && one(data.aws_iam_policy_document.flow_logs[0].statement).resources == toset(["${aws_cloudwatch_log_group.flows[0].arn}:*"])
    error_message = "Grafana must read the one workspace, and flow logs must go to the one log group."
  }
  assert {
    condition     = contains(keys(aws_vpc_endpoint.interface), "aps-workspaces")
    error_message = "The collector must reach Managed Prometheus."
  }
}
